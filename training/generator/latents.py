"""Stories as latents, for training the generator: drawn and encoded once, kept on disk, looked up by number.

A latent frame depends on seven pictures only, and many of a story's are drawn alike (someone stands, a scene is
empty), so each different one is encoded once for all stories: about a third of the work.
"""

from __future__ import annotations

import hashlib
import inspect
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..cartoons.story import CartoonStory, Placement, placements, render, sample_story, start_frame
from ..cartoons.world import ACCESSORY, PATTERN, PATTERNS, SIZE, figure, overlap
from ..vae.autoencoder import LATENTS
from ..vae.codec import ENCODE_LEAD, GROUP, Codec

CHUNK = 3  # latent frames
SIDE = 8  # latent rows and columns of a 64 x 64 picture
LARGE = 108.0  # pixels of the largest accessory
_BYTES = 2 * LATENTS * SIDE * SIDE


@dataclass(frozen=True)
class EncodedStory:
    """A story and where its latent frames lie.

    rows  int64 [latent frames]: of `LatentStore.latents`.
    """

    story: CartoonStory
    rows: np.ndarray

    @property
    def frames(self) -> int:
        return len(self.rows)

    @cached_property
    def cover(self) -> np.ndarray:
        """float16 [latent frames, 2, SIDE, SIDE]: how much of each latent's pictures characters fill, and how
        much of them what tells two of a kind apart besides the body's colour does: accessory and pattern."""
        pictures = np.zeros((GROUP * self.frames, 2, SIDE, SIDE), np.float16)
        for segment in self.story.segments:
            for frame in range(start_frame(segment.start_chunk), start_frame(segment.end_chunk)):
                for kind, where in zip(segment.cast, placements(segment, frame), strict=True):
                    # the first latent frame has one picture alone, its group's last
                    np.maximum(pictures[frame + GROUP - 1], _filled(kind, where), out=pictures[frame + GROUP - 1])
        return pictures.reshape(self.frames, GROUP, 2, SIDE, SIDE).max(1)


@lru_cache(maxsize=4096)
def _filled(kind: str, where: Placement) -> np.ndarray:
    """The share of each latent's pixels that a character and its marks fill in one picture, [2, SIDE, SIDE].

    A small accessory counts as much as a large one: as if each had LARGE pixels.
    """
    # where a pattern could be it also matters that there is none
    figures = np.stack([figure(kind, where.pose, pattern) for pattern in range(len(PATTERNS))])
    accessory = figures[0, ACCESSORY]
    marks = figures[:, PATTERN].max(0) + accessory * LARGE / accessory.sum()
    filled = np.zeros((2, SIZE, SIZE), np.float32)
    (rows, columns), own = overlap(where.x, where.up)
    filled[:, rows, columns] = np.stack((figures[0].sum(0)[own], marks[own]))
    step = SIZE // SIDE
    return filled.reshape(2, SIDE, step, SIDE, step).mean((2, 4))


class LatentStore:
    """Story number n is `sample_story(first_seed + n)`.

    folder  where latents are kept, in a file named after the VAE and the stories; None: nowhere.

    The same stories in the same order give the same file, so a run that goes on finds in it what it had encoded.
    """

    def __init__(self, codec: Codec, first_seed: int, folder: Path | None = None):
        self.codec, self.first_seed, self.tales = codec, first_seed, []
        self._file = None if folder is None else folder / f"{codec.digest}-{dataset_digest()}-{first_seed}.f16"
        self._known: dict[tuple, int] = {}
        self._latents = self._kept()
        self._ready = len(self._latents)

    @property
    def latents(self) -> Tensor:
        """float16 [rows, LATENTS, SIDE, SIDE], on the CPU."""
        return self._latents[: self._ready]

    def grow(self, stories: int) -> None:
        """Go on until there are that many stories."""
        while len(self.tales) < stories:
            self.tales.append(self.add(sample_story(self.first_seed + len(self.tales))))

    def add(self, story: CartoonStory) -> EncodedStory:
        keys = latent_keys(story)
        fresh = [frame for frame, key in enumerate(keys) if self._claim(key)]
        on_disk = sum(self._known[keys[frame]] < self._ready for frame in fresh)
        for first, end in _runs(fresh[on_disk:]):
            self._append(_encode(self.codec, story, first, end))
        return EncodedStory(story, np.array([self._known[key] for key in keys]))

    def _claim(self, key: tuple) -> bool:
        """Give a latent frame its row; False if it has one."""
        if key in self._known:
            return False
        self._known[key] = len(self._known)
        return True

    def _kept(self) -> Tensor:
        if self._file is None or not self._file.exists():
            return torch.empty(0, LATENTS, SIDE, SIDE, dtype=torch.float16)
        whole = self._file.stat().st_size // _BYTES
        stored = np.fromfile(self._file, np.float16, whole * _BYTES // 2)
        return torch.from_numpy(stored).view(whole, LATENTS, SIDE, SIDE)

    def _append(self, latents: Tensor) -> None:
        latents = latents.half().cpu()
        end = self._ready + len(latents)
        if end > len(self._latents):
            larger = torch.empty(max(2 * end, 4096), *latents.shape[1:], dtype=torch.float16)
            larger[: self._ready] = self.latents
            self._latents = larger
        self._latents[self._ready : end] = latents
        if self._file is not None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            # where a broken run left half a row, the next one begins on the row's edge
            with self._file.open("r+b" if self._file.exists() else "wb") as file:
                file.seek(self._ready * _BYTES)
                file.write(latents.numpy().tobytes())
        self._ready = end


@cache
def dataset_digest() -> str:
    """Names what stories look like, and which are told: latents of others are of no use."""
    code = "".join(inspect.getsource(inspect.getmodule(part)) for part in (figure, sample_story))
    return hashlib.sha256(code.encode()).hexdigest()[:12]


def latent_keys(story: CartoonStory) -> list[tuple]:
    """What each latent frame depends on: the drawings of its own pictures and of three before."""
    drawings = []
    for segment in story.segments:
        who = (segment.scene, *((kind, story.identities[kind]) for kind in segment.cast))
        pictures = range(start_frame(segment.start_chunk), start_frame(segment.end_chunk))
        drawings += [(who, placements(segment, picture)) for picture in pictures]
    frames = 1 + (len(drawings) - 1) // GROUP
    # the first two depend also on there being nothing before them
    start = [("start", *drawings[: GROUP * k + 1]) for k in range(min(2, frames))]
    return start + [tuple(drawings[GROUP * k - 6 : GROUP * k + 1]) for k in range(2, frames)]


def _runs(frames: list[int]) -> list[tuple[int, int]]:
    """[3, 4, 5, 9] -> [(3, 6), (9, 10)]."""
    runs: list[tuple[int, int]] = []
    for frame in frames:
        if runs and runs[-1][1] == frame:
            runs[-1] = (runs[-1][0], frame + 1)
        else:
            runs.append((frame, frame + 1))
    return runs


def _encode(codec: Codec, story: CartoonStory, first: int, end: int) -> Tensor:
    """Latent frames `first` to `end` of a story, [end - first, LATENTS, SIDE, SIDE]."""
    start = max(0, first - ENCODE_LEAD)
    pictures = render(story, GROUP * start, GROUP * (end - 1) + 1)
    return codec.encode(pictures[None])[0, first - start :]
