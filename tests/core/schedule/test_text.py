"""The text form of schedules, read and written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memflow_core.config import BLEND_PATHS
from memflow_core.schedule import (
    Blend,
    Pin,
    PromptSchedule,
    ScheduleError,
    Segment,
    Time,
    format_time,
    parse_time,
    read_schedule,
    to_text,
)
from memflow_core.schedule.schedule import MAX_SEED, is_pin_name
from memflow_core.schedule.text import from_text
from memflow_core.schedule.time import MAX_TIME

PARTS = [
    "10s: b",
    "[cut] ",
    "[seed 7]",
    '"',
    "'",
    "\\",
    "\n",
    "\r\n",
    "# c",
    " | ",
    "0:10",
    ": ",
    "global:",
    "pin hero: 1s",
    "24",
    ",",
]
prompts = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    st.lists(st.one_of(st.sampled_from(PARTS), st.text(max_size=3, alphabet="ab \t\u2028\x85\ufeff{}[]"))).map("".join),
)
times = st.one_of(
    st.builds(Time, st.floats(0, MAX_TIME), st.sampled_from(["s", "frames"])),
    st.builds(Time, st.integers(0, MAX_TIME), st.sampled_from(["s", "frames", "chunks", "latent"])),
    st.builds(Time, st.floats(0, 100), st.just("percent")),
)
blends = st.builds(
    Blend,
    times.filter(lambda time: time.value > 0 and time.unit in ("s", "chunks")),
    st.sampled_from(BLEND_PATHS),
)
switches = st.sampled_from([("recache", None), ("soft", None), ("cut", None)]) | st.tuples(st.just("blend"), blends)
lengths = st.none() | times.filter(lambda time: time.value > 0 and time.unit != "percent")
names = st.from_regex(r"[^\W\d][\w-]{0,39}", fullmatch=True).filter(is_pin_name)


@st.composite
def schedules(draw) -> PromptSchedule:
    known = draw(st.lists(names, max_size=3, unique=True))
    pins = [Pin(draw(times), name) for name in known] + [Pin(time) for time in draw(st.lists(times, max_size=2))]
    recalls = st.lists(st.sampled_from(known), unique=True) if known else st.just([])
    segments = []
    for _ in range(draw(st.integers(0, 4))):
        switch, blend = draw(switches)
        seed = draw(st.none() | st.integers(0, MAX_SEED))
        start, prompt, recall = draw(times), draw(prompts), draw(recalls)
        segments.append(Segment(start, prompt, switch, seed=seed, blend=blend, recall=recall))
    return PromptSchedule(segments, draw(prompts), draw(lengths), draw(st.permutations(pins)))


def segment(start: float, unit: str, prompt: str, switch: str = "recache", **fields) -> Segment:
    return Segment(Time(start, unit), prompt, switch, **fields)


@given(schedules())
def test_every_schedule_comes_back_from_its_text(schedule):
    text = to_text(schedule)
    assert from_text(text) == schedule
    assert to_text(from_text(text)) == text


@given(st.lists(prompts, min_size=1, max_size=4), lengths)
def test_read_schedule_recognises_written_text(texts, length):
    schedule = PromptSchedule(tuple(segment(n, "s", text) for n, text in enumerate(texts)), length=length)
    assert read_schedule(to_text(schedule)) == schedule


@given(times)
def test_every_time_comes_back_from_its_text(time):
    assert parse_time(format_time(time)) == time


@given(st.text(alphabet='0123459:.seclf%[]"{}|,-= \nab#\\', max_size=60))
def test_any_text_is_read_or_refused_with_a_sentence(text):
    try:
        schedule = read_schedule(text)
    except ScheduleError as error:
        assert str(error).endswith(".")
    else:
        assert from_text(to_text(schedule)) == schedule


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("10s", 10, "s"),
        ("2.5 seconds", 2.5, "s"),
        ("2min", 120, "s"),
        ("0:10", 10, "s"),
        ("1:02.5", 62.5, "s"),
        ("1:00:05", 3605, "s"),
        ("160", 160, "frames"),
        ("160f", 160, "frames"),
        ("12c", 12, "chunks"),
        ("39l", 39, "latent"),
        ("50%", 50, "percent"),
    ],
)
def test_times_may_be_written_in_several_ways(text, value, unit):
    assert parse_time(text) == Time(value, unit)
    assert from_text(f"0s: a\n{text}: b").segments[1] == segment(value, unit, "b")
    assert from_text(f"0s: a\n {text} [cut] [seed 7] : b").segments[1] == segment(value, unit, "b", "cut", seed=7)


@pytest.mark.parametrize(
    "text", ["", "soon", "10 parsecs", "10x", "-1s", "1e400s", "nan", "inf", "1:75", "10s later", "1:2:3:4"]
)
def test_other_text_is_refused_as_a_time(text):
    with pytest.raises(ScheduleError, match="time"):
        parse_time(text)


def test_a_whole_story():
    text = """
        # the robot's day
        global: a red robot with one wheel
        length: 1:00
        pin hero: 3.5s
        pin: 160
        pin 日本: 0:21

        0s: it walks across
            a meadow
        # then
        10s [cut] [seed 7]: a beach: gulls, "waves" | wind # not a comment
        320 [soft]: "two\\nlines, 日本 🎈"
        0:30 [blend 6 spherical] [hero] [日本]: the robot returns
    """
    blend = Blend(Time(6, "chunks"), "spherical")
    assert from_text(text) == PromptSchedule(
        (
            segment(0, "s", "it walks across a meadow"),
            segment(10, "s", 'a beach: gulls, "waves" | wind # not a comment', "cut", seed=7),
            segment(320, "frames", "two\nlines, 日本 🎈", "soft"),
            segment(30, "s", "the robot returns", "blend", blend=blend, recall=["hero", "日本"]),
        ),
        "a red robot with one wheel",
        Time(60, "s"),
        [Pin(Time(3.5, "s"), "hero"), Pin(Time(160, "frames")), Pin(Time(21, "s"), "日本")],
    )
    assert from_text(text.replace("\n", "\r\n")) == from_text(text)


@pytest.mark.parametrize(
    ("option", "blend", "written"),
    [
        ("blend", Blend(), "blend"),
        ("blend 4", Blend(), "blend"),
        ("blend  linear", Blend(), "blend"),
        ("blend 6", Blend(Time(6, "chunks")), "blend 6"),
        ("blend 2.5s", Blend(Time(2.5, "s")), "blend 2.5s"),
        ("blend spherical", Blend(path="spherical"), "blend 4 spherical"),
        ("blend 6  spherical", Blend(Time(6, "chunks"), "spherical"), "blend 6 spherical"),
        ("blend 3s spherical", Blend(Time(3, "s"), "spherical"), "blend 3s spherical"),
    ],
)
def test_a_blend_may_name_its_length_and_path(option, blend, written):
    schedule = from_text(f"0s: a\n10s [{option}]: b")
    assert schedule.segments[1] == segment(10, "s", "b", "blend", blend=blend)
    assert to_text(schedule) == f"0s: a\n10s [{written}]: b"


@pytest.mark.parametrize(
    "bad", ["0", "-1", "2.5", "0s", "-3s", "6 7", "soon", "3 s", "spherical 6", "6 round", "9" * 5000, "1e400s", "50%"]
)
def test_a_bad_blend_is_refused_in_one_sentence(bad):
    with pytest.raises(ScheduleError, match=r"line 2: option \[blend .*at least 1, or seconds above 0.*\[blend 6\]"):
        from_text(f"0s: a\n10s [blend {bad}]: b")


def test_text_before_the_first_time_starts_at_0():
    assert from_text("a meadow\n10s: a beach").segments == (segment(0, "s", "a meadow"), segment(10, "s", "a beach"))


def test_prompts_without_times_share_the_story_evenly():
    assert from_text("a | b\n| c d | e").segments == tuple(
        segment(start, "percent", prompt) for start, prompt in ((0, "a"), (25, "b"), (50, "c d"), (75, "e"))
    )


@pytest.mark.parametrize(
    "prompt",
    [
        "a robot",
        "16:9 wide shot",
        "3 robots: one red",
        "80s neon city",
        "Scene 1: dawn",
        '"Hello," it says',
        "[wide] a robot",
        "a robot # 5",
        "10 [tall] robots walk",
    ],
)
def test_a_text_without_any_time_is_one_prompt(prompt):
    assert read_schedule(prompt).segments == (segment(0, "s", prompt),)


def test_a_prompt_in_double_quotes_is_read_literally():
    assert from_text('"a | 10s: b"').segments == (segment(0, "s", "a | 10s: b"),)
    assert from_text('0s: "[cut] b",').segments == (segment(0, "s", "[cut] b"),)
    assert from_text('0s: "Hello," it says, "there"').segments == (segment(0, "s", '"Hello," it says, "there"'),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0s: a\n-5s: b", "line 2: time is -5"),
        ("0s: a\n1e400s: b", "line 2: time is inf"),
        ("0s: a\n10x: b", "line 2: .*unit 'x' is unknown"),
        ("0s: a\n1.5c: b", "line 2: time is 1.5 .*whole"),
        ("0s: a\n0:75: b", "line 2: .*below 60"),
        ("0s: a\n\n# c\n10s [fade]: b", r"line 4: option \[fade\] is unknown: use \[recache\]"),
        ("0s: a\n10s [cut] [soft]: b", "line 2: .*second switch"),
        ("0s: a\n10s [cut] [blend 3]: b", "line 2: .*second switch"),
        ("0s: a\n10s: [blend 3 spherical] b", "line 2: .*before the colon"),
        ("0s: a\n10s [blend 3s] b", "line 2: .*no colon"),
        ("pin hero: 1s\n0s: a\n10s [villain]: b", r"line 3: option \[villain\] is unknown: use .*pin hero: 3.5s"),
        ("pin hero: 1s\n0s: a\n10s [hero] [hero]: b", "line 3: .*second"),
        ("pin hero: 1s\n0s: a\n10s: [hero] b", "line 3: .*before the colon"),
        ("pin hero: 1s\npin hero: 2s\n0s: a", "line 2: 'pin hero:' is written twice"),
        ("pin cut: 1s\n0s: a", "line 1: a pin's name is 'cut'.*none of recache"),
        ("pin 2nd: 1s\n0s: a", "line 1: a pin's name is '2nd'.*start with a letter"),
        ("pin hero: soon\n0s: a", "line 1: 'soon' is no time"),
        ("pin: -1s\n0s: a", "line 1: time is -1"),
        ("0s: a\npin hero: 1s\n10s: b", "line 2: a pin stands before the first prompt"),
        ("0s: a\n10s [seed 1] [seed 2]: b", "line 2: .*second seed"),
        ("0s: a\n10s [seed -1]: b", r"line 2: option \[seed -1\]"),
        ("0s: a\n10s [seed 99999999999999999999]: b", "line 2: seed is"),
        ("0s: a\n10s: [cut] b", "line 2: .*before the colon"),
        ("0s: a\n10s [cut] b", "line 2: .*no colon"),
        ("0s: a\n10s [cut: b", "line 2: .*no colon"),
        ("[cut] a", "line 1: .*no time"),
        ("0s: a\n10s: half \ud83d", "line 2: .*half a character"),
        ("length: soon\n0s: a", "line 1: 'soon' is no time"),
        ("length: 0s\n0s: a", "line 1: length is 0 s"),
        ("length: 50%\n0s: a", "line 1: length is 50 %"),
        ("global: a\nglobal: b", "line 2: .*twice"),
        ("a | | b", "prompt 2 of 3 .*empty"),
    ],
)
def test_faults_are_refused_with_their_line(text, message):
    with pytest.raises(ScheduleError, match=message):
        from_text(text)


@pytest.mark.slow
def test_long_texts_and_hostile_lines_are_read():
    many = "\n".join(f"{n}s [cut] [seed {n}]: prompt {n}" for n in range(100_000))
    assert len(from_text(many).segments) == 100_000
    pins = "\n".join(f"pin p{n}: {n}s" for n in range(100_000))
    recalls = "".join(f" [p{n}]" for n in range(100_000))
    assert len(from_text(f"{pins}\n0s{recalls}: a").segments[0].recall) == 100_000
    for hostile in (
        "1" + " " * 100_000 + "x",
        "1" + " [" * 50_000,
        "1" + "[]" * 50_000 + "x",
        '"' * 100_000,
        "[blend " + "1" * 100_000 + "!",
        "pin" + " " * 100_000 + "x",
        "9" * 100_000,
    ):
        assert from_text(hostile).segments[0].prompt == hostile
