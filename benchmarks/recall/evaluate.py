"""Score generated pictures of a segment against the drawings that its prompt asks for."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from training.cartoons import (
    ACCESSORIES,
    BODIES,
    CHUNK_FRAMES,
    HIDDEN_FRAMES,
    KINDS,
    SCENES,
    SIZE,
    SOLO_ACTIONS,
    Identity,
    IdentityMatch,
    Placement,
    Segment,
    background,
    draw,
    identify,
    identity_templates,
    overlap,
    placement,
    placements,
    start_frame,
)

FACTORS = ("body", "accessory", "pattern")
REACH = 1  # pixels by which a character may be off its place


@dataclass
class SegmentScores:
    """Scores of some of a segment's chunks.

    identities  of the character at the end of each chunk; None where it is not there or cannot be read.
    right       share of chunks, in 0..1, that are right in `character`, `scene` and `action`.
    error       root mean square difference from the ideal drawing of that character, in 0..1.
    motion      mean change from picture to picture over that of the ideal drawing; None where that stands still.
    """

    identities: list[Identity | None]
    right: dict[str, float]
    error: float
    motion: float | None


@dataclass
class _Tally:
    character: list[bool] = field(default_factory=list)
    scene: list[bool] = field(default_factory=list)


def evaluate_segment(pictures: np.ndarray, segment: Segment, chunks: range, kind: str) -> SegmentScores:
    """Score the pictures of some of a segment's chunks, in which `kind` is alone.

    pictures  of these chunks, uint8 [frames, SIZE, SIZE, 3].
    """
    first = start_frame(chunks.start)
    identities, tally = [], _Tally()
    for chunk in chunks:
        frame = start_frame(chunk + 1) - 1
        picture, where = pictures[frame - first], placements(segment, frame)[0]
        match = _match_present(picture, segment.scene, kind, where)
        identities.append(match.identity if match is not None else None)
        tally.character.append(match is not None and _is_kind(picture, segment.scene, kind, where, match))
        tally.scene.append(nearest_scene(picture, kind, where) == segment.scene)
    identity = next((identity for identity in reversed(identities) if identity is not None), None)
    frames = range(first, start_frame(chunks.stop))
    right = {"character": _mean(tally.character), "scene": _mean(tally.scene)}
    right["action"] = float(identity is not None and _is_action(pictures, segment, frames, kind, identity))
    ideal = _ideal(segment, frames, kind, identity)
    return SegmentScores(identities, right, _difference(pictures, ideal), _motion(pictures, ideal))


def picture_error(picture: np.ndarray, segment: Segment, frame: int) -> float:
    """Return the root mean square difference of a picture from the ideal drawing of the character in it, in 0..1.

    picture  video frame `frame` of the segment's story, uint8 [SIZE, SIZE, 3].
    """
    cast, places = segment.cast, placements(segment, frame)
    match = _match_present(picture, segment.scene, cast[0], places[0]) if len(cast) == 1 else None
    if match is None:
        return _difference(picture, draw(segment.scene, (), (), ()))
    return _difference(picture, draw(segment.scene, cast, (match.identity,), places))


def nearest_scene(picture: np.ndarray, kind: str, where: Placement) -> str:
    """Return the scene that fits a picture, [SIZE, SIZE, 3], best beside the character of `kind` at `where`."""
    weight = np.ones((SIZE, SIZE, 1), np.float32)
    (rows, columns), own = overlap(where.x, where.up)
    weight[rows, columns] -= identity_templates(kind, where.pose)[1][own]
    errors = [(weight * np.square(picture - background(scene))).sum() for scene in SCENES]
    return SCENES[int(np.argmin(errors))]


def colour_distance(found: Identity | None, true: Identity) -> float:
    """Return the mean distance of the colours of body and accessory, 1 from black to white; 1 where none was found."""
    if found is None:
        return 1.0
    differences = [
        np.subtract(colours[list(colours)[a]], colours[list(colours)[b]])
        for colours, a, b in ((BODIES, found.body, true.body), (ACCESSORIES, found.accessory, true.accessory))
    ]
    return float(np.mean([np.linalg.norm(difference) for difference in differences]) / (255 * 3**0.5))


def _match_present(picture: np.ndarray, scene: str, kind: str, where: Placement) -> IdentityMatch | None:
    """None where no character is there, or too little of the place is in the picture."""
    match = _match(picture, scene, kind, where)
    return match if match is not None and match.is_present() else None


def _match(picture: np.ndarray, scene: str, kind: str, where: Placement) -> IdentityMatch | None:
    try:
        return identify(picture, scene, kind, where, REACH)
    except ValueError:
        return None


def _is_kind(picture: np.ndarray, scene: str, kind: str, where: Placement, match: IdentityMatch) -> bool:
    """Whether no other kind fits the whole picture better."""

    def error(other: str) -> float:
        found = match if other == kind else _match(picture, scene, other, where)
        if found is None:
            return float("inf")
        place = where._replace(x=where.x + found.offset[0], up=where.up + found.offset[1])
        return _difference(picture, draw(scene, (other,), (found.identity,), (place,)))

    errors = {other: error(other) for other in KINDS}
    return min(errors, key=errors.__getitem__) == kind


def _is_action(pictures: np.ndarray, segment: Segment, frames: range, kind: str, identity: Identity) -> bool:
    """Whether no other action fits the pictures better; actions that look alike there count as one."""
    errors = {}
    for action in SOLO_ACTIONS:
        times = [frame + HIDDEN_FRAMES - CHUNK_FRAMES * segment.start_chunk for frame in frames]
        places = [placement(action, 0, time) for time in times]
        drawn = np.stack([draw(segment.scene, (kind,), (identity,), (where,)) for where in places])
        errors[action] = _difference(pictures, drawn)
    return errors[segment.action] <= min(errors.values()) + 1e-9


def _ideal(segment: Segment, frames: range, kind: str, identity: Identity | None) -> np.ndarray:
    """Draw the segment's frames with the character, or without it where there is no identity."""
    cast, identities = ((kind,), (identity,)) if identity is not None else ((), ())
    return np.stack(
        [draw(segment.scene, cast, identities, placements(segment, frame)[: len(cast)]) for frame in frames]
    )


def _difference(pictures: np.ndarray, drawn: np.ndarray) -> float:
    return float(np.sqrt(np.square(pictures.astype(np.float32) - drawn).mean()) / 255)


def _motion(pictures: np.ndarray, drawn: np.ndarray) -> float | None:
    change, ideal = (np.abs(np.diff(x.astype(np.float32), axis=0)).mean() for x in (pictures, drawn))
    return float(change / ideal) if ideal else None


def _mean(values: list[bool]) -> float:
    return float(np.mean(values))
