"""Latents of random stories for training the generator: drawn and encoded once, kept on disk.

A latent frame depends on seven pictures only, and many of a story's are drawn alike (a character stands, a scene is
empty). So each different latent frame is encoded once for all stories, which is about a third of the work.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..cartoons import (
    ACCESSORY,
    FRAMES_PER_LATENT,
    PATTERN,
    PATTERNS,
    SIZE,
    CartoonStory,
    Placement,
    dataset_digest,
    figure,
    kind_of,
    overlap,
    placements,
    render,
    sample_saga,
    start_frame,
)
from ..vae import ENCODE_LEAD, LATENTS, Codec

SIDE = 8  # latent rows and columns of a 64 x 64 picture
LARGEST_ACCESSORY_PX = 108.0
_ROW_BYTES = 2 * LATENTS * SIDE * SIDE


@dataclass(frozen=True)
class EncodedStory:
    """A story and the rows of its latent frames in `LatentStore.latents`, int64 [latent frames]."""

    story: CartoonStory
    rows: np.ndarray

    @property
    def latent_frames(self) -> int:
        return len(self.rows)

    @cached_property
    def coverage(self) -> np.ndarray:
        """Share of each latent's pixels that characters fill, and that their marks fill.

        Marks are what tells two characters of a kind and body colour apart: accessory and pattern. Float16
        [latent frames, 2, SIDE, SIDE], the most of a latent frame's pictures.
        """
        pictures = np.zeros((FRAMES_PER_LATENT * self.latent_frames, 2, SIDE, SIDE), np.float16)
        for segment in self.story.segments:
            for frame in range(start_frame(segment.start_chunk), start_frame(segment.end_chunk)):
                # the first latent frame has one picture alone, its last
                picture = pictures[frame + FRAMES_PER_LATENT - 1]
                for character, where in zip(segment.cast, placements(segment, frame), strict=True):
                    np.maximum(picture, _coverage(kind_of(character), where), out=picture)
        return pictures.reshape(self.latent_frames, FRAMES_PER_LATENT, 2, SIDE, SIDE).max(1)


@lru_cache(maxsize=4096)
def _coverage(kind: str, where: Placement) -> np.ndarray:
    """Share of each latent's pixels that a character and its marks fill in one picture, float32 [2, SIDE, SIDE].

    A small accessory counts as much as a large one: as if each had LARGEST_ACCESSORY_PX pixels.
    """
    # every place where a pattern could be: it also matters that there is none
    figures = np.stack([figure(kind, where.pose, pattern) for pattern in range(len(PATTERNS))])
    accessory = figures[0, ACCESSORY]
    marks = figures[:, PATTERN].max(0) + accessory * LARGEST_ACCESSORY_PX / accessory.sum()
    filled = np.zeros((2, SIZE, SIZE), np.float32)
    (rows, columns), own = overlap(where.x, where.up)
    filled[:, rows, columns] = np.stack((figures[0].sum(0)[own], marks[own]))
    step = SIZE // SIDE
    return filled.reshape(2, SIDE, step, SIDE, step).mean((2, 4))


class LatentStore:
    """Stories and their latents. Story number n is `draw(first_seed + n)`.

    folder  keeps the latents, in a file named after the VAE and the data set; None: they are not kept.
    draw    one of the data set's functions that draw stories.

    The same stories in the same order give the same file, so a run that goes on finds there what it had encoded.
    """

    def __init__(
        self,
        codec: Codec,
        first_seed: int,
        folder: Path | None = None,
        draw: Callable[[int], CartoonStory] = sample_saga,
    ):
        self.codec = codec
        self.first_seed = first_seed
        self.stories: list[EncodedStory] = []
        self._draw = draw
        kind = "" if draw is sample_saga else f"-{draw.__name__}"
        self._file = None if folder is None else folder / f"{codec.digest}-{dataset_digest()}{kind}-{first_seed}.f16"
        self._row_of: dict[tuple, int] = {}
        self._latents = self._read_file()
        self._ready = len(self._latents)

    @property
    def latents(self) -> Tensor:
        """All latents so far, float16 [rows, LATENTS, SIDE, SIDE] on the CPU."""
        return self._latents[: self._ready]

    def grow(self, stories: int) -> None:
        """Add random stories until there are `stories` of them."""
        while len(self.stories) < stories:
            self.stories.append(self.encode(self._draw(self.first_seed + len(self.stories))))

    def encode(self, story: CartoonStory) -> EncodedStory:
        """Add those latent frames of a story to `latents` that are not there yet."""
        keys = latent_keys(story)
        new = [frame for frame, key in enumerate(keys) if self._assign_row(key)]
        on_disk = sum(self._row_of[keys[frame]] < self._ready for frame in new)
        for first, end in _runs(new[on_disk:]):
            self._append(_encode(self.codec, story, first, end))
        return EncodedStory(story, np.array([self._row_of[key] for key in keys]))

    def _assign_row(self, key: tuple) -> bool:
        """Give a latent frame the next row. Returns False if it has one."""
        if key in self._row_of:
            return False
        self._row_of[key] = len(self._row_of)
        return True

    def _read_file(self) -> Tensor:
        if self._file is None or not self._file.exists():
            return torch.empty(0, LATENTS, SIDE, SIDE, dtype=torch.float16)
        rows = self._file.stat().st_size // _ROW_BYTES
        stored = np.fromfile(self._file, np.float16, rows * _ROW_BYTES // 2)
        return torch.from_numpy(stored).view(rows, LATENTS, SIDE, SIDE)

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
            # an interrupted run may have left half a row: the next one overwrites it
            with self._file.open("r+b" if self._file.exists() else "wb") as file:
                file.seek(self._ready * _ROW_BYTES)
                file.write(latents.numpy().tobytes())
        self._ready = end


class DeviceLatents:
    """Latents of a store on the training device, and beside them those that the model generated for the same stories.

    Latent frames of all stories stand one after another; an index counts among them.

    generated  float16 [latent frames of all stories, LATENTS, SIDE, SIDE]; the true latents until they are overwritten.
    """

    def __init__(self, store: LatentStore, device: torch.device):
        self.store = store
        self.device = device
        self.stories = 0
        self.generated: Tensor | None = None

    def refresh(self) -> bool:
        """Copy stories that are new in the store to the device. Returns whether there were any."""
        stories = self.store.stories
        if len(stories) == self.stories:
            return False
        lengths = np.array([story.latent_frames for story in stories])
        self.starts = torch.from_numpy(np.cumsum(lengths) - lengths).to(self.device)
        self.rows = torch.from_numpy(np.concatenate([story.rows for story in stories])).to(self.device)
        self.coverage = torch.from_numpy(np.concatenate([story.coverage for story in stories])).to(self.device)
        self.latents = self.store.latents.to(self.device)
        self.stories = len(stories)
        return True

    def indices(self, stories: Tensor, frames: Tensor) -> Tensor:
        """Return the indices of latent frames, int64 [B, n], of stories, int64 [B]."""
        return self.starts[stories][:, None] + frames

    def true(self, indices: Tensor) -> Tensor:
        """Return the stories' own latents, float32 [*indices, LATENTS, SIDE, SIDE]."""
        return self.latents[self.rows[indices]].float()

    def own(self, indices: Tensor) -> Tensor:
        """Return the generated latents, float32 [*indices, LATENTS, SIDE, SIDE]."""
        if self.generated is None:
            self.generated = self.latents[self.rows]
        missing = len(self.rows) - len(self.generated)
        if missing:
            self.generated = torch.cat((self.generated, self.latents[self.rows[-missing:]]))
        return self.generated[indices].float()

    def error_weights(self, indices: Tensor, focus: float, marks: float) -> Tensor:
        """Return the weights of errors, float32 [*indices, 1, SIDE, SIDE], 1 on average.

        focus, marks  more weight for characters, and for their accessories and patterns: see `GeneratorSettings`.
        """
        character, mark = self.coverage[indices].float().unsqueeze(-3).unbind(-4)
        weights = 1 + focus * character + marks * mark
        return weights / weights.mean()


