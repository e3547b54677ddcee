"""Schedules as lists and objects, and in the forms of other programs."""

from __future__ import annotations

import json

import pytest

from memflow_core.schedule import Blend, Pin, PromptSchedule, ScheduleError, Segment, Time, read_schedule


def schedule(unit: str, *prompts: tuple[float, str], **fields) -> PromptSchedule:
    return PromptSchedule(tuple(Segment(Time(start, unit), prompt) for start, prompt in prompts), **fields)


def timeline(*entries: dict) -> dict:
    return {"prompts": list(entries), "settings": {"seed": 3}, "version": "2.1"}


def shot(start: float, end: float, *texts: str, weights: tuple = ()) -> dict:
    weighted = zip(texts, weights or [100] * len(texts), strict=True)
    return {"startTime": start, "endTime": end, "prompts": [{"text": text, "weight": w} for text, w in weighted]}


# -- list and object --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "time"),
    [
        ({"time": "10s"}, Time(10, "s")),
        ({"time": "1:02.5"}, Time(62.5, "s")),
        ({"time": 160}, Time(160, "frames")),
        ({"time": {"s": 10}}, Time(10, "s")),
        ({"time": {"latent": 39}}, Time(39, "latent")),
        ({"start_s": 2.5}, Time(2.5, "s")),
        ({"frame": 160}, Time(160, "frames")),
        ({"chunk": 12}, Time(12, "chunks")),
        ({"latent": 39}, Time(39, "latent")),
        ({"percent": 50}, Time(50, "percent")),
    ],
)
def test_the_list_form_takes_a_time_in_several_ways(entry, time):
    entries = [{"time": 0, "prompt": "a"}, entry | {"prompt": "b", "switch": "cut", "seed": 1}]
    expected = (Segment(Time(0, "frames"), "a"), Segment(time, "b", "cut", seed=1))
    assert read_schedule(entries).segments == expected
    assert read_schedule(json.dumps(entries, indent=1)).segments == expected


def test_the_list_form_may_consist_of_pairs():
    pairs = [["0s", "a"], ("10s", "b")]
    assert read_schedule(pairs) == read_schedule(json.dumps(pairs)) == schedule("s", (0, "a"), (10, "b"))


def test_the_object_form_adds_global_prompt_and_length():
    source = {"segments": [["0s", "a"]], "global_prompt": "g", "length": "60s"}
    assert read_schedule(source) == schedule("s", (0, "a"), global_prompt="g", length=Time(60, "s"))


@pytest.mark.parametrize(
    ("entry", "blend"),
    [
        ({}, Blend()),
        ({"blend": None}, Blend()),
        ({"blend": {}}, Blend()),
        ({"blend": {"chunks": 6}}, Blend(Time(6, "chunks"))),
        ({"blend": {"s": 2.5, "path": "spherical"}}, Blend(Time(2.5, "s"), "spherical")),
    ],
)
def test_an_entry_may_have_a_blend(entry, blend):
    source = [["0s", "a"], {"time": "10s", "prompt": "b", "switch": "blend"} | entry]
    assert read_schedule(json.dumps(source)).segments[1] == Segment(Time(10, "s"), "b", "blend", blend=blend)


def test_the_object_form_has_pins_and_entries_recall_them():
    source = {
        "segments": [["0s", "a"], {"time": "10s", "prompt": "b", "recall": ["hero"]}],
        "pins": [{"time": "3.5s", "name": "hero"}, {"frame": 160}],
    }
    assert read_schedule(json.dumps(source)) == PromptSchedule(
        (Segment(Time(0, "s"), "a"), Segment(Time(10, "s"), "b", recall=("hero",))),
        pins=(Pin(Time(3.5, "s"), "hero"), Pin(Time(160, "frames"))),
    )


