"""Stories of the cartoon world: what happens when, told in plain English, and drawn frame by frame.

A story is cut into segments; cuts fall on chunk boundaries. Everything in the pictures follows from prompt and time,
except who the characters are: their identities are drawn per story and no prompt ever mentions them.

Chunks are counted as the model makes them: 3 latent frames each, which are 9 pictures for chunk 0 and 12 for each
later one. Motion within a segment repeats in steps of 4 pictures, a latent frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np

from .world import IDENTITIES, KINDS, SCENES, SIZE, Identity, Pose, background, place, sprite

CHUNK_FRAMES, HIDDEN_FRAMES = 12, 3  # chunk 0 lacks the 3 pictures that would come before the first
SHORTEST, LONGEST, VERY_LONG = 4, 7, 12  # chunks of a sampled segment, and of one in eight
LONG_ABSENCE = 11  # chunks

_ANYWHERE = {"meadow": "in the meadow", "beach": "on the beach", "city": "in the city", "snow": "in the snow"}
_TEMPLATES = {
    "empty": ("an empty {scene}", "the {scene} is empty", "the {scene} lies empty", "nobody is {where}"),
    "across": ("{who} walks across the {scene}",),
    "right": ("{who} walks right {where}",),
    "left": ("{who} walks left {where}",),
    "enters": ("{who} walks into the {scene}", "{who} comes to the {scene}"),
    "jumps": ("{who} jumps {where}", "{who} jumps up and down {where}"),
    "waves": ("{who} waves {where}",),
    "stands": ("{who} stands {where}", "{who} stands still {where}", "{who} waits {where}"),
    "returns": ("{who} returns to the {scene}", "{who} comes back to the {scene}"),
    "leaves": ("{who} leaves the {scene}", "{who} walks away from the {scene}"),
    "meet": ("{who} and {other} meet {where}",),
}
ACTIONS = tuple(_TEMPLATES)
_SOLO = ("across", "right", "left", "enters", "jumps", "waves", "stands")  # a character may appear with these
_AGAIN = ("across", "right", "left", "jumps", "waves", "stands")  # and these it may do "again"


@dataclass(frozen=True)
class Segment:
    """One prompt and what it shows, for chunks from `start_chunk` up to, not including, `end_chunk`.

    scene   one of SCENES.
    cast    kinds shown, none to two; the first comes first in the prompt.
    action  one of ACTIONS.
    """

    prompt: str
    scene: str
    cast: tuple[str, ...]
    action: str
    start_chunk: int
    end_chunk: int


class Return(NamedTuple):
    """A character that comes back: in segment number `segment`, after `away` chunks without it."""

    segment: int
    kind: str
    away: int


@dataclass(frozen=True)
class CartoonStory:
    """Segments without gaps, and who each character is."""

    segments: tuple[Segment, ...]
    identities: Mapping[str, Identity]

    @property
    def chunks(self) -> int:
        return self.segments[-1].end_chunk

    @property
    def frames(self) -> int:
        """Pictures of the whole story."""
        return start_frame(self.chunks)

    def segment_at(self, frame: int) -> Segment:
        """The segment that a picture belongs to. Raises IndexError outside the story."""
        for segment in self.segments:
            if 0 <= frame < start_frame(segment.end_chunk):
                return segment
        raise IndexError(f"picture {frame} is not in the story, which has {self.frames}.")

    def without_cast(self) -> CartoonStory:
        """The same scenes with nobody in them."""
        empty = (replace(segment, cast=(), action="empty") for segment in self.segments)
        return replace(self, segments=tuple(empty))

    def returns(self) -> list[Return]:
        """Each character's reappearances, in order."""
        found, last = [], {}
        for number, segment in enumerate(self.segments):
            for kind in segment.cast:
                away = segment.start_chunk - last.get(kind, segment.start_chunk)
                if away:
                    found.append(Return(number, kind, away))
                last[kind] = segment.end_chunk
        return found


