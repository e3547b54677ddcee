"""Files of scripts in the forms of the published benchmarks."""

from __future__ import annotations

import json

import pytest

from memflow_core.render.errors import JobError
from memflow_core.render.scripts import read_scripts
from memflow_core.schedule import ChunkGrid, read_schedule


def test_prompts_without_times_last_ten_seconds_each():
    lines = [json.dumps({"prompts": ["a", "b", "c"]}), "", json.dumps({"prompts": ["d"], "id": "x", "seed": 3})]
    first, second = read_scripts("\n".join(lines))
    assert first.schedule == "length: 30s\n0s: a\n10s: b\n20s: c" and first.name == "001" and first.told == ()
    assert second.schedule == "length: 10s\n0s: d" and second.name == "x" and second.told == ("not used: seed",)
    assert read_scripts(lines[0], prompt_s=2.5)[0].schedule == "length: 7.5s\n0s: a\n2.5s: b\n5s: c"


def test_switches_stand_where_memflow_has_them():
    (script,) = read_scripts(json.dumps({"prompts": ["a", "b"], "switch_frame_indices": [39]}))
    assert (
        read_schedule(script.schedule)
        .place(ChunkGrid(), read_schedule("length: 60s\n0: a").length)
        .segments[1]
        .start_chunk
        == 13
    )


def test_any_schedule_is_one_story():
    for text in ("0s: a\n5s: b", '{"0": "a", "80": "b"}', '[["0s", "a"], ["5s", "b"]]', "a"):
        (script,) = read_scripts(text)
        assert read_schedule(script.schedule).segments[0].prompt == "a"


def test_a_story_over_several_lines_is_no_jsonl():
    text = json.dumps({"prompts": ["a", "b"], "switch_frame_indices": [39]}, indent=1)
    assert len(read_scripts(text)) == 1


def test_scenes_cut_and_go_back():
    """The marker of a scene says how the next one begins; a scene that is gone back to is pinned in its middle."""
    line = (
        "a red cat on a roof at dawn [4s#] | a blue dog in a dark subway [6s#] | an old shop of vinyl records [5s@] | "
        "back on the roof at dawn, a red cat [3s@] | the dark subway again, a blue dog runs [2s] | it sleeps [1.5s]; x"
    )
    (script,) = read_scripts(line)
    assert script.schedule.splitlines() == [
        "length: 21.5s",
        "pin scene1: 2s",
        "pin scene2: 7s",
        "0s: a red cat on a roof at dawn",
        "4s [cut]: a blue dog in a dark subway",
        "10s [cut]: an old shop of vinyl records",
        "15s [cut] [scene1]: back on the roof at dawn, a red cat",
        "18s [cut] [scene2]: the dark subway again, a blue dog runs",
        "20s: it sleeps",
    ]


@pytest.mark.parametrize("marker", ["#", "@", ""])
def test_a_marker_behind_the_last_scene_means_nothing(marker):
    (script,) = read_scripts(f"a [3s] | b [3s{marker}]")
    assert script.schedule == "length: 6s\n0s: a\n3s: b"


def test_going_back_from_the_second_scene_is_a_cut():
    """There is no earlier scene than the one before."""
    (script,) = read_scripts("a [3s@] | b [3s]")
    assert script.schedule == "length: 6s\n0s: a\n3s [cut]: b"


def test_the_line_of_a_fault_is_named():
    good = json.dumps({"prompts": ["a"]})
    with pytest.raises(JobError, match="line 4: prompt 2 is empty"):
        read_scripts(f'{good}\n\n{good}\n{{"prompts": ["a", ""]}}')
    with pytest.raises(JobError, match="line 2: scene 2 has no length"):
        read_scripts("a [3s] | b [3s]\na [3s] | b")
