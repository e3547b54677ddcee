"""Pictures and masks of a control, over the frames of a story, as what the control branch reads of each chunk.

The encoding is that of VACE. A mask says where the model makes pictures anew (1) and where it keeps them (0). Two clips
are encoded: what is kept (*inactive*), grey where it is not, and what is made anew (*reactive*), grey where it is kept.
The mask itself goes along as channels, one for each of the 8 x 8 pixels of a latent. Where a chunk has frames without a
picture they are grey, and their mask is 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from ..config import LatentShape
from ..model import MASK_SIDE
from .control import ChunkControl, ControlPart

GREY = 0.5
LOOKS_BACK = 2  # video frames before a chunk by which its clip is known again
INACTIVE, REACTIVE, REMADE = CLIPS = "inactive", "reactive", "remade"


class ControlPictures(Protocol):
    """The pictures of one control, of which some are read at a time, from front to back or again from any place."""

    def read(self, first: int, count: int) -> tuple[Tensor, Tensor | None]:
        """Pictures [n, H, W, 3] from 0 to 1, from number `first` on, and their mask [n, H, W] from 0 to 1, or None.

        n is `count`, or less where the control ends. H and W are those of the story.
        """
        ...


class ClipEncoder(Protocol):
    """Encodes the frames of one clip from front to back."""

    def encode(self, frames: Tensor) -> Tensor:
        """The next frames [f, H, W, 3] from 0 to 1, f = 1 + 4 n at the clip's start, 4 n later on.

        Returns [1, C, F, h, w] in the model's latent space: F is n, and n + 1 at the start.
        """
        ...

    def state(self) -> dict[str, Tensor]:
        """What the next frames need of the past, tensors [1, c, f, h, w] by name; empty before the first frame."""
        ...

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on from a `state()`; from an empty one, with a new clip. Raises ValueError for that of another encoder."""
        ...

    def saw(self, frames: Tensor) -> bool:
        """Whether the last frames of a clip that has begun were about these [LOOKS_BACK, H, W, 3]."""
        ...


@dataclass(frozen=True)
class ControlSpan:
    """A control on the story's video frames.

    start_px, end_px  its first frame, and the one after its last; None: until its pictures end.
    strength          factor of its hints, 0 or more.
    identity          what tells its pictures from others, "" where nothing does.
    remake            the chunks that it fills are made from its pictures (video to video) instead of noise alone; the
                      strength, up to 1, says how much of them stays.
    """

    start_px: int
    end_px: int | None
    strength: float
    pictures: ControlPictures
    identity: str = ""
    remake: bool = False


class _Clip:
    """A clip that is encoded chunk by chunk, and begins anew behind a chunk that it was not encoded for."""

    def __init__(self, encoder: ClipEncoder):
        self._encoder = encoder
        # the chunk that the encoder's carry is for; None where it carries nothing
        self._next: int | None = None

    def encode(self, index: int, frames: Tensor) -> Tensor:
        """The frames [f, H, W, 3] of a chunk, whose first latent frame has four of them, but for chunk 0."""
        goes_on = self._next == index
        if not goes_on:
            self._encoder.restore({})
        self._next = index + 1
        if goes_on or index == 0:
            return self._encoder.encode(frames)
        return self._encoder.encode(torch.cat((frames[:1], frames)))[:, :, 1:]

    def state(self, index: int) -> dict[str, Tensor]:
        return self._encoder.state() if self._next == index else {}

    def restore(self, index: int, state: dict[str, Tensor]) -> None:
        self._encoder.restore(state)
        self._next = index if state else None

    def saw(self, frames: Tensor) -> bool:
        return self._next is None or self._encoder.saw(frames)

    def forget(self) -> None:
        if self._next is not None:
            self.restore(0, {})