def test_a_prompt_schedule_is_returned_itself():
    made = schedule("s", (0, "a"), length=Time(3, "s"))
    assert read_schedule(made) is made


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ([{"time": 0, "prompt": "a", "fade": 1}], "entry 1: key 'fade' is unknown: use time, .*seed"),
        ([["0s", "a"], {"prompt": "b"}], "entry 2: it has 0 times"),
        ([{"time": 0, "frame": 0, "prompt": "a"}], "entry 1: it has 2 times"),
        ([{"time": 0}], "entry 1: 'prompt' is missing"),
        ([{"time": {"s": 1, "frames": 2}, "prompt": "a"}], "entry 1: time is .*one unit"),
        ([{"time": {"hours": 1}, "prompt": "a"}], "entry 1: time unit is 'hours'"),
        ([{"time": None, "prompt": "a"}], "entry 1: time is None"),
        ([{"time": "soon", "prompt": "a"}], "entry 1: 'soon' is no time"),
        ([{"start_s": float("nan"), "prompt": "a"}], "entry 1: time is nan"),
        ([["0s", None]], "entry 1: prompt is None"),
        ([["0s", "a", "b"]], "entry 1: .*3 parts"),
        (["a"], "entry 1: 'a' is neither"),
        ([["0s", "a"], {"time": "1s", "prompt": "b", "switch": "fade"}], "entry 2: switch is 'fade'"),
        ([{"time": 0, "prompt": "a", "blend": {"chunks": 4}}], "entry 1: blend is .*only the switch 'blend'"),
        ([{"time": 0, "prompt": "a", "switch": "blend", "blend": 4}], "entry 1: blend is 4, but must be an object"),
        ([{"time": 0, "prompt": "a", "switch": "blend", "blend": {"chunks": 0}}], "entry 1: a blend's length"),
        ([{"time": 0, "prompt": "a", "switch": "blend", "blend": {"chunks": 1.5}}], "entry 1: time is 1.5"),
        ([{"time": 0, "prompt": "a", "switch": "blend", "blend": {"chunks": 1, "s": 1}}], "entry 1: blend has both"),
        ([{"time": 0, "prompt": "a", "switch": "blend", "blend": {"path": []}}], "entry 1: a blend's path is"),
        ([{"time": 0, "prompt": "a", "switch": "blend", "blend": {"way": 1}}], "entry 1: key 'way' is unknown"),
        ([{"time": 0, "prompt": "a", "recall": "hero"}], "entry 1: recall is 'hero', but must be a list"),
        ([{"time": 0, "prompt": "a", "recall": [["hero"]]}], "entry 1: a pin's name is"),
        ([{"time": 0, "prompt": "a", "recall": ["hero"]}], r"segment 1 .*asks for \[hero\], but no pin has that name"),
        ({"segments": [["0s", "a"]], "pins": [{"name": "hero"}]}, "pin 1: it has 0 times"),
        ({"segments": [["0s", "a"]], "pins": ["1s"]}, "pin 1: '1s' is not an object"),
        ({"segments": [["0s", "a"]], "pins": [{"s": 1}]}, "pin 1: key 's' is unknown"),
        ({"segments": [["0s", "a"]], "pins": {}}, "'pins' is {}"),
        ([["1s", "a"]], "must start at 0"),
        ([["0s", "a"], ["5s", "b"], ["4s", "c"]], "segment 3 .*segment 2"),
        ([], "the schedule is empty"),
        ("", "the schedule is empty"),
        ("# nothing", "the schedule is empty"),
        ({"segments": [["0s", "a"]], "fps": 16}, "key 'fps' is unknown"),
        ({"segments": 3}, "'segments' is 3"),
        ({"hello": 1}, "keys .*'hello'"),
        ({}, "keys"),
        (7, "a schedule is text, a list or an object, not 7"),
        (b"0s: a", "a schedule is text"),
    ],
)
def test_a_faulty_source_is_refused_with_its_entry(source, message):
    with pytest.raises(ScheduleError, match=message):
        read_schedule(source)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[["0s", "a"],\n["5s" "b"]]', "line 2: this is no valid JSON"),
        ('[[NaN, "a"]]', "holds NaN"),
        ('[{"time": Infinity, "prompt": "a"}]', "holds Infinity"),
        ('[[1e400, "a"]]', "entry 1: time is inf"),
        ('[["0s", ' + "9" * 5000 + "]]", "too many digits"),
        ('[{"time": 0, "time": 1, "prompt": "a"}]', "key 'time' is given twice"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ('[["0s", ' + "[" * 50 + "]" * 50 + "]]", "entry 1: prompt is "),
    ],
)
def test_broken_and_hostile_json_is_refused(text, message):
    with pytest.raises(ScheduleError, match=message):
        read_schedule(text)


