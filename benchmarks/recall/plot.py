"""Line plots of shares from 0 to 1, drawn with PIL, so that no further package is needed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT = 720, 420
LEFT, TOP, RIGHT, BOTTOM = 56, 40, 210, 48
_INK, _PAPER, _GRID = (30, 30, 30), (255, 255, 255), (222, 222, 222)
# told apart by those who see few colours, too
COLOURS = ((0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167), (86, 180, 233), (150, 110, 0))


@dataclass(frozen=True)
class Curve:
    """A name, and points (x, share, standard error of it) by growing x."""

    name: str
    points: tuple[tuple[float, float, float], ...]


def line_plot(curves: Sequence[Curve], x_words: str, y_words: str) -> Image.Image:
    """Draw curves over a logarithmic x, with their errors as bars.

    Raises ValueError without points, or for an x that is not above 0.
    """
    every = sorted({x for curve in curves for x, _, _ in curve.points})
    if not every or every[0] <= 0:
        raise ValueError("a plot needs points, with x above 0.")
    picture = Image.new("RGB", (WIDTH, HEIGHT), _PAPER)
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(13)
    low, high = math.log(every[0]), math.log(every[-1])
    across, down = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def place(x: float, y: float) -> tuple[float, float]:
        part = (math.log(x) - low) / (high - low) if high > low else 0.5
        return LEFT + part * across, TOP + (1 - min(1.0, max(0.0, y))) * down

    for step in range(6):
        y = place(every[0], step / 5)[1]
        draw.line((LEFT, y, WIDTH - RIGHT, y), _GRID)
        draw.text((LEFT - 34, y - 8), f"{step / 5:.1f}", _INK, font)
    for x in every:
        draw.text((place(x, 0)[0] - 8, TOP + down + 8), f"{x:g}", _INK, font)
    draw.text((LEFT, 12), y_words, _INK, font)
    draw.text((LEFT + across / 2 - 40, HEIGHT - 20), x_words, _INK, font)
    for number, curve in enumerate(curves):
        colour = COLOURS[number % len(COLOURS)]
        dots = [place(x, y) for x, y, _ in curve.points]
        if len(dots) > 1:
            draw.line(dots, colour, 2)
        for (x, y, error), (column, row) in zip(curve.points, dots, strict=True):
            draw.line((column, place(x, y - error)[1], column, place(x, y + error)[1]), colour)
            draw.ellipse((column - 3, row - 3, column + 3, row + 3), colour)
        draw.text((WIDTH - RIGHT + 14, TOP + 18 * number), curve.name, colour, font)
    return picture
