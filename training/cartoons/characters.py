"""Characters of a story by label, and what prompts call them.

    robot                the story's only robot
    tall robot           one of several, told apart by a name that stands in the prompt and shows in no picture
    robot of the beach   one of several, told apart by the scene that it is in; the prompt says "robot"

Each label has a look of its own in a story.
"""

from __future__ import annotations

from .world import IDENTITIES, KINDS, SCENES, Identity

NAMES = ("old", "tall", "young")
_OF = " of the "

CHARACTERS = (
    *KINDS,
    *(f"{name} {kind}" for kind in KINDS for name in NAMES),
    *(f"{kind}{_OF}{scene}" for kind in KINDS for scene in SCENES),
)
"""Every label."""

# a fifth of all looks, every colour and every pattern among them
HELD_OUT_LOOKS = tuple(look for look in IDENTITIES if (look.body + 2 * look.accessory + 3 * look.pattern) % 5 == 0)
"""Looks that no character has in training."""

TRAINED_LOOKS = tuple(look for look in IDENTITIES if look not in HELD_OUT_LOOKS)
"""The other looks."""


def phrase_of(character: str) -> str:
    """Return what a prompt calls a character: its label without the scene."""
    return character.split(_OF)[0]


def kind_of(character: str) -> str:
    """Return the kind that a character is drawn as."""
    return phrase_of(character).split()[-1]


def of_scene(kind: str, scene: str) -> str:
    """Return the label of the character of a kind that is told apart by its scene."""
    return f"{kind}{_OF}{scene}"


def is_held_out(look: Identity) -> bool:
    """Return whether training never shows a look."""
    return look in HELD_OUT_LOOKS