def latent_keys(story: CartoonStory) -> list[tuple]:
    """Return a key for each latent frame of a story; latent frames of equal keys are equal.

    A key holds all that the frame depends on: what its own pictures and the three before them show.
    """
    drawings = []
    for segment in story.segments:
        shown = (segment.scene, *((kind_of(one), story.identities[one]) for one in segment.cast))
        frames = range(start_frame(segment.start_chunk), start_frame(segment.end_chunk))
        drawings += [(shown, placements(segment, frame)) for frame in frames]
    count, step = 1 + (len(drawings) - 1) // FRAMES_PER_LATENT, FRAMES_PER_LATENT
    # the first two depend also on there being nothing before them
    start = [("start", *drawings[: step * k + 1]) for k in range(min(2, count))]
    return start + [tuple(drawings[step * k - 6 : step * k + 1]) for k in range(2, count)]


def _runs(frames: list[int]) -> list[tuple[int, int]]:
    """Group ascending numbers into ranges: [3, 4, 5, 9] -> [(3, 6), (9, 10)]."""
    runs: list[tuple[int, int]] = []
    for frame in frames:
        if runs and runs[-1][1] == frame:
            runs[-1] = (runs[-1][0], frame + 1)
        else:
            runs.append((frame, frame + 1))
    return runs


def _encode(codec: Codec, story: CartoonStory, first: int, end: int) -> Tensor:
    """Encode latent frames `first` up to `end` of a story. Returns float32 [end - first, LATENTS, SIDE, SIDE]."""
    start = max(0, first - ENCODE_LEAD)
    pictures = render(story, FRAMES_PER_LATENT * start, FRAMES_PER_LATENT * (end - 1) + 1)
    return codec.encode(pictures[None])[0, first - start :]
