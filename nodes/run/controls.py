"""Controls of a story: pictures on its clock that steer it, checked and placed before the model is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ...memflow_core.config import LatentShape
from ...memflow_core.estimate import ControlWork
from ...memflow_core.keep import Fingerprint
from ...memflow_core.schedule import ChunkGrid, Note, PlacedStretch, Stretch
from ...memflow_core.stream import ControlPart, ControlSpan, ControlTrack
from .. import host
from .control_plan import REMAKE, SHOW, check_plan, check_use, place_controls, stretch_of, work_of
from .pictures import checked_pictures


@dataclass(frozen=True)
class Control:
    """Pictures that steer a stretch of a story.

    pictures  an `IMAGE` [F, H, W, 3 or 4] from 0 to 1, or a `VIDEO`, read at the story's frame rate.
    vae       the `VAE` that encodes them.
    mask      a `MASK` [n, H, W]: 1 is made anew, 0 is kept; one for all pictures, or one for each. None: by `use`.
    use       STEER: all is made anew, as the pictures say. SHOW: the pictures themselves are kept. REMAKE: chunks are
              made from the pictures, without control weights (video to video).
    """

    pictures: Any
    vae: Any
    mask: Tensor | None
    strength: float
    use: str
    stretch: Stretch

    @property
    def known_frames(self) -> int | None:
        """How many pictures there are, None where only reading tells."""
        return len(self.pictures) if isinstance(self.pictures, Tensor) else None


@dataclass(frozen=True)
class Controls:
    """Controls that follow one another, the value that travels on MEMFLOW_CONTROL links."""

    controls: tuple[Control, ...] = ()

    @property
    def steers(self) -> bool:
        """Whether any of them uses control weights."""
        return any(control.use != REMAKE and control.strength for control in self.controls)

    @property
    def vae(self) -> Any:
        """The `VAE` of all of them."""
        return self.controls[0].vae

    def place(self, grid: ChunkGrid, chunks: int | None) -> tuple[list[PlacedStretch], list[Note]]:
        """Place them on a story of so many chunks, None where its end is open. Raises ScheduleError."""
        return place_controls(self.controls, grid, chunks)


def add_control(
    before: Controls | None,
    pictures: Any,
    vae: Any,
    *,
    mask: Tensor | None,
    strength: float,
    use: str,
    start: str,
    end: str,
) -> Controls:
    """Controls with one more. Raises ValueError, in one sentence, for pictures, masks, VAEs or times that are none."""
    host.check_wan_vae(vae)
    if isinstance(pictures, Tensor):
        checked_pictures(pictures, "the control's pictures")
    if mask is not None:
        mask = _checked_mask(mask)
    check_use(use, strength, masked=mask is not None)
    control = Control(pictures, vae, mask, strength, use, stretch_of(start, end))
    controls = () if before is None else before.controls
    if controls and controls[0].vae is not vae:
        raise ValueError("two controls of a story come with different VAEs: connect the same one to both.")
    return Controls((*controls, control))


def check_controls(
    controls: Controls, model: Any, shape: LatentShape, grid: ChunkGrid, chunks: int | None, steps: int
) -> list[Note]:
    """Raise ValueError unless controls can steer such a story; returns what is to be told of them.

    chunks  of the whole story; None where its end is open.
    steps   of a chunk.
    """
    has_weights = host.control_of(model) is not None
    sizes = {"steps": steps, "pixels": shape.pixels, "has_weights": has_weights}
    notes = check_plan(controls.controls, grid, chunks, **sizes)
    if host.rank_count() > 1:
        raise ValueError("a control cannot steer a stream that several ComfyUIs share: use one.")
    channels = host.latent_channels_of(model)
    if controls.vae.latent_channels != channels:
        raise ValueError(
            f"the control's VAE has {controls.vae.latent_channels} latent channels, but the model has {channels}: "
            f"control needs a model of the Wan 2.1 VAE, and that VAE."
        )
    return notes


def used_control(controls: Controls | None) -> host.ControlUse | None:
    """What a run uses of control; None for none."""
    return None if controls is None or not controls.controls else host.ControlUse(controls.vae, controls.steers)


def control_track(
    controls: Controls, model: Any, shape: LatentShape, grid: ChunkGrid, chunks: int | None
) -> ControlTrack:
    """What steers a stream on a `MODEL` that is on its device; arguments as of `check_controls`."""
    spans = [
        ControlSpan(
            one.start_px,
            one.end_px,
            controls.controls[one.number].strength,
            _Pictures(controls.controls[one.number], shape, grid.fps),
            remake=controls.controls[one.number].use == REMAKE,
        )
        for one in controls.place(grid, chunks)[0]
    ]
    encoder = partial(host.WanEncoder, controls.vae, partial(host.from_latent, model))
    return ControlTrack(spans, shape=shape, chunk_frames=grid.latent_frames, new_encoder=encoder)


def control_parts(controls: Controls, model: Any, grid: ChunkGrid, chunks: int | None) -> tuple[ControlPart, ...]:
    """The same as far as it decides numbers, for kept moments. Raises UnknownKindError for a VAE of its own."""
    made_with = [host.vae_fingerprint(controls.vae), host.control_fingerprint(model), grid.fps]
    parts = []
    for one in controls.place(grid, chunks)[0]:
        control = controls.controls[one.number]
        if control.strength:
            identity = _identity(control, made_with)
            parts.append(ControlPart(one.start_px, one.end_px, control.strength, identity))
    return tuple(parts)


def control_work(controls: Controls, model: Any, vae: Any, grid: ChunkGrid, chunks: int | None) -> ControlWork:
    """What controls take, for an estimate. vae: the one that decodes; None for none."""
    blocks, weights = host.control_size(model)
    number_bytes = controls.vae.vae_dtype.itemsize
    counted = vae is not None and host.is_same_vae(vae, controls.vae)
    own = 0 if counted else host.count_vae_numbers(controls.vae) * number_bytes
    sizes = {"blocks": blocks, "weights": weights, "number_bytes": number_bytes, "vae_bytes": own}
    return work_of(controls.controls, grid, chunks, **sizes)


class _Pictures:
    """The pictures of a control in the size of a story, with their mask: `ControlPictures` of the core."""

    def __init__(self, control: Control, shape: LatentShape, fps: float):
        self._control = control
        self._size = shape.picture
        images = control.pictures if isinstance(control.pictures, Tensor) else None
        self._images = images
        self._film = None if images is not None else host.VideoReader(control.pictures, fps)

    def read(self, first: int, count: int) -> tuple[Tensor, Tensor | None]:
        """Pictures [n, H, W, 3] and their mask [n, H, W], or None where all is made anew."""
        if self._film is not None:
            pictures = self._film.read(first, count)
        else:
            assert self._images is not None, "one of the two is there"
            pictures = self._images[first : first + count]
        if not len(pictures):
            return torch.empty(0, *self._size[::-1], 3), None
        fitted = host.fit_pictures(pictures.float().cpu(), *self._size, method="bilinear")
        return fitted, self._mask(first, len(pictures))

    def _mask(self, first: int, count: int) -> Tensor | None:
        mask, (width, height) = self._control.mask, self._size
        if mask is None:
            return torch.zeros(count, height, width) if self._control.use == SHOW else None
        if len(mask) == 1:
            return host.fit_mask(mask, width, height).expand(count, -1, -1)
        made = torch.ones(count, height, width)
        there = mask[first : first + count]
        if len(there):
            made[: len(there)] = host.fit_mask(there, width, height)
        return made


def _checked_mask(mask: Tensor) -> Tensor:
    mask = mask[None] if mask.ndim == 2 else mask
    if mask.ndim != 3 or 0 in mask.shape:
        raise ValueError(f"the control's mask has shape {list(mask.shape)}, but must be [masks, height, width].")
    mask = mask.float().cpu()
    if not bool(torch.isfinite(mask).all()):
        raise ValueError("the control's mask holds NaN or infinity: check the node that made it.")
    return mask.clamp(0, 1)


def _identity(control: Control, made_with: Sequence[Any]) -> str:
    found = Fingerprint()
    found.add("made with", list(made_with))
    if isinstance(control.pictures, Tensor):
        found.add("pictures", control.pictures)
    else:
        found.add("video", host.video_identity(control.pictures))
    found.add("mask", control.mask)
    found.add("use", control.use)
    return found.hex()
