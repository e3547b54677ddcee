"""POST /memflow/schedule: every form of schedule comes back as segments and text, and nothing else gets through."""

from __future__ import annotations

import pytest

from memflow_core.schedule import read_schedule
from tests.comfyui.routes import post
from tools.comfy_server import RequestError

PATH = "/memflow/schedule"
FORMS = {
    "text": "global: red\nlength: 60s\n0s: a\n10s [cut] [seed 7]: b",
    "list": "a | b | c",
    "MemFlow": '{"prompts": ["a", "b"], "switch_frame_indices": [40]}',
    "Scope": '{"prompts": [{"startTime": 0, "endTime": 5, "prompts": [{"text": "a", "weight": 100}]}]}',
    "FizzNodes": '"0": "a", "24": "b",',
    "AnimateDiff-Evolved": '0 = "a", 16 = "b"',
    "pins": "pin hero: 2s\npin: 3s\n0s: a\n5s [blend 3s spherical] [hero]: b\n9s [blend]: c",
}


@pytest.mark.parametrize("form", FORMS)
def test_a_schedule_comes_back_as_segments_and_as_text(comfy, form):
    meant = read_schedule(FORMS[form])
    answer = comfy.post(PATH, {"text": FORMS[form]})
    assert read_schedule(answer.pop("text")) == meant
    assert read_schedule(answer) == meant


def test_the_segments_say_time_prompt_switch_and_seed(comfy):
    segments = comfy.post(PATH, {"text": FORMS["text"]})["segments"]
    assert segments[1] == {"time": "10s", "prompt": "b", "switch": "cut", "seed": 7}


def test_what_is_left_out_is_told(comfy):
    answer = comfy.post(PATH, {"text": "Sure:\n```\n0-3s: a --neg x\n4-6s: b\n```"})
    assert answer["text"] == "length: 6s\n0s: a\n4s: b"
    assert answer["notes"] == [
        "negative prompts left out, since the model takes none (3)",
        "no prompt for 3 s - 4 s: the one before goes on",
        "1 line left out (1)",
    ]
    assert answer["said"][2] == ["1 line left out ({0})", 1]
    assert read_schedule({key: answer[key] for key in answer if key not in ("text", "said")}) == read_schedule(
        answer["text"]
    )


def test_one_of_several_stories_is_chosen(comfy):
    stories = '{"prompts": ["a", "b"]}\n{"prompts": ["c", "d"]}'
    assert [one["prompt"] for one in comfy.post(PATH, {"text": stories, "story": 2})["segments"]] == ["c", "d"]
    assert "the text holds 2 stories" in comfy.post(PATH, {"text": stories, "story": 3})["error"]
    assert post(comfy, PATH, b'{"text": "a", "story": "2"}')[0] == 400


def test_hostile_text_holds_the_server_up_no_longer_than_any_other(comfy):
    answer = comfy.post(PATH, {"text": "0s: a\n[seed " + " " * 200_000 + "x"})
    assert len(answer["segments"]) == 1 or "error" in answer


def test_a_text_that_is_no_schedule_is_told_in_one_sentence(comfy):
    answer = comfy.post(PATH, {"text": "0s: a\n5s [!]: b"})
    assert answer.keys() == {"error"} and answer["error"].startswith("line 2: option [!] is unknown")


@pytest.mark.parametrize("body", [b"", b"0s: a", b"[]", b'{"text": 5}', b'{"txt": "a"}', b"\xff\xfe", b"[" * 100_000])
def test_a_body_of_another_form_is_refused(comfy, body):
    status, answer = post(comfy, PATH, body)
    assert status == 400 and '{"text"' in answer["error"]


def test_half_a_character_is_told_as_well(comfy):
    assert "half a character" in comfy.post(PATH, {"text": "\ud800"})["error"]


def test_a_large_body_is_refused(comfy):
    with pytest.raises(RequestError) as refused:
        comfy.post(PATH, {"text": "a" * 13_000_000})
    assert refused.value.status == 413
