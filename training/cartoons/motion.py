"""Motion of the cartoon characters: where each stands and in which pose, video frame by video frame.

Motion within a segment repeats in steps of 4 video frames, one latent frame.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .prompts import ACTIONS
from .world import Pose


class Placement(NamedTuple):
    """Position and pose of a character: column of its middle, pixels above the ground, pose."""

    x: int
    up: int = 0
    pose: Pose = Pose()


SWING = (0, 1, 2, 1, 0, -1, -2, -1)
_MIDDLE, _LEFT_TURN, _RIGHT_TURN = 32, 12, 52
_LEFT_DOOR, _RIGHT_DOOR = -4, 68  # half of a character can be seen there
_LEFT_PLACE, _RIGHT_PLACE = 16, 48
_JUMP, _JUMP_FRAMES = 11, 16


def placement(action: str, role: int, time: int) -> Placement:
    """Return the placement of member `role` of the cast, `time` video frames into the segment.

    The first video frame of a story is time 3, of any later segment time 0. Raises ValueError for an action without
    characters.
    """
    if action == "jumps":
        height = round(_JUMP * abs(np.sin(np.pi * time / _JUMP_FRAMES)))
        return Placement(_MIDDLE, height)
    if action == "waves":
        return Placement(_MIDDLE, pose=Pose(arm=SWING[time % 8]))
    if action == "stands":
        return Placement(_MIDDLE)
    if action == "leaves":
        return _walk(_MIDDLE, 999, time)
    if action == "enters":
        return _walk(_LEFT_DOOR, _MIDDLE, time)
    if action == "returns":
        return _walk(_RIGHT_DOOR, _MIDDLE, time)
    if action == "meet":
        return _walk(_RIGHT_DOOR, _RIGHT_PLACE, time) if role else _walk(_LEFT_DOOR, _LEFT_PLACE, time)
    if action in ("across", "right", "left"):
        return _patrol(action, time)
    raise ValueError(f"there is no placement for the action {action!r}: it must be one of {', '.join(ACTIONS[1:])}.")


def _walk(start: int, goal: int, time: int) -> Placement:
    """Walk one pixel a video frame from `start`, then stand at `goal`."""
    distance = abs(goal - start)
    step = min(time, distance)
    stride = SWING[time % 8] if time < distance else 0
    return Placement(start + step if goal > start else start - step, pose=Pose(stride, left=goal < start))


def _patrol(action: str, time: int) -> Placement:
    """Walk right and left between the two turning points, as long as the segment lasts."""
    width = _RIGHT_TURN - _LEFT_TURN
    since = {"across": time + _LEFT_DOOR - _LEFT_TURN, "right": time, "left": time + width}[action]
    if since < 0:
        return Placement(_LEFT_TURN + since, pose=Pose(SWING[time % 8]))
    back, step = divmod(since % (2 * width), width)
    x = _RIGHT_TURN - step if back else _LEFT_TURN + step
    return Placement(x, pose=Pose(SWING[time % 8], left=bool(back)))
