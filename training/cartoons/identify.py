"""Read the identity of a character from a picture, by comparison with all identities drawn at the same place."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from .motion import Placement
from .world import IDENTITIES, SIZE, Identity, Pose, background, overlap, sprite

LEAST_AREA = 60.0  # pixels of a character that must be in the picture to read it


class IdentityMatch(NamedTuple):
    """The identity that fits a picture best, and how well.

    identity  the identity whose drawing has the least error.
    error     mean squared error over the character's pixels, in 0..1 of the full range, against that drawing.
    empty     the same error against the empty scene.
    offset    (x, y) pixels by which the character was found off its place, y upwards.
    """

    identity: Identity
    error: float
    empty: float
    offset: tuple[int, int]

    def is_present(self, gate: float = 0.5) -> bool:
        """Return whether a character is there: the drawing fits better than `gate` times the empty scene."""
        return self.error < gate * self.empty


@lru_cache(maxsize=128)
def identity_templates(kind: str, pose: Pose) -> tuple[np.ndarray, np.ndarray]:
    """Draw every identity of a kind in one pose, as `sprite` does.

    Returns (colour times alpha, float32 [identities, SPRITE_HEIGHT, SPRITE_WIDTH, 3] in 0..255 in the order of
    IDENTITIES; alpha, float32 [SPRITE_HEIGHT, SPRITE_WIDTH, 1] in 0..1), which are cached: do not write to them.
    """
    drawn = [sprite(kind, pose, identity) for identity in IDENTITIES]
    return np.stack([colour for colour, _ in drawn]), drawn[0][1]


def identify(picture: np.ndarray, scene: str, kind: str, where: Placement, reach: int = 0) -> IdentityMatch:
    """Find the identity of `kind` that a picture shows.

    picture  uint8 or float [SIZE, SIZE, 3] in 0..255.
    where    placement of the character by its story.
    reach    also look up to so many pixels beside and above that place.

    Raises ValueError for another shape, or if less than LEAST_AREA pixels of the character can be seen there.
    """
    if picture.shape != (SIZE, SIZE, 3):
        raise ValueError(f"the picture has shape {list(picture.shape)}, but must be [{SIZE}, {SIZE}, 3].")
    picture = picture.astype(np.float32)
    offsets = [(x, y) for x in range(-reach, reach + 1) for y in range(-reach, reach + 1)]
    matches = [_match(picture, scene, kind, where, offset) for offset in sorted(offsets, key=_length)]
    found = [match for match in matches if match is not None]
    if not found:
        raise ValueError(f"the {kind} is outside the picture at column {where.x}: read it where it shows.")
    return min(found, key=lambda match: match.error)


def _length(offset: tuple[int, int]) -> int:
    return offset[0] ** 2 + offset[1] ** 2


def _match(
    picture: np.ndarray, scene: str, kind: str, where: Placement, offset: tuple[int, int]
) -> IdentityMatch | None:
    (rows, columns), (own_rows, own_columns) = overlap(where.x + offset[0], where.up + offset[1])
    colour, alpha = identity_templates(kind, where.pose)
    colour, alpha = colour[:, own_rows, own_columns], alpha[own_rows, own_columns]
    if alpha.sum() < LEAST_AREA:
        return None
    empty, seen = background(scene)[rows, columns], picture[rows, columns]
    scale = 1 / (3 * alpha.sum() * 255**2)
    errors = (alpha * np.square(seen - empty * (1 - alpha) - colour)).sum((1, 2, 3)) * scale
    best = int(errors.argmin())
    empty_error = float((alpha * np.square(seen - empty)).sum() * scale)
    return IdentityMatch(IDENTITIES[best], float(errors[best]), empty_error, offset)
