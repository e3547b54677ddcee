"""Who a picture shows: identities read back from pixels, by comparison with every identity drawn in the same place."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from .story import Placement
from .world import IDENTITIES, SIZE, Identity, Pose, background, overlap, sprite

LEAST_AREA = 60.0  # pixels of a character that must be in the picture to read it


class IdentityMatch(NamedTuple):
    """The identity that fits best, and how well.

    identity  which it is.
    error     mean squared error over the character's pixels, in 0..1 of the full range, against the ideal drawing.
    empty     the same error against the empty scene.
    offset    (x, y) pixels by which the character was found off its place, y upwards.
    """

    identity: Identity
    error: float
    empty: float
    offset: tuple[int, int]

    def present(self, gate: float = 0.5) -> bool:
        """Whether somebody is there: the drawing fits better than `gate` times the empty scene."""
        return self.error < gate * self.empty


@lru_cache(maxsize=128)
def identity_templates(kind: str, pose: Pose) -> tuple[np.ndarray, np.ndarray]:
    """Every identity of a kind in one pose, as `sprite` draws it.

    (colour times alpha [identities, SPRITE_HEIGHT, SPRITE_WIDTH, 3] in 0..255 in the order of IDENTITIES,
    alpha [SPRITE_HEIGHT, SPRITE_WIDTH, 1] in 0..1). Do not write to them.
    """
    drawn = [sprite(kind, pose, identity) for identity in IDENTITIES]
    return np.stack([colour for colour, _ in drawn]), drawn[0][1]


def identify(picture: np.ndarray, scene: str, kind: str, where: Placement, reach: int = 0) -> IdentityMatch:
    """Which identity of `kind` a picture shows.

    picture  uint8 or float [SIZE, SIZE, 3] in 0..255.
    where    the place and pose that the story gives the character.
    reach    also look up to so many pixels beside and above that place.

    Raises ValueError for another shape, or if less than LEAST_AREA pixels of the character can be seen there.
    """
    if picture.shape != (SIZE, SIZE, 3):
        raise ValueError(f"the picture has shape {list(picture.shape)}, but must be [{SIZE}, {SIZE}, 3].")
    picture = picture.astype(np.float32)
    offsets = [(x, y) for x in range(-reach, reach + 1) for y in range(-reach, reach + 1)]
    readings = [_read(picture, scene, kind, where, offset) for offset in sorted(offsets, key=_length)]
    found = [reading for reading in readings if reading is not None]
    if not found:
        raise ValueError(f"the {kind} is outside the picture at column {where.x}: read it where it shows.")
    return min(found, key=lambda reading: reading.error)


def _length(offset: tuple[int, int]) -> int:
    return offset[0] ** 2 + offset[1] ** 2


def _read(
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
    bare = float((alpha * np.square(seen - empty)).sum() * scale)
    return IdentityMatch(IDENTITIES[best], float(errors[best]), bare, offset)
