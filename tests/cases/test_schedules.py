"""Schedules as people have them: `schedules/KIND.json` says what each text means, or in what words it is refused.

The same tables are read by tests/web/schedule_cases.test.mjs. A case has `segments` ([time, prompt] as the text form
writes them), and where it has any `length`, `global`, `notes` (parts of what is told) and `story`; or `refused`. Where
joins are the matter, `switches` and `loras` are those of each segment.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memflow_core.schedule import (
    MOST_CHARACTERS,
    MOST_LINES,
    MOST_SEGMENTS,
    PromptSchedule,
    ScheduleError,
    format_time,
    read_schedule,
    read_story,
    to_text,
)
from memflow_core.schedule.text import from_text

KINDS = sorted((Path(__file__).parent / "schedules").glob("*.json"))
CASES = [(path.stem, case) for path in KINDS for case in json.loads(path.read_text(encoding="utf-8"))]
READ = [(kind, case) for kind, case in CASES if "segments" in case]
REFUSED = [(kind, case) for kind, case in CASES if "refused" in case]


def name(value: object) -> str | None:
    return value if isinstance(value, str) else value["name"] if isinstance(value, dict) else None


def read(case: dict) -> PromptSchedule:
    return read_story(case["text"], case["story"]) if "story" in case else read_schedule(case["text"])


@pytest.mark.parametrize(("kind", "case"), READ, ids=name)
def test_a_text_is_read_as_it_is_meant(kind, case):
    schedule = read(case)
    assert [[format_time(one.start), one.prompt] for one in schedule.segments] == case["segments"]
    assert (schedule.length and format_time(schedule.length)) == case.get("length")
    assert schedule.global_prompt == case.get("global", "")
    assert [one.switch for one in schedule.segments] == case.get("switches", [one.switch for one in schedule.segments])
    loras = [[[lora.name, lora.strength] for lora in one.loras] for one in schedule.segments]
    assert loras == case.get("loras", [[]] * len(loras))
    told = "\n".join(map(str, schedule.notes))
    assert [part for part in case.get("notes", ()) if part not in told] == [], told
    if kind == "prose":
        assert told == "" or "left out" in told


@pytest.mark.parametrize(("kind", "case"), READ, ids=name)
def test_what_was_read_is_written_in_the_text_form(kind, case):
    schedule = read(case)
    again = read_schedule(to_text(schedule, notes=True))
    assert again == schedule and again.notes == ()


@pytest.mark.parametrize(("kind", "case"), REFUSED, ids=name)
def test_what_can_be_meant_in_several_ways_is_refused(kind, case):
    with pytest.raises(ScheduleError, match=case["refused"]):
        read(case)


def test_columns_of_seeds_and_switches_are_read():
    schedule = read_schedule("time,prompt,seed,switch\n0s,a fox,7,\n3s,the snow,,cut")
    assert [(one.seed, one.switch) for one in schedule.segments] == [(7, "recache"), (None, "cut")]
    assert schedule.notes == ()


def test_there_are_many_cases_of_every_kind():
    assert len(CASES) > 300 and len(REFUSED) > 25
    assert len({case["text"] + str(case.get("story")) for _, case in CASES}) == len(CASES)


# -- never one long prompt --------------------------------------------------------------------------------------------

PARTS = [
    "0s: ",
    "3s: ",
    "0-3s",
    "[3s] ",
    "(7-10s)",
    " - ",
    "**",
    "- ",
    "\n",
    "\n\n",
    "```\n",
    "{",
    "}",
    '"',
    "'",
    "--neg x",
]
PARTS += [
    ": ",
    ", ",
    "\uff1a",
    "\u79d2",
    "\u200b",
    "\u00a0",
    "| ",
    "1. ",
    "Scene 2 ",
    "negative: b\n",
    "length: 9s\n",
    "## ",
]
PARTS += [
    "->",
    "\u2192",
    "\u201c",
    "40",
    "%",
    "00:00:03,000 --> 00:00:05,000\n",
    "---\n",
    "Sure:\n",
    "time,prompt\n",
    "(a:1.2)",
]
# a line that no one writes without a time in mind: `3s: `, `0-3s: `, `[3s] `, `0:03 - `
_MOMENT = r"(?:[0-9]{1,2}:[0-9]{2}|[0-9]{1,3}s)"
TIMED = re.compile(rf"(?:- )?(?:{_MOMENT}(?:-{_MOMENT})?(?::| - | -> )|\[{_MOMENT}\]) ?[a-z]")


def mutated(random: Random) -> str:
    """A text of the cases with up to four changes."""
    text = random.choice(CASES)[1]["text"]
    for _ in range(random.randint(0, 4)):
        place = random.randint(0, len(text))
        end = min(len(text), place + random.randint(1, 12))
        text = random.choice(
            [
                text[:place] + random.choice(PARTS) + text[place:],
                text[:place] + text[end:],
                text[:place] + text[place:end] * 2 + text[end:],
                text + "\n" + random.choice(CASES)[1]["text"],
            ]
        )
    return text


def count_timed_lines(text: str) -> int:
    return sum(TIMED.match(line.strip()) is not None for line in re.split(r"[\r\n]", text))


def is_literal(text: str) -> bool:
    """Whether double or curly quotes or fences may say that times in them are words."""
    return any(mark in text for mark in ('"', "\u201c", "```", "negative", "Negative", "--"))


@given(st.integers(0, 2**32))
@settings(max_examples=1500)
def test_two_times_never_come_out_as_one_prompt(seed):
    text = mutated(Random(seed))
    try:
        schedule = read_schedule(text)
    except ScheduleError as error:
        assert str(error).endswith(".") and "\n" not in str(error)
        return
    assert from_text(to_text(schedule)) == schedule
    if len(schedule.segments) == 1 and not schedule.notes and not is_literal(text):
        assert count_timed_lines(text) < 2, text


# -- bounds -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a" * (MOST_CHARACTERS + 1), "1,000,001 characters, but may have 1,000,000: make it shorter"),
        ("0s: a" + "\n" * MOST_LINES, "20,001 lines, but may have 20,000"),
        ("\n".join(f"{n}s: a{n}" for n in range(MOST_SEGMENTS + 1)), "2,001 prompts, but may have 2,000"),
        ("\n".join(f"- {n}s: a{n}" for n in range(MOST_SEGMENTS + 1)), "2,001 prompts"),
        ("\n".join(f"{n}s,a{n}" for n in range(MOST_SEGMENTS + 1)), "2,001 prompts"),
        (json.dumps({str(n): f"a{n}" for n in range(MOST_SEGMENTS + 1)}), "2,001 prompts"),
        (json.dumps([[f"{n}s", f"a{n}"] for n in range(MOST_SEGMENTS + 1)]), "2,001 prompts"),
        ("|".join("ab" for _ in range(MOST_SEGMENTS + 1)), "2,001 prompts"),
        ("\n".join(f"pin: {n}s" for n in range(MOST_SEGMENTS + 1)) + "\n0s: a", "2,001 pins"),
        ([[f"{n}s", "a"] for n in range(MOST_SEGMENTS + 1)], "2,001 prompts"),
    ],
)
def test_more_than_a_schedule_may_hold_is_refused(text, message):
    with pytest.raises(ScheduleError, match=message):
        read_schedule(text)


def test_as_much_as_a_schedule_may_hold_is_read():
    assert len(read_schedule("\n".join(f"{n}s: a{n}" for n in range(MOST_SEGMENTS))).segments) == MOST_SEGMENTS
    assert read_schedule("a" * MOST_CHARACTERS).segments[0].prompt == "a" * MOST_CHARACTERS
