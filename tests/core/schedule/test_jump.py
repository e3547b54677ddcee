"""The switch `jump` in every form of a schedule, and pins and prompts that were called so before it was one."""

from __future__ import annotations

import pytest

from memflow_core.schedule import ChunkGrid, Pin, PromptSchedule, ScheduleError, Segment, Time, read_schedule, to_text


def switches(text: str) -> list[tuple[str, tuple[str, ...]]]:
    return [(segment.switch, segment.recall) for segment in read_schedule(text).segments]


FORMS = {
    "text": "0s: a\n4s [jump]: b",
    "with a seed": "0s: a\n4s [seed 7] [jump]: b",
    "JSON": '[{"start_s": 0, "prompt": "a"}, {"start_s": 4, "prompt": "b", "switch": "jump"}]',
    "table": "start,prompt,switch\n0s,a,\n4s,b,jump",
}


@pytest.mark.parametrize("text", FORMS.values(), ids=list(FORMS))
def test_a_jump_is_read_written_and_placed(text):
    schedule = read_schedule(text)
    assert [segment.switch for segment in schedule.segments] == ["recache", "jump"]
    assert read_schedule(to_text(schedule)) == schedule
    assert schedule.place(ChunkGrid(8, 24.0), Time(10, "s")).segments[1].switch == "jump"


def test_a_pin_that_is_called_jump_stays_one():
    assert switches("pin jump: 1s\n0s: a\n4s [jump]: b") == [("recache", ()), ("recache", ("jump",))]
    assert switches("pin jump: 1s\n0s: a\n4s [cut] [jump]: b") == [("recache", ()), ("cut", ("jump",))]
    pinned = read_schedule("pin jump: 1s\n0s: a\n4s [jump]: b")
    assert read_schedule(to_text(pinned)) == pinned


def test_a_prompt_that_begins_with_it_stays_a_prompt():
    assert read_schedule("0s: [jump] a robot").segments[0].prompt == "[jump] a robot"
    assert read_schedule("[jump] a robot").segments[0].prompt == "[jump] a robot"


@pytest.mark.parametrize("options", ["[cut] [jump]", "[jump] [soft]", "[blend 6] [jump]", "[jump] [jump]"])
def test_two_switches_are_refused(options):
    with pytest.raises(ScheduleError, match="second"):
        read_schedule(f"0s: a\n4s {options}: b")


def test_both_at_once_are_refused_since_they_are_written_alike():
    segments = (Segment(Time(0, "s"), "a"), Segment(Time(4, "s"), "b", switch="jump"))
    with pytest.raises(ScheduleError, match="give the pin another name"):
        PromptSchedule(segments, pins=(Pin(Time(1, "s"), "jump"),))
