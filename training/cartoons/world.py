"""Draw the cartoon world of the tiny story model: four scenes, four kinds of character, 120 identities.

Everything is drawn by area: a figure is a stack of parts (body, accessory, pattern, ...), and each part's coverage of
a pixel is exact to 1/16. Coverage times colours is the picture, so an identity is a matter of colours alone and can
be read back from pixels. Nothing is random.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np

SIZE = 64  # a picture is SIZE x SIZE pixels
FPS = 16
GROUND = 57  # the row on which characters stand

SCENES = ("meadow", "beach", "city", "snow")
KINDS = ("robot", "cat", "ghost", "bird")

BODIES = {
    "red": (225, 25, 35),
    "yellow": (255, 225, 20),
    "green": (20, 150, 45),
    "cyan": (20, 210, 225),
    "blue": (30, 45, 225),
    "magenta": (225, 40, 210),
}
ACCESSORIES = {
    "white": (255, 255, 255),
    "black": (20, 20, 25),
    "red": (225, 25, 35),
    "blue": (30, 45, 225),
    "yellow": (255, 215, 20),
}
PATTERNS = ("plain", "striped", "spotted", "split")

_DARK_PATTERN_ON = ("yellow", "cyan")  # a white pattern would hardly show on these bodies
_DARK, _LIGHT, _BEAK = (25, 25, 30), (250, 250, 250), (255, 140, 20)
_SHADE = 0.7  # limbs are the body's colour, this much darker

PARTS = ("body", "shade", "pattern", "accessory", "dark", "light", "beak")
BODY, SHADE, PATTERN, ACCESSORY, DARK, LIGHT, BEAK = range(len(PARTS))

SPRITE_WIDTH, SPRITE_HEIGHT = 40, 40
_FINE = 4  # each pixel is sampled this often across and down


class Identity(NamedTuple):
    """Looks of a character: indices into BODIES, ACCESSORIES and PATTERNS."""

    body: int
    accessory: int
    pattern: int

    @classmethod
    def from_number(cls, number: int) -> Identity:
        """Return identity `number`, from 0 to len(IDENTITIES) - 1."""
        rest, pattern = divmod(number, len(PATTERNS))
        body, accessory = divmod(rest, len(ACCESSORIES))
        return cls(body=body, accessory=accessory, pattern=pattern)

    def __str__(self) -> str:
        body, accessory = tuple(BODIES)[self.body], tuple(ACCESSORIES)[self.accessory]
        return f"{PATTERNS[self.pattern]} {body} with {accessory}"


class Pose(NamedTuple):
    """Pose of a figure.

    stride  legs, from -2 to 2 pixels apart; 0: together.
    arm     None: down. Otherwise raised, from -2 to 2 to either side.
    left    faces left instead of right.
    """

    stride: int = 0
    arm: int | None = None
    left: bool = False


IDENTITIES = tuple(Identity.from_number(number) for number in range(len(BODIES) * len(ACCESSORIES) * len(PATTERNS)))


# -- drawing ---------------------------------------------------------------------------------------------------------


class Canvas:
    """Label image on a fine grid. Lengths are in pixels; `x` from the middle to the right, `y` from the ground up.

    The shapes (`box`, `oval`, `spike`, `limb`) are bool masks [rows, columns] of the fine grid, to be painted.
    """

    def __init__(self, width: int, height: int, left: float, bottom: float):
        rows, columns = np.mgrid[0 : height * _FINE, 0 : width * _FINE]
        self.x = (columns + 0.5) / _FINE + left
        self.y = bottom + height - (rows + 0.5) / _FINE
        self.labels = np.full(self.x.shape, -1, np.int8)

    def paint(self, shape: np.ndarray, label: int) -> None:
        self.labels[shape] = label

    def box(self, x0: float, x1: float, y0: float, y1: float) -> np.ndarray:
        return (self.x >= x0) & (self.x < x1) & (self.y >= y0) & (self.y < y1)

    def oval(self, x: float, y: float, rx: float, ry: float) -> np.ndarray:
        return ((self.x - x) / rx) ** 2 + ((self.y - y) / ry) ** 2 <= 1

    def spike(self, x: float, y0: float, y1: float, half: float) -> np.ndarray:
        """Upright triangle with its tip at (x, y1)."""
        inside = np.abs(self.x - x) <= half * (y1 - self.y) / (y1 - y0)
        return inside & (self.y >= y0) & (self.y < y1)

    def limb(self, x0: float, y0: float, x1: float, y1: float, half: float) -> np.ndarray:
        """Straight line with round ends."""
        dx, dy = x1 - x0, y1 - y0
        along = np.clip(((self.x - x0) * dx + (self.y - y0) * dy) / (dx * dx + dy * dy), 0, 1)
        return (self.x - x0 - along * dx) ** 2 + (self.y - y0 - along * dy) ** 2 <= half**2

    def coverage(self, labels: int) -> np.ndarray:
        """Return the share of each pixel that each label covers: float32 [labels, rows, columns] in 0..1."""
        rows, columns = (length // _FINE for length in self.labels.shape)
        fine = self.labels.reshape(rows, _FINE, columns, _FINE)
        return np.stack([(fine == label).mean((1, 3), dtype=np.float32) for label in range(labels)])


# -- characters ------------------------------------------------------------------------------------------------------


def _pattern(c: Canvas, torso: np.ndarray, x: float, y: float, pattern: int) -> None:
    """Paint a pattern on a torso whose middle is (x, y)."""
    marks = {
        "striped": c.box(-99, 99, y - 5, y - 2) | c.box(-99, 99, y + 1, y + 4),
        "spotted": c.oval(x, y, 4, 4),
        "split": c.box(x, 99, -99, 99),
    }
    if PATTERNS[pattern] in marks:
        c.paint(torso & marks[PATTERNS[pattern]], PATTERN)


def _arm(c: Canvas, x: float, y: float, pose: Pose, length: float, half: float) -> None:
    dx, dy = (0.45 * length, -0.9 * length) if pose.arm is None else (0.35 * length + 2 * pose.arm, length)
    c.paint(c.limb(x, y, x + dx, y + dy, half), SHADE)


def _robot(c: Canvas, pose: Pose, pattern: int) -> None:
    for x, step in ((-6, pose.stride), (2, -pose.stride)):
        c.paint(c.box(x + step, x + 4 + step, 0, 7), DARK)
    c.paint(c.limb(-8, 16, -11, 10, 1.6), SHADE)
    _arm(c, 9, 16, pose, 10, 1.6)
    torso = c.box(-8, 8, 6, 19)
    c.paint(torso, BODY)
    _pattern(c, torso, 0, 12.5, pattern)
    c.paint(c.box(-6, 6, 20, 29), BODY)
    for x in (-2, 3):
        c.paint(c.box(x - 1.5, x + 1.5, 23, 26), LIGHT)
    c.paint(c.box(-1, 1, 29, 32), DARK)
    c.paint(c.oval(0, 34.8, 4.8, 4.8), ACCESSORY)


def _cat(c: Canvas, pose: Pose, pattern: int) -> None:
    c.paint(c.limb(-10, 9, -14, 20, 1.6), SHADE)
    for x, step in ((-9, 1), (-4, -1), (2, 1), (6, -1)):
        if x != 6 or pose.arm is None:
            c.paint(c.box(x + step * pose.stride / 2, x + 3 + step * pose.stride / 2, 0, 7), SHADE)
    torso = c.oval(-1, 10, 11.5, 7)
    c.paint(torso, BODY)
    _pattern(c, torso, -2, 10, pattern)
    if pose.arm is not None:
        c.paint(c.limb(8, 8, 15 + pose.arm / 2, 14 + 1.5 * pose.arm, 1.7), SHADE)
    for x in (3.5, 11.5):
        c.paint(c.spike(x, 23, 30, 3), BODY)
    c.paint(c.oval(7.5, 20, 7.5, 6.5), BODY)
    for x in (5.5, 11):
        c.paint(c.oval(x, 21, 1.3, 1.8), DARK)
    c.paint(c.box(1, 14, 10, 16), ACCESSORY)


def _ghost(c: Canvas, pose: Pose, pattern: int) -> None:
    sway = pose.stride / 2
    _arm(c, 9, 13, pose, 7, 2)
    c.paint(c.limb(-9, 13, -12, 8, 2), SHADE)
    torso = c.oval(0, 17, 10, 10) | c.box(-10, 10, 4, 17)
    for x in (-6.7, 0, 6.7):
        torso |= c.oval(x + sway, 4, 3.3, 4)
    c.paint(torso, BODY)
    _pattern(c, torso & c.box(-99, 99, 0, 17), 0, 9.5, pattern)
    for x in (-3, 5):
        c.paint(c.oval(x, 20, 2, 2.7), DARK)
    c.paint(c.box(-8, 8, 26, 29) | c.box(-5, 5, 29, 35), ACCESSORY)


def _bird(c: Canvas, pose: Pose, pattern: int) -> None:
    for x, step in ((-4, pose.stride), (2, -pose.stride)):
        c.paint(c.box(x + step, x + 2 + step, 0, 7), BEAK)
    c.paint(c.limb(-9, 14, -15, 17, 2), SHADE)
    torso = c.oval(-1, 14, 10.5, 8.5)
    c.paint(torso, BODY)
    _pattern(c, torso, -1, 14, pattern)
    if pose.arm is not None:
        c.paint(c.limb(-4, 17, -9 + 1.5 * pose.arm, 28, 2.4), SHADE)
    c.paint(c.oval(7, 25, 6.5, 6.5), BODY)
    c.paint(c.spike(8.5, 25, 28, 2), LIGHT)
    c.paint(c.oval(8.5, 26, 1.8, 1.8), DARK)
    c.paint(c.limb(13, 24, 16, 23.5, 1.6), BEAK)
    c.paint(c.box(1, 13, 29, 31) | c.box(3, 11, 31, 36), ACCESSORY)


_FIGURES = {"robot": _robot, "cat": _cat, "ghost": _ghost, "bird": _bird}


@cache
def figure(kind: str, pose: Pose, pattern: int) -> np.ndarray:
    """Draw a figure as coverage by each of PARTS.

    The character's middle is column SPRITE_WIDTH // 2; its feet are on the last row. Returns float32
    [parts, SPRITE_HEIGHT, SPRITE_WIDTH] in 0..1, which is cached: do not write to it.
    """
    canvas = Canvas(SPRITE_WIDTH, SPRITE_HEIGHT, left=-SPRITE_WIDTH / 2, bottom=0)
    _FIGURES[kind](canvas, pose, pattern)
    coverage = canvas.coverage(len(PARTS))
    return coverage[:, :, ::-1] if pose.left else coverage


@cache
def colours(identity: Identity) -> np.ndarray:
    """Return the colour of each of PARTS: float32 [parts, 3] in 0..255, which is cached: do not write to it."""
    name = tuple(BODIES)[identity.body]
    body = np.array(BODIES[name], np.float32)
    pattern = _DARK if name in _DARK_PATTERN_ON else _LIGHT
    accessory = tuple(ACCESSORIES.values())[identity.accessory]
    return np.array([body, body * _SHADE, pattern, accessory, _DARK, _LIGHT, _BEAK], np.float32)


@lru_cache(maxsize=2048)
def sprite(kind: str, pose: Pose, identity: Identity) -> tuple[np.ndarray, np.ndarray]:
    """Draw one character alone, premultiplied by its alpha.

    Returns (colour times alpha, float32 [SPRITE_HEIGHT, SPRITE_WIDTH, 3] in 0..255; alpha, float32
    [SPRITE_HEIGHT, SPRITE_WIDTH, 1] in 0..1), which are cached: do not write to them.
    """
    coverage = figure(kind, pose, identity.pattern)
    picture = np.tensordot(coverage, colours(identity), axes=(0, 0))
    return picture.astype(np.float32), coverage.sum(0)[..., None]


def overlap(x: int, up: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return where a sprite and the picture overlap: (rows, columns) of the picture, and the same of the sprite.

    The sprite's middle is at column x of the picture, `up` pixels above the ground. The slices are empty if it lies
    outside the picture.
    """
    left, top = x - SPRITE_WIDTH // 2, GROUND - up - SPRITE_HEIGHT
    rows = max(0, top), max(0, min(SIZE, top + SPRITE_HEIGHT))
    columns = max(0, left), max(0, min(SIZE, left + SPRITE_WIDTH))
    inside = slice(*rows), slice(*columns)
    own = slice(rows[0] - top, max(0, rows[1] - top)), slice(columns[0] - left, max(0, columns[1] - left))
    return inside, own