class ControlTrack:
    """Controls of a story, one after the other; a `ControlSource`.

    Encoders go on from chunk to chunk. Behind a chunk that nothing steers they begin anew: with the chunk's first
    frame, twice, in the place of the single frame that a clip starts with.

    spans         by their starts, none over another.
    shape         of the stream; pixels of a latent's side are 8.
    chunk_frames  latent frames of a chunk.
    new_encoder   makes an encoder; it is called once for each clip.

    Raises ValueError for another size of latents, and for a strength that cannot be.
    """

    def __init__(
        self,
        spans: Sequence[ControlSpan],
        *,
        shape: LatentShape,
        chunk_frames: int,
        new_encoder: Callable[[], ClipEncoder],
    ):
        if shape.pixels != MASK_SIDE:
            raise ValueError(
                f"control needs latents of {MASK_SIDE} x {MASK_SIDE} pixels, those of the Wan 2.1 VAE, but the model's "
                f"have {shape.pixels} x {shape.pixels}: use a 1.3B or 14B model."
            )
        for span in spans:
            if span.remake and span.strength > 1:
                raise ValueError(
                    f"pictures that chunks are made from have strength {span.strength:g}, but at most 1, the last step "
                    f"alone, can be: lower it."
                )
        self.spans = tuple(span for span in spans if span.strength)
        self._shape = shape
        self._chunk_frames = chunk_frames
        self._clips = {name: _Clip(new_encoder()) for name in CLIPS}

    @property
    def parts(self) -> tuple[ControlPart, ...]:
        return tuple(ControlPart(span.start_px, span.end_px, span.strength, _identity(span)) for span in self.spans)

    @property
    def steers(self) -> bool:
        return any(not span.remake and span.strength for span in self.spans)

    def of_chunk(self, index: int) -> ChunkControl | None:
        remade, steered = self._remade(index), self._steered(index)
        for names, there in (((REMADE,), remade), ((INACTIVE, REACTIVE), steered)):
            if there is None:
                # none of it is used again
                for name in names:
                    self._clips[name].forget()
        if remade is None and steered is None:
            return None
        batch = self._shape.batch
        context, start = (None if x is None else x[0].expand(batch, -1, -1, -1, -1) for x in (steered, remade))
        strengths = (0.0,) * self._chunk_frames if steered is None else steered[1]
        return ChunkControl(context, strengths, start, 0.0 if remade is None else remade[1])

    def _steered(self, index: int) -> tuple[Tensor, tuple[float, ...]] | None:
        """What the control branch reads of a chunk [1, C, F, h, w], and the strengths of its latent frames."""
        frames = self._frames(*self._span_of(index))
        if frames is None:
            return None
        kept, made = frames.clips()
        inactive = self._clips[INACTIVE].encode(index, kept)
        reactive = self._clips[REACTIVE].encode(index, made)
        folded = fold_mask(frames.mask, self._chunk_frames).to(inactive)
        return torch.cat((inactive, reactive, folded[None]), dim=1), tuple(_by_latent(frames.strengths, index == 0))

    def _remade(self, index: int) -> tuple[Tensor, float] | None:
        """Latents [1, C, F, h, w] of pictures that a chunk is made from, and their strength; None where they do not
        fill it."""
        found = self._remaking(*self._span_of(index))
        return None if found is None else (self._clips[REMADE].encode(index, found[0]), found[1])

    def _remaking(self, first: int, count: int) -> tuple[Tensor, float] | None:
        """Pictures [count, H, W, 3] that video frames are made from, and their strength; None where some lack one."""
        for span in self.spans:
            within = span.start_px <= first and (span.end_px is None or first + count <= span.end_px)
            if span.remake and within:
                pictures, _ = span.pictures.read(first - span.start_px, count)
                if len(pictures) == count:
                    return pictures, span.strength
        return None

    def state_dict(self, index: int) -> dict[str, Tensor]:
        return {
            f"{name}.{part}": tensor for name, clip in self._clips.items() for part, tensor in clip.state(index).items()
        }

    def load_state_dict(self, index: int, state: dict[str, Tensor]) -> None:
        for name, clip in self._clips.items():
            prefix = f"{name}."
            clip.restore(index, {key.removeprefix(prefix): t for key, t in state.items() if key.startswith(prefix)})
        if state:
            self._check_past(index)

    def _check_past(self, index: int) -> None:
        """Raise ValueError where controls show other pictures before a chunk than the state's were made from."""
        first, _ = self._span_of(index)
        start = max(0, first - LOOKS_BACK)
        frames, remaking = self._frames(start, first - start), self._remaking(start, first - start)
        seen: dict[str, Tensor] = {} if remaking is None else {REMADE: remaking[0]}
        if frames is not None and None not in frames.strengths:
            seen |= dict(zip((INACTIVE, REACTIVE), frames.clips(), strict=True))
        if not all(self._clips[name].saw(pictures) for name, pictures in seen.items()):
            raise ValueError(
                f"the state was made under another control: up to video frame {first}, where it ends, the one that is "
                f"connected has other pictures; connect the one it was made with, or let this one start at {first}."
            )

    def _span_of(self, index: int) -> tuple[int, int]:
        """First video frame of a chunk, and how many it has."""
        return (
            (0, 4 * self._chunk_frames - 3)
            if index == 0
            else (4 * self._chunk_frames * index - 3, 4 * self._chunk_frames)
        )

    def _frames(self, first: int, count: int) -> _Frames | None:
        """Pictures, mask and strengths of `count` video frames; None where no control has one of them."""
        width, height = self._shape.picture
        pictures = torch.full((count, height, width, 3), GREY)
        mask = torch.ones(count, height, width)
        strengths: list[float | None] = [None] * count
        for span in self.spans:
            start = max(first, span.start_px)
            end = first + count if span.end_px is None else min(first + count, span.end_px)
            if span.remake or start >= end:
                continue
            shown, masked = span.pictures.read(start - span.start_px, end - start)
            place = slice(start - first, start - first + len(shown))
            pictures[place] = shown
            if masked is not None:
                mask[place] = masked
            strengths[place] = [span.strength] * len(shown)
        if all(strength is None for strength in strengths):
            return None
        return _Frames(pictures, mask, strengths)


