"""Paths that characters are led along, and the marks that are drawn where they shall be.

A path overrides what a prompt says of motion: it is what a control is trained with. Its marks are plain shapes on
black, of any kind that a user might draw: a box, a disc, discs one above the other; white or coloured.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from .motion import SWING, Placement
from .sagas import sample_saga
from .story import CHUNK_FRAMES, CartoonStory, Segment
from .world import GROUND, SIZE, Pose

LEAST_X, MOST_X = 8, 56  # columns that a character's middle is led between
MIDDLE_UP = 17  # pixels from a character's feet to its middle, where the middle of its mark is
BOX = (20, 34)  # width and height of a box, about a character's own
_LED = 0.75  # share of segments of one character that is led
_UNLED_ACTIONS = ("empty", "meet", "leaves", "enters")  # a door is not where a path leads
_SPEEDS = (0.5, 1.0, 1.0, 1.5, 2.0)  # pixels a video frame
_HOP_UP, _HOP_FRAMES = 11, 16


class Mark(NamedTuple):
    """How a mark is drawn.

    shape   one of SHAPES.
    colour  RGB, 0..255.
    size    half the width of a box or a disc, pixels.
    """

    shape: str
    colour: tuple[int, int, int]
    size: float


SHAPES = ("box", "disc", "discs")


def sample_path(rng: np.random.Generator, frames: int) -> tuple[Placement, ...]:
    """Draw a path of so many video frames: walks to random places, halts between them, some hops."""
    xs = np.empty(frames)
    x, done = float(rng.uniform(LEAST_X, MOST_X)), 0
    while done < frames:
        if rng.random() < 0.35:
            steps = np.full(int(rng.integers(6, 40)), x)
        else:
            goal = float(rng.uniform(LEAST_X, MOST_X))
            count = max(1, round(abs(goal - x) / _SPEEDS[rng.integers(len(_SPEEDS))]))
            steps = np.linspace(x, goal, count + 1)[1:]
        taken = steps[: frames - done]
        xs[done : done + len(taken)] = taken
        done, x = done + len(taken), float(taken[-1])
    ups = np.zeros(frames)
    if rng.random() < 0.25:
        first = int(rng.integers(frames))
        ups[first:] = _HOP_UP * np.abs(np.sin(np.pi * np.arange(frames - first) / _HOP_FRAMES))
    return _posed(np.round(xs).astype(int), np.round(ups).astype(int))


def path_through(points: Iterable[tuple[int, float]], frames: int) -> tuple[Placement, ...]:
    """A path on the ground through columns at video frames: (frame, column) pairs in order; it stays at the last."""
    at, columns = zip(*points, strict=True)
    return _posed(np.round(np.interp(np.arange(frames), at, columns)).astype(int), np.zeros(frames, int))


def _posed(xs: np.ndarray, ups: np.ndarray) -> tuple[Placement, ...]:
    left, path = False, []
    for time, (x, up) in enumerate(zip(xs.tolist(), ups.tolist(), strict=True)):
        step = x - int(xs[max(0, time - 1)])
        # a slow walk moves every other frame
        walks = bool(step) or (time > 1 and xs[time - 2] != x)
        left = step < 0 if step else left
        path.append(Placement(x, up, Pose(SWING[time % 8] if walks and not up else 0, left=left)))
    return tuple(path)


def sample_led_story(seed: int) -> CartoonStory:
    """Draw a random story in which at least one character is led along a path. The same seed gives the same story."""
    attempt = 0
    while True:
        rng = np.random.default_rng([seed, attempt, 2])
        story = sample_saga([seed, attempt])
        segments = tuple(_led(rng, segment) for segment in story.segments)
        if any(segment.path for segment in segments):
            return replace(story, segments=segments)
        attempt += 1


def _led(rng: np.random.Generator, segment: Segment) -> Segment:
    if len(segment.cast) != 1 or segment.action in _UNLED_ACTIONS or rng.random() > _LED:
        return segment
    return replace(segment, path=sample_path(rng, CHUNK_FRAMES * (segment.end_chunk - segment.start_chunk)))


def sample_mark(rng: np.random.Generator) -> Mark:
    """Draw how a mark is drawn: half of all are white."""
    shape = SHAPES[rng.integers(len(SHAPES))]
    white = rng.random() < 0.5
    bright = rng.permutation([255, int(rng.integers(0, 256)), int(rng.integers(100, 256))])
    colour = (255, 255, 255) if white else (int(bright[0]), int(bright[1]), int(bright[2]))
    return Mark(shape, colour, float(rng.uniform(7, 12)))


def draw_marks(path: Iterable[Placement], mark: Mark) -> np.ndarray:
    """Draw the marks of a path, video frame by video frame. Returns uint8 [frames, SIZE, SIZE, 3], RGB."""
    rows, columns = np.mgrid[0:SIZE, 0:SIZE] + 0.5
    pictures = []
    for x, up, _ in path:
        y = GROUND - up - MIDDLE_UP
        if mark.shape == "box":
            inside = (np.abs(columns - x) < mark.size) & (np.abs(rows - y) < BOX[1] / 2)
        else:
            heights = (y,) if mark.shape == "disc" else (y - 9, y, y + 9)
            inside = np.any([(columns - x) ** 2 + (rows - at) ** 2 < mark.size**2 for at in heights], axis=0)
        pictures.append(np.where(inside[..., None], np.array(mark.colour), 0).astype(np.uint8))
    return np.stack(pictures)
