"""Prompts of the cartoon world: every phrasing of every shot, and the shot that a prompt asks for."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import NamedTuple

from .characters import NAMES, phrase_of
from .world import KINDS, SCENES

_IN_SCENE = {"meadow": "in the meadow", "beach": "on the beach", "city": "in the city", "snow": "in the snow"}
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
# with which a character may appear in a story for the first time
FIRST_ACTIONS = ("across", "right", "left", "enters", "jumps", "waves", "stands")
# of one character alone
SOLO_ACTIONS = (*FIRST_ACTIONS, "returns", "leaves")
# which a known character may do "again"
REPEATABLE_ACTIONS = ("across", "right", "left", "jumps", "waves", "stands")


class Shot(NamedTuple):
    """What a segment shows.

    scene   one of SCENES.
    cast    characters (see `characters`), none to two; the first comes first in the prompt.
    action  one of ACTIONS.
    """

    scene: str
    cast: tuple[str, ...]
    action: str


def prompt_variants(shot: Shot, seen: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return every phrasing of a shot.

    seen  characters that the story has shown before: "the robot" instead of "a robot".
    """
    names = [_noun(character, character in seen) for character in shot.cast] + ["", ""]
    fields = {"who": names[0], "other": names[1], "scene": shot.scene, "where": _IN_SCENE[shot.scene]}
    variants = tuple(template.format(**fields) for template in _TEMPLATES[shot.action])
    if shot.action in REPEATABLE_ACTIONS and shot.cast[0] in seen:
        variants += tuple(f"{prompt} again" for prompt in variants)
    return variants


def _noun(character: str, seen: bool) -> str:
    phrase = phrase_of(character)
    return f"{'the' if seen else 'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def all_shots(characters: tuple[str, ...] = KINDS) -> list[Shot]:
    """Return every possible shot of some characters, always in the same order."""
    shots = []
    for scene in SCENES:
        shots.append(Shot(scene, (), "empty"))
        shots += [Shot(scene, (one,), action) for one in characters for action in SOLO_ACTIONS]
        shots += [Shot(scene, (one, other), "meet") for one in characters for other in characters if one != other]
    return shots


@cache
def _shots_by_prompt(characters: tuple[str, ...] = KINDS) -> dict[str, Shot]:
    seen_by_cast_size = {0: [()], 1: [(), characters]}
    shots = {}
    for shot in all_shots(characters):
        for seen in seen_by_cast_size.get(len(shot.cast), [(), shot.cast[:1], shot.cast[1:], characters]):
            shots |= dict.fromkeys(prompt_variants(shot, seen), shot)
    return shots


def vocabulary() -> tuple[str, ...]:
    """Return every word of every prompt without names, in alphabetical order."""
    return tuple(sorted({word for prompt in _shots_by_prompt() for word in prompt.split()}))


def full_vocabulary() -> tuple[str, ...]:
    """Return every word of every prompt, the names that tell characters of a kind apart included."""
    return tuple(sorted({*vocabulary(), *NAMES, "an"}))


def parse_prompt(prompt: str) -> Shot:
    """Return the shot that a prompt asks for. Case and extra spaces do not count.

    Raises ValueError for a prompt that `prompt_variants` never gives.
    """
    words = prompt.lower().split()
    named = [f"{one} {two}" for one, two in pairwise(words) if one in NAMES and two in KINDS]
    plain = {two for one, two in pairwise(words) if one not in NAMES and two in KINDS}
    characters = tuple(dict.fromkeys((*named, *sorted(plain)))) if named else KINDS
    try:
        return _shots_by_prompt(characters)[" ".join(words)]
    except KeyError:
        raise ValueError(
            f"the cartoon world has no picture for the prompt {prompt!r}: say it as in "
            '"a robot walks across the meadow".'
        ) from None