# -- frames as keys ---------------------------------------------------------------------------------------------------

FRAMES = schedule("frames", (0, "a: (b:1.2), {c}"), (24, "d"))


@pytest.mark.parametrize(
    "text",
    [
        '"0": "a: (b:1.2), {c}",\n"24": "d"',
        '"0" :"a: (b:1.2), {c}",\n\n"24" :"d",\n',
        '{"0": "a: (b:1.2), {c}", "24": "d"}',
        '{\n "0": "a: (b:1.2), {c}",\n "24": "d",\n}',
        '0 = "a: (b:1.2), {c}", 24 = "d"',
        '0: "a: (b:1.2), {c}", 24: "d"',
        '0: "a: (b:1.2), {c}",\n24: "d",',
        '{0: "a: (b:1.2), {c}", 24: "d"}',
        '"0:": "a: (b:1.2), {c}", "24:": "d"',
    ],
)
def test_a_pasted_batch_prompt_schedule_counts_video_frames(text):
    assert read_schedule(text) == FRAMES


def test_frame_keys_may_come_as_an_object_and_prompts_over_several_lines():
    assert read_schedule({"0": "a: (b:1.2), {c}", "24": "d"}) == FRAMES
    assert read_schedule('"0": "a \\"b\\"\nc"') == schedule("frames", (0, 'a "b"\nc'))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('"0": "a"\n"24": "b"', "line 2: expected a comma"),
        ('"0": "a",\n"24": b', 'line 2: expected "frame": "prompt"'),
        ('"0": "a",\n\n"max_f": "b"', "line 3: key 'max_f' is no video frame"),
        ('"0": "a",\n"-1": "b"', "line 2: key '-1'"),
        ('"0": "a",\n"0.5": "b"', "line 2: key '0.5'"),
        ('"0": "a",\n"24": "\\q"', "line 2: .*backslash"),
        ('{"0": "a"', "has no '}'"),
        ('"0": "a", "0": "b"', "segment 2 .*segment 1"),
        ('"24": "a"', "must start at 0"),
    ],
)
def test_faults_in_a_pasted_batch_prompt_schedule_are_refused_with_their_line(text, message):
    with pytest.raises(ScheduleError, match=message):
        read_schedule(text)


# -- MemFlow ----------------------------------------------------------------------------------------------------------


def test_memflow_switches_are_latent_frames_of_every_prompt_but_the_first():
    expected = schedule("latent", (0, "a"), (40, "b"), (80, "c"))
    for switches in ([40, 80], [0, 40, 80]):
        source = {"prompts": ["a", "b", "c"], "switch_frame_indices": switches}
        assert read_schedule(source) == read_schedule(json.dumps(source) + "\n") == expected


def test_memflow_prompts_without_switches_share_the_story():
    assert read_schedule({"prompts": ["a", "b"]}) == schedule("percent", (0, "a"), (50, "b"))


def test_a_memflow_story_may_have_lost_its_braces():
    bare = '"prompts": [\n "a {b}",\n "c"\n], "switch_frame_indices": [40]'
    assert read_schedule(bare) == read_schedule(f"{{{bare}}}") == schedule("latent", (0, "a {b}"), (40, "c"))


