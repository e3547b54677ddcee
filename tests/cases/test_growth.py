"""Hostile texts take time in proportion to their length: twice the text, about twice the time.

A text 16 times as long takes less than 80 times as long: it is 16 in proportion, 256 in quadratic time. Times are
those of the processor, the best of several.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path

import pytest

from memflow_core.schedule import ScheduleError, read_schedule

HOSTILE = json.loads((Path(__file__).parent / "hostile_texts.json").read_text(encoding="utf-8"))
SHORT, LONG, MOST_RATIO = 12_000, 192_000, 80
# below this much a clock measures itself
LEAST_S = 2e-3


def seconds(text: str, enough: float = 0.0) -> float:
    """The shortest of several readings; no more are taken after one that is below `enough`."""
    best = float("inf")
    for _ in range(5):
        began = time.thread_time()
        with suppress(ScheduleError):
            read_schedule(text)
        best = min(best, time.thread_time() - began)
        if best < enough:
            break
    return max(best, LEAST_S)


def assert_in_proportion(short: str, long: str) -> None:
    most_s = MOST_RATIO * seconds(short)
    assert seconds(long, enough=most_s) < most_s


@pytest.mark.parametrize(("name", "start", "repeat", "end"), HOSTILE["texts"])
def test_a_text_takes_time_in_proportion(name, start, repeat, end):
    assert_in_proportion(*(start + repeat * (size // len(repeat)) + end for size in (SHORT, LONG)))


@pytest.mark.parametrize(("name", "line"), HOSTILE["lines"])
def test_lines_take_time_in_proportion(name, line):
    assert_in_proportion(*("\n".join([line] * count) for count in (1_200, 19_200)))
