"""Words of other programs for how a prompt takes over, and what begins a shot in them.

Segment joins of MiniMax H3's timelines are called Continuous, Cut and Bridge; Echo-Forcing's are smooth and hardcut.
LongLive 2's program puts words before the first prompt of each shot but the story's first. In lists of prompts they
mark shots; in the text form, where [jump] is written, they stay words of the prompt, and are told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..config import SWITCHES
from .notes import Note, listed, note
from .reach import JUMP
from .schedule import PromptSchedule

FOREIGN_WORDS = {
    "continuous": "recache",
    "smooth": "recache",
    "bridge": "blend",
    "hardcut": "cut",
    "hard cut": "cut",
    **{switch: switch for switch in SWITCHES},
}
# what no prompt begins with in brackets, whatever its case
MARKS = ("continuous", "bridge", "cut", "hard ?cut")
SHOT_PREFIXES = ("The scene transitions.", "[SCENE_CUT]")


def foreign_switch(word: str) -> str | None:
    """The switch that another program's word stands for, such as `blend` for `Bridge`; None for any other word."""
    return None if word in SWITCHES else FOREIGN_WORDS.get(" ".join(word.lower().split()))


def switch_of(word: str) -> str | None:
    """The switch that a word stands for, ours or another program's; None for any other word."""
    return word if word in SWITCHES else foreign_switch(word)


def words_note(words: Sequence[str]) -> list[Note]:
    """What is told of words that were taken as switches; nothing for none."""
    pairs = dict.fromkeys(f"{word} = [{foreign_switch(word)}]" for word in words if foreign_switch(word))
    return [note("words of other programs are taken as switches: {0}", ", ".join(pairs))] if pairs else []


def begins_shot(prompt: str) -> bool:
    """Whether a prompt begins with what begins a shot in LongLive 2's program."""
    return prompt.startswith(SHOT_PREFIXES)


def with_shots(schedule: PromptSchedule) -> PromptSchedule:
    """A schedule of a list of prompts in which those that begin a shot take over by a jump, which is told."""
    numbers = [
        number
        for number, segment in enumerate(schedule.segments, 1)
        if number > 1 and segment.switch == "recache" and begins_shot(segment.prompt)
    ]
    if not numbers:
        return schedule
    segments = (
        replace(segment, switch=JUMP) if number in numbers else segment
        for number, segment in enumerate(schedule.segments, 1)
    )
    told = note("prompts that begin a shot as LongLive 2 marks it take over by [jump] ({0})", listed(numbers))
    return replace(schedule, segments=tuple(segments)).with_notes([told])


def shots_note(numbers: Sequence[int]) -> list[Note]:
    """What is told of lines of the text form with a prompt that begins a shot, and no option; nothing for none."""
    if not numbers:
        return []
    return [
        note("a prompt begins as LongLive 2 marks a shot: write [jump] after its time for one ({0})", listed(numbers))
    ]
