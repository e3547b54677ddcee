"""Where controls stand on a story and what they take: of a run, and of a plan that a page asks for before it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ...memflow_core.estimate import ControlWork
from ...memflow_core.schedule import ChunkGrid, Note, PlacedStretch, Stretch, parse_time, place_stretches, show

STEER, SHOW, REMAKE = "steer", "show", "remake"
USES = (STEER, SHOW, REMAKE)
MOST_STRENGTH = 10.0
CONTROL_PIXELS = 8  # of a latent's side, of the VAE that control weights are made for


class Steers(Protocol):
    """A control, as far as it is known before its pictures are read."""

    @property
    def strength(self) -> float: ...
    @property
    def use(self) -> str: ...
    @property
    def stretch(self) -> Stretch: ...
    @property
    def known_frames(self) -> int | None:
        """How many pictures there are, None where only reading tells."""
        ...


@dataclass(frozen=True)
class PlannedControl:
    """A control of a story that is not queued yet."""

    strength: float
    use: str
    stretch: Stretch
    known_frames: int | None = None


def stretch_of(start: str, end: str) -> Stretch:
    """The stretch that a node's texts mean. Raises ScheduleError."""
    return Stretch(parse_time(start or "0"), parse_time(end) if end.strip() else None)


def check_use(use: str, strength: float, masked: bool = False) -> None:
    """Raise ValueError, in one sentence, for a strength out of range, and for what is not remade."""
    # ComfyUI looks at the range of a widget's value, not of a linked one
    if not 0 <= strength <= MOST_STRENGTH:
        raise ValueError(
            f"a control has strength {show(strength)}, but the strength must be from 0 to {MOST_STRENGTH:g}."
        )
    if use == REMAKE and (strength > 1 or masked):
        found = f"has strength {strength:g}" if strength > 1 else "has a mask"
        raise ValueError(
            f"a control that is to {REMAKE} pictures {found}, but its strength is at most 1 and it takes no mask: "
            f"choose another use, or change that."
        )


def check_plan(
    controls: Sequence[Steers], grid: ChunkGrid, chunks: int | None, *, steps: int, pixels: int, has_weights: bool
) -> list[Note]:
    """Raise ValueError unless a story can be made under controls; returns what is to be told of them.

    chunks       of the whole story; None where its end is open.
    steps        of a chunk.
    pixels       of a latent's side.
    has_weights  whether control weights stand beside the model.
    """
    if not has_weights and any(control.use != REMAKE for control in controls):
        raise ValueError(
            "a control is connected, but the model has no control weights: put MemFlow Load Control between the loader "
            "and the sampler."
        )
    if controls and pixels != CONTROL_PIXELS:
        raise ValueError(
            f"a control is connected, but a latent of the model has {pixels} x {pixels} pixels: control needs a model "
            f"of the Wan 2.1 VAE, which is 1.3B or 14B."
        )
    if steps < 2 and any(control.use == REMAKE for control in controls):
        raise ValueError(
            f"a control is to {REMAKE} pictures, but chunks are made in one step, which leaves nothing of them: use at "
            f"least 2 steps."
        )
    kept = least_kept(steps)
    weak = [one.strength for one in controls if one.use == REMAKE and 0 < one.strength < kept]
    if weak:
        raise ValueError(
            f"a control is to {REMAKE} pictures with strength {weak[0]:g}, but of a chunk made in {steps} steps that "
            f"leaves nothing of them: set at least {math.ceil(100 * kept) / 100:g}, more steps, or 0 for none."
        )
    return place_controls(controls, grid, chunks)[1]


def least_kept(steps: int) -> float:
    """The least strength with which a chunk of so many steps keeps something of its pictures, at least 2 steps."""
    return 0.5 / (steps - 1) if steps > 1 else 1.0


def place_controls(
    controls: Sequence[Steers], grid: ChunkGrid, chunks: int | None
) -> tuple[list[PlacedStretch], list[Note]]:
    """Place controls on a story of so many chunks, None where its end is open. Raises ScheduleError."""
    return place_stretches([control.stretch for control in controls], grid, chunks)


def work_of(
    controls: Sequence[Steers],
    grid: ChunkGrid,
    chunks: int | None,
    *,
    blocks: int,
    weights: int,
    number_bytes: int,
    vae_bytes: int,
) -> ControlWork:
    """What controls take, for an estimate; what is keyword-only is as in `ControlWork`."""
    spans, remade = [], []
    for placed in place_controls(controls, grid, chunks)[0]:
        control = controls[placed.number]
        if not control.strength:
            continue
        place = (placed.start_px, _end_px(placed, control))
        if control.use == REMAKE:
            remade.append((*place, control.strength))
        else:
            spans.append(place)
    return ControlWork(spans, blocks, weights, number_bytes, vae_bytes, remade)


def controls_json(controls: Sequence[Steers], grid: ChunkGrid, chunks: int | None) -> list[dict[str, Any]]:
    """Where controls stand, in the order of the story, fit for JSON: `{"number": 1, "use": "steer", "strength": 1.0,
    "start_s": 0.0, "end_s": 10.0}`. The end is null where only reading tells."""
    story_end = None if chunks is None else grid.start_px(chunks)
    found = []
    for placed in place_controls(controls, grid, chunks)[0]:
        control, end = controls[placed.number], _end_px(placed, controls[placed.number])
        if end is not None and story_end is not None:
            end = min(end, story_end)
        start_s, end_s = (None if px is None else round(px / grid.fps, 4) for px in (placed.start_px, end))
        number = placed.number + 1
        found.append(
            {"number": number, "use": control.use, "strength": control.strength, "start_s": start_s, "end_s": end_s}
        )
    return found


def _end_px(placed: PlacedStretch, control: Steers) -> int | None:
    """The video frame that a control ends before, as far as it is known before it is read."""
    known = None if control.known_frames is None else placed.start_px + control.known_frames
    ends = [end for end in (placed.end_px, known) if end is not None]
    return min(ends, default=None)