def test_one_of_several_stories_is_chosen():
    text = '{"prompts": ["a"]}\n\n{"prompts": ["b"]}\n'
    assert read_schedule(text, line=2) == schedule("percent", (0, "b"))
    for line, message in (
        (None, "2 stories.*choose line 1 to 2"),
        (3, "line is 3, but must be from 1 to 2"),
        (0, "line is 0"),
    ):
        with pytest.raises(ScheduleError, match=message):
            read_schedule(text, line)
    with pytest.raises(ScheduleError, match="only a MemFlow JSONL"):
        read_schedule("0s: a", line=1)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"prompts": []}, "at least one prompt"),
        ({"prompts": "a"}, "'prompts' is 'a'"),
        ({"prompts": ["a", 3]}, "prompt is 3"),
        ({"prompts": ["a", "b"], "switch_frame_indices": [1, 2]}, "need 1 switch_frame_indices"),
        ({"prompts": ["a", "b"], "switch_frame_indices": "40"}, "must be a list"),
        ({"prompts": ["a", "b"], "switch_frame_indices": [1.5]}, "whole"),
        ({"prompts": ["a", "b", "c"], "switch_frame_indices": [80, 40]}, "segment 3 .*segment 2"),
    ],
)
def test_faulty_memflow_stories_are_refused(source, message):
    with pytest.raises(ScheduleError, match=message):
        read_schedule(source)


# -- Scope ------------------------------------------------------------------------------------------------------------


def test_a_timeline_is_read_in_seconds_up_to_its_last_end():
    source = timeline(shot(5, 9.5, "b"), shot(0, 5.0004, "a"), shot(12, 20, "c", "d", weights=(100, 0)))
    expected = schedule("s", (0, "a"), (5, "b"), (12, "c"), length=Time(20, "s"))
    assert read_schedule(source) == read_schedule(json.dumps(source, indent=2)) == expected


def test_a_timelines_transitions_are_blends():
    steps = [{}, {"transitionSteps": 0}, {"transitionSteps": 6}, {"temporalInterpolationMethod": "slerp"}]
    steps.append({"transitionSteps": 4, "temporalInterpolationMethod": "slerp"})
    source = timeline(*(shot(5 * n, 5 * n + 5, "a") | step for n, step in enumerate(steps)))
    plain = ("recache", None)
    assert [(segment.switch, segment.blend) for segment in read_schedule(source).segments] == [
        plain,
        plain,
        ("blend", Blend(Time(6, "chunks"))),
        plain,
        ("blend", Blend(Time(4, "chunks"), "spherical")),
    ]


def test_a_timeline_entry_may_hold_one_plain_text():
    assert read_schedule(timeline({"startTime": 0, "endTime": 5, "text": "a"})).segments[0].prompt == "a"


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([shot(0, 5, "a"), shot(4, 9, "b")], "entry 2 starts at 4 s, before entry 1 ends at 5 s"),
        ([shot(0, 5, "a", "b")], "entry 1: 2 of its texts .*not blended"),
        ([shot(0, 5, "a", weights=(0,))], "entry 1: 0 of its texts"),
        ([shot(0, 5, "a"), shot(5, 5, "b")], "entry 2 ends at 5 s"),
        ([shot(0, 5, "a"), {"startTime": 5, "prompts": []}], "entry 2: endTime is missing"),
        ([shot(0, 5, "a"), shot(-5, -4, "b")], "entry 2: time is -5"),
        ([shot(0, 5, "a") | {"transitionSteps": "soon"}], "entry 1: time is 'soon'"),
        ([shot(0, 5, "a") | {"transitionSteps": -2}], "entry 1: time is -2"),
        (
            [shot(0, 5, "a") | {"transitionSteps": 2, "temporalInterpolationMethod": "cubic"}],
            "entry 1: temporalInterpolationMethod is 'cubic', but must be linear or slerp",
        ),
        ([shot(1, 5, "a")], "must start at 0"),
        ([shot(0, 5, "a"), "b"], "entry 2: startTime is missing"),
        ([{"startTime": 0, "endTime": 5, "prompts": [7]}], "entry 1: prompts is"),
    ],
)
def test_faulty_timelines_are_refused_with_their_entry(entries, message):
    with pytest.raises(ScheduleError, match=message):
        read_schedule(timeline(*entries))
