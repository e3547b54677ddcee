"""What generated pictures show, held against the drawing that the prompt asks for."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from training.cartoons.identify import IdentityMatch, identify, identity_templates
from training.cartoons.story import (
    CHUNK_FRAMES,
    HIDDEN_FRAMES,
    Placement,
    Segment,
    draw,
    placement,
    placements,
    start_frame,
)
from training.cartoons.world import ACCESSORIES, BODIES, KINDS, SCENES, SIZE, Identity, background, overlap

FACTORS = ("body", "accessory", "pattern")
REACH = 1  # pixels by which a character may be off its place
_SOLO = ("across", "right", "left", "enters", "jumps", "waves", "stands", "returns", "leaves")


@dataclass
class SegmentScores:
    """One segment's pictures, read.

    readings  at the end of each chunk: who `kind` is there, None where it cannot be told or nobody is there.
    right     shares in 0..1 of what the prompt asks for: character, scene, action.
    error     root mean square difference from the ideal drawing of whom they show, in 0..1.
    motion    mean change from picture to picture, in that of the ideal drawing; None where that stands still.
    """

    readings: list[Identity | None]
    right: dict[str, float]
    error: float
    motion: float | None


@dataclass
class _Tally:
    character: list[bool] = field(default_factory=list)
    scene: list[bool] = field(default_factory=list)


def evaluate_segment(pictures: np.ndarray, segment: Segment, chunks: range, kind: str) -> SegmentScores:
    """Read the pictures of some of a segment's chunks; `kind` is alone in them."""
    first = start_frame(chunks.start)
    readings, tally = [], _Tally()
    for chunk in chunks:
        frame = start_frame(chunk + 1) - 1
        picture, where = pictures[frame - first], placements(segment, frame)[0]
        reading = _read(picture, segment.scene, kind, where)
        readings.append(reading.identity if reading is not None else None)
        tally.character.append(reading is not None and _is_kind(picture, segment.scene, kind, where, reading))
        tally.scene.append(nearest_scene(picture, kind, where) == segment.scene)
    who = next((identity for identity in reversed(readings) if identity is not None), None)
    frames = range(first, start_frame(chunks.stop))
    right = {"character": _mean(tally.character), "scene": _mean(tally.scene)}
    right["action"] = float(who is not None and _acts(pictures, segment, frames, kind, who))
    wanted = _drawn(segment, frames, kind, who)
    return SegmentScores(readings, right, _difference(pictures, wanted), _motion(pictures, wanted))


def picture_error(picture: np.ndarray, segment: Segment, frame: int) -> float:
    """Root mean square difference of one picture from the ideal drawing of whoever it shows, in 0..1."""
    cast, places = segment.cast, placements(segment, frame)
    reading = _read(picture, segment.scene, cast[0], places[0]) if len(cast) == 1 else None
    shown = draw(segment.scene, *(((cast), (reading.identity,), places) if reading else ((), (), ())))
    return _difference(picture, shown)


def nearest_scene(picture: np.ndarray, kind: str, where: Placement) -> str:
    """The scene that fits best where the character does not stand."""
    weight = np.ones((SIZE, SIZE, 1), np.float32)
    (rows, columns), own = overlap(where.x, where.up)
    weight[rows, columns] -= identity_templates(kind, where.pose)[1][own]
    errors = [(weight * np.square(picture - background(scene))).sum() for scene in SCENES]
    return SCENES[int(np.argmin(errors))]


def colour_distance(read: Identity | None, true: Identity) -> float:
    """Of body and accessory, in 0..1 of the distance from black to white; 1 where nobody was read."""
    if read is None:
        return 1.0
    apart = [
        np.subtract(colours[list(colours)[a]], colours[list(colours)[b]])
        for colours, a, b in ((BODIES, read.body, true.body), (ACCESSORIES, read.accessory, true.accessory))
    ]
    return float(np.mean([np.linalg.norm(difference) for difference in apart]) / (255 * 3**0.5))


def _read(picture: np.ndarray, scene: str, kind: str, where: Placement) -> IdentityMatch | None:
    """None where nobody is there, or too little of the place is in the picture."""
    reading = _read_anyway(picture, scene, kind, where)
    return reading if reading is not None and reading.present() else None


def _read_anyway(picture: np.ndarray, scene: str, kind: str, where: Placement) -> IdentityMatch | None:
    try:
        return identify(picture, scene, kind, where, REACH)
    except ValueError:
        return None


def _is_kind(picture: np.ndarray, scene: str, kind: str, where: Placement, reading: IdentityMatch) -> bool:
    """Whether no other kind explains the whole picture better."""

    def unexplained(other: str) -> float:
        found = reading if other == kind else _read_anyway(picture, scene, other, where)
        if found is None:
            return float("inf")
        spot = where._replace(x=where.x + found.offset[0], up=where.up + found.offset[1])
        return _difference(picture, draw(scene, (other,), (found.identity,), (spot,)))

    errors = {other: unexplained(other) for other in KINDS}
    return min(errors, key=errors.__getitem__) == kind


def _acts(pictures: np.ndarray, segment: Segment, frames: range, kind: str, who: Identity) -> bool:
    """Whether no other action explains the pictures better; actions that look alike there count as one."""
    errors = {}
    for action in _SOLO:
        times = [frame + HIDDEN_FRAMES - CHUNK_FRAMES * segment.start_chunk for frame in frames]
        places = [placement(action, 0, time) for time in times]
        drawn = np.stack([draw(segment.scene, (kind,), (who,), (where,)) for where in places])
        errors[action] = _difference(pictures, drawn)
    return errors[segment.action] <= min(errors.values()) + 1e-9


def _drawn(segment: Segment, frames: range, kind: str, who: Identity | None) -> np.ndarray:
    cast, identities = ((kind,), (who,)) if who is not None else ((), ())
    return np.stack(
        [draw(segment.scene, cast, identities, placements(segment, frame)[: len(cast)]) for frame in frames]
    )


def _difference(pictures: np.ndarray, drawn: np.ndarray) -> float:
    return float(np.sqrt(np.square(pictures.astype(np.float32) - drawn).mean()) / 255)


def _motion(pictures: np.ndarray, drawn: np.ndarray) -> float | None:
    change, wanted = (np.abs(np.diff(x.astype(np.float32), axis=0)).mean() for x in (pictures, drawn))
    return float(change / wanted) if wanted else None


def _mean(values: list[bool]) -> float:
    return float(np.mean(values))
