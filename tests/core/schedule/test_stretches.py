"""Stretches on a story's clock: where they fall, and which are refused."""

from __future__ import annotations

import pytest

from memflow_core.schedule import ChunkGrid, ScheduleError, Stretch, Time, parse_time, place_stretches

GRID = ChunkGrid()


def stretches(*spans: tuple[str, str]) -> list[Stretch]:
    return [Stretch(parse_time(start), parse_time(end) if end else None) for start, end in spans]


PLACED = {
    "one all the way": ([("0s", "")], [(0, 0, None)]),
    "seconds": ([("1s", "2s")], [(0, 16, 32)]),
    "frames": ([("5", "7")], [(0, 5, 7)]),
    "chunks": ([("1c", "3c")], [(0, 9, 33)]),
    "shares": ([("0%", "50%")], [(0, 0, 57)]),
    "one after the other": ([("0s", "1s"), ("1s", "2s")], [(0, 0, 16), (1, 16, 32)]),
    "in another order": ([("1s", "2s"), ("0s", "1s")], [(1, 0, 16), (0, 16, 32)]),
    "with a gap": ([("0s", "1s"), ("2s", "")], [(0, 0, 16), (1, 32, None)]),
    "until the next one": ([("0s", ""), ("2s", "")], [(0, 0, 32), (1, 32, None)]),
    "an end beyond the story's": ([("0s", "999s")], [(0, 0, 15984)]),
    "none": ([], []),
}


@pytest.mark.parametrize("name", PLACED)
def test_stretches_are_placed_on_frames(name):
    spans, expected = PLACED[name]
    placed, notes = place_stretches(stretches(*spans), GRID, 10)
    assert [(one.number, one.start_px, one.end_px) for one in placed] == expected
    assert not notes


REFUSED = {
    "over one another": ([("0s", "2s"), ("1s", "3s")], "control 2 starts at 1 s, where control 1"),
    "at the same time": ([("1s", ""), ("1s", "")], "control 2 starts at 1 s"),
    "one within another": ([("0s", "9s"), ("1s", "2s")], "let one end where the next one starts"),
    "backwards": ([("2s", "1s")], "runs from 2 s to 1 s"),
    "nothing": ([("1s", "1s")], "holds no video frame"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_others_are_refused_in_one_sentence(name):
    spans, words = REFUSED[name]
    with pytest.raises(ScheduleError, match=words) as refusal:
        place_stretches(stretches(*spans), GRID, 10)
    assert "\n" not in str(refusal.value)


def test_one_beyond_the_end_is_left_out_and_told():
    placed, notes = place_stretches(stretches(("0s", "1s"), ("60s", "")), GRID, 10)
    assert [one.number for one in placed] == [0]
    assert [str(note) for note in notes] == ["control 2 starts at 60 s, beyond the end: left out"]


def test_a_share_of_a_story_without_an_end_is_refused():
    with pytest.raises(ScheduleError, match="the length of the story is open"):
        place_stretches([Stretch(Time(50, "percent"))], GRID, None)
    placed, _ = place_stretches([Stretch(Time(0, "percent"), Time(900, "s"))], GRID, None)
    assert placed[0].end_px == 14400
