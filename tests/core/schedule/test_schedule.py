"""Times, the grid of chunks, and placing segments and pins on it."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from memflow_core.config import MemoryConfig
from memflow_core.schedule import Blend, ChunkGrid, Pin, PromptSchedule, ScheduleError, Segment, Time, read_schedule


def schedule(*starts: tuple[float, str], **fields) -> PromptSchedule:
    return PromptSchedule(
        tuple(Segment(Time(value, unit), f"prompt {n}") for n, (value, unit) in enumerate(starts)), **fields
    )


def starts_of(plan) -> list[int]:
    return [segment.start_chunk for segment in plan.segments]


@pytest.mark.parametrize("latent_frames", [1, 2, 3, 5])
def test_chunks_start_where_the_vae_decodes_their_first_frame(latent_frames):
    grid = ChunkGrid(latent_frames)
    frames_of_latent = [1] + [4] * 40
    starts, frame = [], 0
    for latent, frames in enumerate(frames_of_latent):
        if latent % latent_frames == 0:
            starts.append(frame)
        frame += frames
    for px in range(starts[-1] + 1):
        first = next(chunk for chunk, start in enumerate(starts) if start >= px)
        assert grid.chunk_at_or_after_px(px) == first
        assert grid.chunks_for_px(px) == first
    for chunk, start in enumerate(starts):
        assert grid.start_px(chunk) == grid.px_frames(chunk) == start
        assert grid.start_s(chunk) == start / 16


@pytest.mark.parametrize(
    ("start", "chunk"),
    [
        (Time(9 / 16, "s"), 1),
        (Time(0.57, "s"), 1),  # rounds to video frame 9
        (Time(0.6, "s"), 2),  # rounds to video frame 10
        (Time(10, "s"), 14),
        (Time(160, "frames"), 14),
        (Time(9.5, "frames"), 2),
        (Time(12, "chunks"), 12),
        (Time(40, "latent"), 14),
        (Time(42, "latent"), 14),
        (Time(50, "percent"), 20),
    ],
)
def test_a_segment_starts_at_the_first_chunk_at_or_after_its_time(start, chunk):
    plan = schedule((0, "s"), (start.value, start.unit)).place(ChunkGrid(), Time(40, "chunks"))
    assert starts_of(plan) == [0, chunk]
    assert [segment.end_chunk for segment in plan.segments] == [chunk, 40]


@pytest.mark.parametrize("count", range(1, 40))
def test_equal_shares_get_equal_numbers_of_chunks(count):
    shares = schedule(*((100 * place / count, "percent") for place in range(count)))
    assert starts_of(shares.place(ChunkGrid(), Time(3 * count, "chunks"))) == list(range(0, 3 * count, 3))


@pytest.mark.parametrize(
    ("length", "chunks"),
    [
        (Time(9, "frames"), 1),
        (Time(10, "frames"), 2),
        (Time(60, "s"), 81),
        (Time(7, "chunks"), 7),
        (Time(7, "latent"), 3),
    ],
)
def test_the_length_is_rounded_up_to_whole_chunks(length, chunks):
    assert schedule((0, "s"), length=length).place(ChunkGrid()).chunks == chunks


def test_a_length_given_at_placing_goes_before_the_schedules_own():
    assert schedule((0, "s"), length=Time(60, "s")).place(ChunkGrid(), Time(4, "chunks")).chunks == 4


@pytest.mark.parametrize(
    ("frames", "switches", "expected"),
    [
        (30, [0, 13, 14], [(5, 1), (6, 2), (10, 3)]),  # recorded: inter_quirk_switch
        (45, [10, 31], [(4, 0), (11, 1), (15, 2)]),  # recorded: inter_b3r3_gs
        (30, [29, 100], [(10, 0)]),
        (30, [12, 13, 13, 29], [(4, 0), (5, 1), (6, 2), (10, 3)]),
        (30, [20, 10], [(7, 0), (8, 1), (10, 2)]),
    ],
)
def test_defer_makes_one_switch_at_a_chunk_start_as_the_published_program_does(frames, switches, expected):
    story = schedule((0, "latent"), *((frame, "latent") for frame in switches))
    plan = story.place(ChunkGrid(), Time(frames, "latent"), collisions="defer")
    assert [(placed.end_chunk, int(placed.prompt.split()[1])) for placed in plan.segments] == expected
    assert starts_of(plan) == [0, *(end for end, _ in expected[:-1])]


@pytest.mark.parametrize(
    ("starts", "message"),
    [
        ([], "the schedule is empty"),
        ([(1, "s")], "segment 1 .*must start at 0"),
        ([(0, "s"), (5, "s"), (4, "s")], "segment 3 .*4 s.* segment 2 .*5 s"),
        ([(0, "s"), (5, "s"), (16, "frames")], "segment 3 .*frame 16.* segment 2 .*5 s"),
        ([(0, "s"), (5, "s"), (5.05, "s")], "segment 2 .*5 s.*segment 3 .*5.05 s.*chunk 7 .*0.75 s apart"),
        ([(0, "s"), (0.02, "s")], "segment 1 .*segment 2 .*chunk 0"),
        ([(0, "s"), (40, "chunks")], "segment 2 .*story ends at 29.81 s"),
        ([(0, "s"), (1e12, "s")], "segment 2 .*story ends at 29.81 s"),
        ([(0, "s"), (100, "percent")], "segment 2 .*story ends"),
    ],
)
def test_segments_that_cannot_be_placed_are_refused(starts, message):
    with pytest.raises(ScheduleError, match=message):
        schedule(*starts).place(ChunkGrid(), Time(40, "chunks"))


def test_a_plan_finds_the_segment_of_a_chunk():
    plan = schedule((0, "s"), (7, "chunks"), (9, "chunks")).place(ChunkGrid(), Time(12, "chunks"))
    assert [plan.segment_at(chunk) for chunk in range(12)] == [0] * 7 + [1] * 2 + [2] * 3
    for outside in (-1, 12):
        with pytest.raises(IndexError, match="the plan has no chunk"):
            plan.segment_at(outside)


@pytest.mark.parametrize("length", [None, Time(0.01, "s")])
def test_a_story_needs_a_length(length):
    with pytest.raises(ScheduleError, match="length"):
        schedule((0, "s")).place(ChunkGrid(), length)


def test_an_empty_prompt_needs_a_global_one():
    segments = (Segment(Time(0, "s"), "a"), Segment(Time(5, "s"), " \n"))
    with pytest.raises(ScheduleError, match="segment 2 has no prompt"):
        PromptSchedule(segments).place(ChunkGrid(), Time(9, "s"))
    assert len(PromptSchedule(segments, "a meadow").place(ChunkGrid(), Time(9, "s")).segments) == 2


def test_full_prompts_start_with_the_global_prompt():
    segments = (Segment(Time(0, "s"), "it walks"), Segment(Time(5, "s"), ""))
    assert PromptSchedule(segments, "a red robot,").full_prompts() == ["a red robot, it walks", "a red robot,"]
    assert PromptSchedule(segments).full_prompts() == ["it walks", ""]


@pytest.mark.parametrize(
    ("value", "unit"),
    [
        (-1, "s"),
        (math.nan, "s"),
        (math.inf, "frames"),
        pytest.param(10**5000, "chunks", id="huge"),
        (1.5, "chunks"),
        (1.5, "latent"),
        (101, "percent"),
        (True, "s"),
        ("1", "s"),
        (None, "s"),
        (1, "hours"),
        (1, ["s"]),
    ],
)
def test_a_time_is_checked_when_it_is_made(value, unit):
    with pytest.raises(ScheduleError, match="time"):
        Time(value, unit)


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": 7},
        {"prompt": "half \ud83d"},
        {"switch": "fade"},
        {"seed": -1},
        {"seed": 2**64},
        {"seed": True},
        {"start": 0},
        {"blend": Blend()},
        {"switch": "blend", "blend": 4},
        {"recall": "hero"},
        {"recall": ("hero", "hero")},
    ],
)
def test_a_segment_is_checked_when_it_is_made(fields):
    with pytest.raises(ScheduleError, match=next(iter(fields))):
        Segment(**{"start": Time(0, "s"), "prompt": "a"} | fields)


@pytest.mark.parametrize("length", [Time(0, "s"), Time(50, "percent"), 60])
def test_a_schedules_length_is_checked_when_it_is_made(length):
    with pytest.raises(ScheduleError, match="length is"):
        PromptSchedule((), length=length)


def test_whole_times_are_equal_however_they_are_written():
    assert Time(3.0, "chunks") == Time(3, "chunks")
    assert repr(Time(3.0, "chunks")) == repr(Time(3, "chunks"))


def test_the_report_has_requested_and_placed_starts():
    segments = (Segment(Time(0, "s"), "a meadow"), Segment(Time(10, "s"), "a robot " * 20, "cut", seed=7))
    plan = PromptSchedule(segments).place(ChunkGrid(), Time(20, "s"))
    head, first, second = plan.report().splitlines()
    assert head == "27 chunks, 321 video frames, 20.06 s at 16 fps"
    assert first == "'a meadow' asked for at 0 s, starts at chunk 0, 0.00 s"
    assert second.startswith("'a robot ") and second.endswith(
        "...' asked for at 10 s, starts at chunk 14, 10.31 s (+0.31 s)"
    )


def test_the_plan_is_fit_for_json():
    segments = (Segment(Time(0, "s"), "a"), Segment(Time(10, "s"), "b", "cut", seed=7))
    data = json.loads(json.dumps(PromptSchedule(segments).place(ChunkGrid(), Time(20, "s")).to_dict(), allow_nan=False))
    assert data["chunks"] == 27 and data["video_frames"] == 321
    assert data["segments"][1] == {
        "start_chunk": 14,
        "end_chunk": 27,
        "prompt": "b",
        "switch": "cut",
        "seed": 7,
        "requested": {"value": 10, "unit": "s"},
        "delay_s": 0.3125,
        "blend_chunks": 0,
        "blend_path": "linear",
        "recall": [],
        "start_frame": 165,
        "start_s": 10.3125,
    }


# -- blends -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("length", "fps", "chunks"),
    [
        (Time(6, "chunks"), 16, 6),
        (Time(3, "s"), 16, 4),  # 48 video frames, 12 a chunk
        (Time(3.1, "s"), 16, 5),
        (Time(0.01, "s"), 16, 1),
        (Time(3, "s"), 24, 6),
    ],
)
def test_a_blend_takes_whole_chunks(length, fps, chunks):
    segments = (
        Segment(Time(0, "s"), "a"),
        Segment(Time(10, "s"), "b", "blend", blend=Blend(length, "spherical")),
    )
    placed = PromptSchedule(segments).place(ChunkGrid(fps=fps), Time(20, "s")).segments
    assert [(segment.blend_chunks, segment.blend_path) for segment in placed] == [(0, "linear"), (chunks, "spherical")]


def test_a_blend_without_a_length_takes_four_chunks():
    assert Segment(Time(0, "s"), "a", "blend") == Segment(Time(0, "s"), "a", "blend", blend=Blend(Time(4, "chunks")))


@pytest.mark.parametrize("fields", [{"length": Time(0, "chunks")}, {"length": Time(50, "percent")}, {"length": 4}])
def test_a_blends_length_is_checked_when_it_is_made(fields):
    with pytest.raises(ScheduleError, match=r"a blend's length is .*chunks, at least 1, or seconds above 0"):
        Blend(**fields)


def test_the_report_has_the_end_of_a_blend():
    segments = (Segment(Time(0, "s"), "a"), Segment(Time(5, "chunks"), "b", "blend"), Segment(Time(7, "chunks"), "c"))
    whole = PromptSchedule(segments[:2]).place(ChunkGrid(), Time(20, "chunks")).report().splitlines()[-1]
    assert whole.endswith("blends in over 4 chunks, alone from 5.81 s on")
    short = PromptSchedule(segments).place(ChunkGrid(), Time(20, "chunks")).report().splitlines()[2]
    assert short.endswith("blends in over 4 chunks, cut short at 5.06 s")


# -- pins -------------------------------------------------------------------------------------------------------------


def pinned(*pins: Pin, recalls: tuple[tuple[str, ...], ...] = ((), (), ())) -> PromptSchedule:
    """Three segments at 0 s, chunk 7 (latent frame 21, 5.06 s) and chunk 14 (latent frame 42, 10.31 s)."""
    starts = zip((0, 7, 14), recalls, strict=True)
    return PromptSchedule([Segment(Time(start, "chunks"), "a", recall=names) for start, names in starts], pins=pins)


@pytest.mark.parametrize(
    ("time", "frame"),
    [
        (Time(0, "s"), 0),
        (Time(1 / 16, "s"), 1),
        (Time(4, "frames"), 1),
        (Time(5, "frames"), 2),
        (Time(3.5, "s"), 14),  # video frame 56
        (Time(2, "chunks"), 6),
        (Time(17, "latent"), 17),
        (Time(50, "percent"), 30),
    ],
)
def test_a_pin_is_the_latent_frame_at_its_time(time, frame):
    plan = pinned(Pin(time, "hero"), Pin(time)).place(ChunkGrid(), Time(20, "chunks"))
    assert [(pin.frame, pin.name) for pin in plan.pins] == [(frame, "hero"), (frame, None)]
    data = json.loads(json.dumps(plan.to_dict(), allow_nan=False))["pins"][0]
    start = max(0, 4 * frame - 3)
    assert data == {
        "name": "hero",
        "latent_frame": frame,
        "requested": {"value": time.value, "unit": time.unit},
        "start_frame": start,
        "start_s": start / 16,
    }


def test_the_report_has_pins_and_the_segments_that_recall_them():
    story = pinned(Pin(Time(3.5, "s"), "hero"), recalls=((), (), ("hero",)))
    lines = story.place(ChunkGrid(), Time(20, "chunks")).report().splitlines()
    assert lines[3].endswith("remembers hero")
    assert lines[4] == "pin 'hero' at 3.5 s keeps the moment from 3.31 s, video frame 53"


@pytest.mark.parametrize(
    ("pins", "recalls", "message"),
    [
        ([Pin(Time(20, "s"))], [(), (), ()], "the pin at 20 s lies after the end of the story at 14.81 s"),
        (
            [Pin(Time(5.1, "s"), "hero")],
            [(), ("hero",), ()],
            r"segment 2 .*asks for \[hero\] and starts at 5.06 s, but pin",
        ),
        ([Pin(Time(0, "s"), "hero")], [("hero",), (), ()], r"segment 1 .*asks for \[hero\]"),
        ([Pin(Time(0, "s"), "b")], [(), ("hero",), ()], r"segment 2 .*asks for \[hero\], but no pin has that name"),
        ([Pin(Time(0, "s"), "b"), Pin(Time(1, "s"), "b")], [(), (), ()], "two pins have the name 'b'"),
    ],
)
def test_pins_that_cannot_be_placed_are_refused(pins, recalls, message):
    with pytest.raises(ScheduleError, match=message):
        pinned(*pins, recalls=recalls).place(ChunkGrid(), Time(20, "chunks"))


@pytest.mark.parametrize("name", ["", "two words", "3d", "cut", "blend", "seed", "a" * 41, "a.b", 7, b"a"])
def test_a_pins_name_is_one_word_that_is_no_option(name):
    with pytest.raises(ScheduleError, match="a pin's name is"):
        Pin(Time(0, "s"), name)


def test_pins_that_are_needed_at_once_must_fit_into_the_bank():
    pins = [Pin(Time(1, "s"), "a"), Pin(Time(2, "s"), "b"), Pin(Time(3, "s")), Pin(Time(7, "s"))]
    apart = pinned(*pins, recalls=((), ("a",), ("b",))).place(ChunkGrid(), Time(20, "chunks"))
    apart.check_memory(MemoryConfig(bank_frames=3))
    with pytest.raises(ScheduleError, match=r"segment 2 .*needs 3 pinned moments at once, but the memory bank holds 2"):
        apart.check_memory(MemoryConfig(bank_frames=2))
    together = pinned(*pins, recalls=((), (), ("a", "b"))).place(ChunkGrid(), Time(20, "chunks"))
    with pytest.raises(ScheduleError, match=r"segment 3 .*needs 4 pinned moments at once, but the memory bank holds 3"):
        together.check_memory(MemoryConfig(bank_frames=3))
    with pytest.raises(ScheduleError, match=r"segment 2 .*needs 4"):
        apart.check_memory(MemoryConfig(bank_frames=3, pins=(5,)))


def test_the_same_moment_pinned_twice_takes_one_place():
    pins = [Pin(Time(1, "s"), "a"), Pin(Time(1, "s"), "b"), Pin(Time(1, "s"))]
    plan = pinned(*pins, recalls=((), (), ("a", "b"))).place(ChunkGrid(), Time(20, "chunks"))
    plan.check_memory(MemoryConfig(bank_frames=1))


@pytest.mark.parametrize(
    ("retrieval", "message"), [("none", "'none', which keeps no bank"), ("reference", "knows no pins")]
)
def test_pins_are_refused_for_a_memory_without_them(retrieval, message):
    plan = pinned(Pin(Time(1, "s"), "hero")).place(ChunkGrid(), Time(20, "chunks"))
    with pytest.raises(ScheduleError, match=f"the schedule has pin 'hero' at 1 s.*{message}"):
        plan.check_memory(MemoryConfig(retrieval=retrieval))
    pinned().place(ChunkGrid(), Time(20, "chunks")).check_memory(MemoryConfig(retrieval=retrieval))


# -- the package ------------------------------------------------------------------------------------------------------


def test_the_package_loads_without_torch():
    program = "import sys; sys.modules['torch'] = None; import memflow_core.schedule"
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_switch_of_the_first_prompt_is_told():
    plan = read_schedule("0s [blend 99]: a\n4s [cut]: b").place(ChunkGrid(fps=16), Time(9, "s"))
    assert [str(told) for told in plan.notes] == ["the first prompt follows none: its [blend] does nothing"]