def start_frame(chunk: int) -> int:
    """The first picture of a chunk, which is also how many pictures that many chunks have."""
    return max(0, CHUNK_FRAMES * chunk - HIDDEN_FRAMES)


# -- motion ----------------------------------------------------------------------------------------------------------


class Placement(NamedTuple):
    """Where a character is: its middle's column, pixels above the ground, and how it holds itself."""

    x: int
    up: int = 0
    pose: Pose = Pose()


_SWING = (0, 1, 2, 1, 0, -1, -2, -1)
_MIDDLE, _LEFT_TURN, _RIGHT_TURN = 32, 12, 52
_LEFT_DOOR, _RIGHT_DOOR = -4, 68  # half of a character can be seen there
_LEFT_PLACE, _RIGHT_PLACE = 16, 48
_JUMP, _JUMP_FRAMES = 11, 16


def placement(action: str, role: int, time: int) -> Placement:
    """Where member `role` of the cast is, `time` pictures into the segment.

    The first picture of a story is time 3, of any later segment time 0. Raises ValueError for an action without
    characters.
    """
    if action == "jumps":
        height = round(_JUMP * abs(np.sin(np.pi * time / _JUMP_FRAMES)))
        return Placement(_MIDDLE, height)
    if action == "waves":
        return Placement(_MIDDLE, pose=Pose(arm=_SWING[time % 8]))
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
    raise ValueError(f"nobody has a place in a segment of action {action!r}: only in {', '.join(ACTIONS[1:])}.")


def _walk(start: int, goal: int, time: int) -> Placement:
    """One pixel a picture from `start`, then stand at `goal`."""
    way = abs(goal - start)
    step = min(time, way)
    stride = _SWING[time % 8] if time < way else 0
    return Placement(start + step if goal > start else start - step, pose=Pose(stride, left=goal < start))


def _patrol(action: str, time: int) -> Placement:
    """Right and left between the two turning points, as long as the segment lasts."""
    width = _RIGHT_TURN - _LEFT_TURN
    since = {"across": time + _LEFT_DOOR - _LEFT_TURN, "right": time, "left": time + width}[action]
    if since < 0:
        return Placement(_LEFT_TURN + since, pose=Pose(_SWING[time % 8]))
    back, step = divmod(since % (2 * width), width)
    x = _RIGHT_TURN - step if back else _LEFT_TURN + step
    return Placement(x, pose=Pose(_SWING[time % 8], left=bool(back)))


def placements(segment: Segment, frame: int) -> tuple[Placement, ...]:
    """Where each of the cast is in a picture, counted from the story's first."""
    time = frame + HIDDEN_FRAMES - CHUNK_FRAMES * segment.start_chunk
    return tuple(placement(segment.action, role, time) for role in range(len(segment.cast)))


# -- pictures --------------------------------------------------------------------------------------------------------


def render(story: CartoonStory, first_frame: int = 0, end_frame: int | None = None) -> np.ndarray:
    """Pictures `first_frame` up to, not including, `end_frame` (the end): uint8 [frames, SIZE, SIZE, 3], RGB."""
    end_frame = story.frames if end_frame is None else end_frame
    pictures = np.empty((end_frame - first_frame, SIZE, SIZE, 3), np.uint8)
    for row, frame in enumerate(range(first_frame, end_frame)):
        segment = story.segment_at(frame)
        identities = tuple(story.identities[kind] for kind in segment.cast)
        pictures[row] = draw(segment.scene, segment.cast, identities, placements(segment, frame))
    return pictures


@lru_cache(maxsize=1024)
def draw(
    scene: str, cast: tuple[str, ...], identities: tuple[Identity, ...], places: tuple[Placement, ...]
) -> np.ndarray:
    """One picture, uint8 [SIZE, SIZE, 3]. Do not write to it."""
    picture = background(scene).copy()
    for kind, identity, (x, up, pose) in zip(cast, identities, places, strict=True):
        place(picture, sprite(kind, pose, identity), x, up)
    return np.round(picture).astype(np.uint8)