@dataclass(frozen=True)
class _Frames:
    """Video frames: pictures [f, H, W, 3], mask [f, H, W], and a strength for each, None where nothing steers it."""

    pictures: Tensor
    mask: Tensor
    strengths: list[float | None]

    def clips(self) -> tuple[Tensor, Tensor]:
        """What is kept of them and what is made anew, each [f, H, W, 3], and grey elsewhere."""
        centred, mask = self.pictures - GREY, self.mask[..., None]
        return centred * (1 - mask) + GREY, centred * mask + GREY


def _identity(span: ControlSpan) -> str:
    return f"remake {span.identity}" if span.remake and span.identity else span.identity


def fold_mask(mask: Tensor, latent_frames: int) -> Tensor:
    """Fold a mask [f, H, W] into channels [64, F, H / 8, W / 8]: the pixels of a latent, row by row.

    Of the f frames F are taken, evenly over the chunk, as the nearest to the middle of each share.
    """
    frames, height, width = mask.shape
    square = mask.view(frames, height // MASK_SIDE, MASK_SIDE, width // MASK_SIDE, MASK_SIDE)
    channels = square.permute(2, 4, 0, 1, 3).flatten(0, 1)
    size = (latent_frames, *channels.shape[-2:])
    return F.interpolate(channels[None], size=size, mode="nearest-exact")[0]


def _by_latent(strengths: Sequence[float | None], story_start: bool) -> Iterator[float]:
    """The strength of each latent frame: of its first steered video frame, else of the nearest latent frame before it,
    else of the first one behind it."""
    firsts = [0, *range(1, len(strengths), 4)] if story_start else list(range(0, len(strengths), 4))
    groups = [strengths[first:end] for first, end in zip(firsts, [*firsts[1:], len(strengths)], strict=True)]
    own = [next((strength for strength in group if strength is not None), None) for group in groups]
    before = next(strength for strength in own if strength is not None)
    for strength in own:
        before = before if strength is None else strength
        yield before
