"""Latents of the marks that lead characters, as a stream encodes the pictures of a control."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from memflow_core.model import control_channels

from ..cartoons import CHUNK_LATENTS, SIZE, Mark, draw_marks, sample_mark, start_frame
from ..generator import SIDE, EncodedStory
from ..vae import ENCODE_LEAD, LATENTS, Codec

_GREY = 128
_LONGEST = 8  # latent frames until the code of a grey clip has come to rest, with room to spare


class MarkLatents:
    """Latents of the marks of stories, one after another as `DeviceLatents` has those of the stories.

    seed  decides, with a story's number, how its marks are drawn.
    mark  how all of them are drawn, in the place of that.
    """

    def __init__(self, codec: Codec, seed: int, mark: Mark | None = None):
        self._codec = codec
        self._seed = seed
        self._mark = mark
        grey = np.full((1 + 4 * _LONGEST, SIZE, SIZE, 3), _GREY, np.uint8)
        self._grey_start = encode_anew(codec, grey, story_start=True)
        self._grey_later = encode_anew(codec, grey[1:], story_start=False)
        self._parts: list[Tensor] = []
        self._joined = torch.empty(0, 2 * LATENTS, SIDE, SIDE, dtype=torch.float16)

    def add(self, stories: list[EncodedStory]) -> None:
        """Encode the marks of those of `stories` that are new."""
        new = range(len(self._parts), len(stories))
        self._parts += [self._encode(number, stories[number]) for number in new]
        if new:
            self._joined = torch.cat(self._parts)

    def of(self, indices: Tensor) -> Tensor:
        """What the control branch reads of latent frames, float32 [*indices, C, SIDE, SIDE]."""
        return control_context(self._joined[indices.cpu()].float().to(indices.device))

    def _encode(self, number: int, encoded: EncodedStory) -> Tensor:
        """Inactive and reactive latents, float16 [latent frames, 2 * LATENTS, SIDE, SIDE]; 0 where nothing leads."""
        rng = np.random.default_rng([self._seed, number])
        found = torch.zeros(encoded.latent_frames, 2 * LATENTS, SIDE, SIDE, dtype=torch.float16)
        for segment in encoded.story.segments:
            if segment.path is None:
                continue
            first, end = (CHUNK_LATENTS * chunk for chunk in (segment.start_chunk, segment.end_chunk))
            frames = start_frame(segment.end_chunk) - start_frame(segment.start_chunk)
            pictures = draw_marks(segment.path[-frames:], self._mark or sample_mark(rng))
            reactive = encode_anew(self._codec, pictures, story_start=first == 0)
            grey = self._grey_later if first else self._grey_start
            inactive = grey[torch.arange(end - first).clamp(max=_LONGEST - 1)]
            found[first:end] = torch.cat((inactive, reactive), 1).half()
        return found


def encode_anew(codec: Codec, pictures: np.ndarray, *, story_start: bool) -> Tensor:
    """Encode a clip as a control that starts anew is: pictures uint8 [4 n, H, W, 3] -> [n, LATENTS, h, w].

    At a story's start there are 1 + 4 n pictures and n + 1 latent frames. Later on the first picture is put before
    the others once more, as the single one that a clip starts with, and its latent frame is left out.
    """
    if story_start:
        return codec.encode(pictures[None])[0]
    return codec.encode(np.concatenate((pictures[:1], pictures))[None])[0, 1:]


def control_context(clips: Tensor) -> Tensor:
    """Inactive and reactive latents [..., 2 C, h, w] with the channels of a mask that is 1 everywhere, behind them."""
    channels = control_channels(clips.shape[-3] // 2)
    mask = clips.new_ones(*clips.shape[:-3], channels - clips.shape[-3], *clips.shape[-2:])
    return torch.cat((clips, mask), -3)


assert ENCODE_LEAD < _LONGEST, "a grey clip comes to rest behind the frames that depend on its start"
