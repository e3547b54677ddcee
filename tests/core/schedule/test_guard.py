"""Times that would be words of a prompt: which of them lists have, and which of them sentences have."""

import pytest

from memflow_core.schedule.guard import begins_with_time, count_times, looks_timed
from memflow_core.schedule.words import UNIT_WORDS, UNITS


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0s a fox, 3s the snow", 2),
        ("a fox (0-3s), the snow (3-7s)", 2),
        ("0:00 a fox\n0:05 the snow", 2),
        ("at 0 seconds a fox, at 3 seconds the snow", 2),
        ("fox, 3s, snow, 7s, dusk", 2),
        ("a fox @3s\nthe snow @7s", 2),
        ("\uff10\u79d2\uff1a\u72d0\u72f8\n\u4e09\u79d2\uff1a\u96ea", 2),
        ("t0: a fox\nt3: the snow", 2),
        ("0:75 a fox\n0:80 the snow", 2),
        ("a fox walks for 3s, then waits for 5s", 1),
        ("it takes 5s to run and 6s to stop", 0),
        ("a fox walks for 3 seconds, then waits for 2 seconds", 0),
        ("open from 8:00 to 12:00 and from 13:00 to 17:00", 0),
        ("80s neon, 90s music, 1/50s shutter", 0),
        ("24 fps, 35mm, f/1.8, 16:9, 4K, 100% cotton", 0),
        ("it costs $3.50, 1,000 times", 0),
        ('"0s a fox, 3s the snow"', 0),
    ],
)
def test_times_count_where_lists_have_them(text, count):
    assert count_times(text) == count


def test_a_clock_time_of_zero_before_the_text_counts_for_those_within():
    assert count_times("a fox, 0:05 the snow") == 0
    assert count_times("a fox, 0:05 the snow", start="clock") == 1


@pytest.mark.parametrize("text", ["<b>3s</b> a", "3s12f: a", "PT3S: a", "f3: a", "@48 a", "3' a", "a fox (3 seconds)"])
def test_odd_times_look_like_times(text):
    assert looks_timed(text)


@pytest.mark.parametrize(
    ("prompt", "begins"),
    [
        ("3s a fox", True),
        ("/ 3s: a fox", True),
        ("[3] a fox", True),
        ("3: a fox", True),
        ("80s neon", False),
        ("16:9 wide", False),
        ("(2) robots", False),
        ("3 seconds later it rains", False),
        ("a fox at 3s", False),
    ],
)
def test_a_prompt_begins_with_a_second_time(prompt, begins):
    assert begins_with_time(prompt) is begins


def test_every_word_of_a_unit_means_one_unit():
    listed = [word for _, _, own, more in UNIT_WORDS for word in f"{own} {more}".split()]
    assert len(listed) == len(set(listed)) == len(UNITS)
    assert [word for word in UNITS if word != word.lower()] == []