# -- prompts ---------------------------------------------------------------------------------------------------------


def prompts(scene: str, cast: tuple[str, ...], action: str, seen: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Every way to say what a segment shows.

    seen  characters the story has shown before: "the robot", or "a robot" for one who is new.
    """
    names = [f"{'the' if kind in seen else 'a'} {kind}" for kind in cast] + ["", ""]
    fields = {"who": names[0], "other": names[1], "scene": scene, "where": _ANYWHERE[scene]}
    said = tuple(template.format(**fields) for template in _TEMPLATES[action])
    if action in _AGAIN and cast[0] in seen:
        said += tuple(f"{prompt} again" for prompt in said)
    return said


def all_shots() -> list[tuple[str, tuple[str, ...], str]]:
    """Every (scene, cast, action) there is."""
    shots = []
    for scene in SCENES:
        shots.append((scene, (), "empty"))
        shots += [(scene, (kind,), action) for kind in KINDS for action in (*_SOLO, "returns", "leaves")]
        shots += [(scene, (one, other), "meet") for one in KINDS for other in KINDS if one != other]
    return shots


@cache
def _meanings() -> dict[str, tuple[str, tuple[str, ...], str]]:
    seen_by = {0: [()], 1: [(), KINDS]}
    meanings = {}
    for scene, cast, action in all_shots():
        for seen in seen_by.get(len(cast), [(), cast[:1], cast[1:], KINDS]):
            meanings |= {prompt: (scene, cast, action) for prompt in prompts(scene, cast, action, seen)}
    return meanings


def vocabulary() -> tuple[str, ...]:
    """Every word of every prompt, in alphabetical order."""
    return tuple(sorted({word for prompt in _meanings() for word in prompt.split()}))


def parse_prompt(prompt: str) -> tuple[str, tuple[str, ...], str]:
    """What a prompt shows: (scene, cast, action). Raises ValueError for one that no story would use."""
    try:
        return _meanings()[" ".join(prompt.lower().split())]
    except KeyError:
        raise ValueError(
            f"the cartoon world has no picture for the prompt {prompt!r}: say it as in "
            '"a robot walks across the meadow".'
        ) from None


def story_from_prompts(script: list[tuple[str, int]], identities: Mapping[str, Identity] | None = None) -> CartoonStory:
    """A story from (prompt, chunks) pairs. Characters that are not given an identity get the first one."""
    segments, start = [], 0
    for prompt, chunks in script:
        segments.append(Segment(prompt, *parse_prompt(prompt), start, start + chunks))
        start += chunks
    named = {kind: IDENTITIES[0] for kind in KINDS} | dict(identities or {})
    return CartoonStory(tuple(segments), named)


# -- sampling --------------------------------------------------------------------------------------------------------

PLANS = ("late", "opening", "elsewhere", "pair", "long", "wander")


def sample_story(seed: int | list[int] | np.random.Generator, plan: str | None = None) -> CartoonStory:
    """A story at random; the same seed gives the same story.

    plan  one of PLANS, or None for any:
          late       an empty scene, then the hero; away at least LONG_ABSENCE chunks, another comes, the hero is back
          opening    the same with the hero in chunk 0
          elsewhere  the hero comes back in another scene
          pair       two characters, one after the other; later they meet
          long       seven segments with three characters
          wander     three to eight segments, each at random

    Raises ValueError for another plan.
    """
    rng = np.random.default_rng(seed)
    plan = PLANS[rng.integers(len(PLANS))] if plan is None else plan
    if plan not in PLANS:
        raise ValueError(f"the story plan is {plan!r}, but must be one of {', '.join(PLANS)}.")
    scenes = [SCENES[i] for i in rng.permutation(len(SCENES))]
    kinds = [KINDS[i] for i in rng.permutation(len(KINDS))]
    outline = _wander(rng, scenes, kinds) if plan == "wander" else _outline(plan, *scenes[:3], *kinds[:3])
    if plan != "wander" and rng.random() < 0.6:
        _let_someone_stay(rng, outline)
    lengths = [_length(rng) for _ in outline]
    if plan != "wander":
        _lengthen_absences(outline, lengths)
    identities = {kind: IDENTITIES[rng.integers(len(IDENTITIES))] for kind in KINDS}
    return CartoonStory(_segments(rng, outline, lengths), identities)


_Outline = list[tuple[str, tuple[str, ...], str | None]]  # scene, cast, and the action if it is settled


def _outline(plan: str, a: str, b: str, c: str, hero: str, other: str, third: str) -> _Outline:
    shots = {
        "late": ((a,), (a, hero), (c,), (b, other), (a, hero)),
        "opening": ((a, hero), (c,), (b, other), (a, hero)),
        "elsewhere": ((b, other), (a, hero), (c,), (b, other), (c, hero)),
        "pair": ((b,), (a, hero), (b, other), (c,), (b, third), (a, hero, other)),
        "long": ((c,), (a, hero), (c,), (b, other), (c, third), (b, other), (a, hero)),
    }
    return [(scene, tuple(cast), None) for scene, *cast in shots[plan]]


def _wander(rng: np.random.Generator, scenes: list[str], kinds: list[str]) -> _Outline:
    casts = [(), (kinds[0],), (kinds[0],), (kinds[1],), (kinds[1],), (kinds[2],), (kinds[0], kinds[1])]
    outline: _Outline = []
    for _ in range(rng.integers(3, 9)):
        scene, cast = scenes[rng.integers(3)], casts[rng.integers(len(casts))]
        stays = bool(outline) and outline[-1] == (scene, cast, None) and len(cast) == 1
        outline.append((scene, cast, "leaves" if stays and rng.random() < 0.5 else None))
    return outline


def _let_someone_stay(rng: np.random.Generator, outline: _Outline) -> None:
    """Give somebody a second segment in the same place: to leave it, or to do something else there."""
    alone = [i for i, (_, cast, _) in enumerate(outline[:-1]) if len(cast) == 1]
    where = alone[rng.integers(len(alone))]
    outline.insert(where + 1, (*outline[where][:2], "leaves" if rng.random() < 0.5 else None))


def _length(rng: np.random.Generator) -> int:
    return int(rng.integers(SHORTEST, (VERY_LONG if rng.random() < 0.125 else LONGEST) + 1))


def _lengthen_absences(outline: _Outline, lengths: list[int]) -> None:
    """Make the last segment's characters stay away at least LONG_ABSENCE chunks before it."""
    for kind in outline[-1][1]:
        last = max(i for i, (_, cast, _) in enumerate(outline[:-1]) if kind in cast)
        between = range(last + 1, len(outline) - 1)
        while sum(lengths[i] for i in between) < LONG_ABSENCE:
            lengths[min(between, key=lengths.__getitem__)] += 1


def _segments(rng: np.random.Generator, outline: _Outline, lengths: list[int]) -> tuple[Segment, ...]:
    segments: list[Segment] = []
    seen: tuple[str, ...] = ()
    for (scene, cast, action), length in zip(outline, lengths, strict=True):
        action = action or _choose_action(rng, cast, seen, segments[-1] if segments else None, scene)
        said = prompts(scene, cast, action, seen)
        start = segments[-1].end_chunk if segments else 0
        segments.append(Segment(said[rng.integers(len(said))], scene, cast, action, start, start + length))
        seen += tuple(kind for kind in cast if kind not in seen)
    return tuple(segments)


def _choose_action(
    rng: np.random.Generator, cast: tuple[str, ...], seen: tuple[str, ...], before: Segment | None, scene: str
) -> str:
    if len(cast) != 1:
        return "meet" if cast else "empty"
    if before is not None and before.scene == scene and cast[0] in before.cast and before.action != "leaves":
        actions = tuple(action for action in _AGAIN if action != before.action)
    else:
        actions = (*_SOLO, "returns", "returns") if cast[0] in seen else _SOLO
    return actions[rng.integers(len(actions))]