def paste(picture: np.ndarray, sprite: tuple[np.ndarray, np.ndarray], x: int, up: int = 0) -> None:
    """Blend a sprite into `picture`, float32 [SIZE, SIZE, 3], in place. What lies outside is cut off."""
    colour, alpha = sprite
    inside, own = overlap(x, up)
    target = picture[inside]
    target *= 1 - alpha[own]
    target += colour[own]


# -- scenes ----------------------------------------------------------------------------------------------------------


@cache
def background(scene: str) -> np.ndarray:
    """Draw an empty scene. Returns float32 [SIZE, SIZE, 3] in 0..255, which is cached: do not write to it."""
    canvas = Canvas(SIZE, SIZE, left=0, bottom=0)
    palette: list[tuple[int, int, int]] = []

    def add(shape: np.ndarray, colour: tuple[int, int, int]) -> None:
        palette.append(colour)
        canvas.paint(shape, len(palette) - 1)

    _SCENERY[scene](canvas, add)
    coverage = canvas.coverage(len(palette))
    return np.tensordot(coverage, np.array(palette, np.float32), axes=(0, 0)).astype(np.float32)


def _meadow(c: Canvas, add) -> None:
    everywhere = c.box(0, 64, 0, 64)
    add(everywhere, (150, 205, 245))
    add(c.oval(54, 54, 6, 6), (255, 240, 150))
    add(c.oval(16, 53, 9, 4) | c.oval(22, 55, 6, 4), (245, 250, 255))
    add(c.oval(12, 16, 32, 14), (175, 205, 130))
    add(c.box(0, 64, 0, 19), (190, 220, 120))
    for x, y in ((5, 4), (20, 3), (44, 4), (58, 6)):
        add(c.oval(x, y, 1.8, 1.8), (255, 245, 250))


def _beach(c: Canvas, add) -> None:
    add(c.box(0, 64, 0, 64), (250, 215, 195))
    add(c.oval(14, 36, 8, 8), (255, 170, 120))
    add(c.box(0, 64, 20, 36), (75, 130, 160))
    add(c.box(0, 64, 0, 20), (235, 215, 165))
    add(c.box(55, 58, 16, 44), (120, 85, 60))
    add(c.oval(51, 45, 7, 3) | c.oval(61, 45, 7, 3) | c.oval(56, 49, 3, 4), (60, 110, 75))


def _city(c: Canvas, add) -> None:
    add(c.box(0, 64, 0, 64), (25, 25, 55))
    add(c.oval(9, 55, 5, 5), (235, 230, 200))
    for x0, x1, top in ((0, 14, 40), (16, 28, 48), (31, 44, 38), (47, 62, 52)):
        add(c.box(x0, x1, 18, top), (60, 60, 90))
        windows = np.zeros_like(c.labels, bool)
        for x in range(x0 + 2, x1 - 3, 5):
            for y in range(22, top - 4, 7):
                windows |= c.box(x, x + 2, y, y + 3)
        add(windows, (215, 190, 110))
    add(c.box(0, 64, 0, 18), (85, 85, 95))
    add(c.box(2, 12, 3, 5) | c.box(27, 37, 3, 5) | c.box(52, 62, 3, 5), (175, 175, 155))


def _snow(c: Canvas, add) -> None:
    add(c.box(0, 64, 0, 64), (170, 180, 205))
    add(c.oval(50, 16, 28, 17), (200, 208, 225))
    add(c.box(0, 64, 0, 19), (232, 236, 246))
    for x in (8, 56):
        add(c.box(x - 1.5, x + 1.5, 16, 26), (95, 70, 60))
        add(c.spike(x, 24, 46, 8), (40, 85, 75))


_SCENERY = {"meadow": _meadow, "beach": _beach, "city": _city, "snow": _snow}
