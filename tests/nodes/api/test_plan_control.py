"""Controls in POST /memflow/plan: where they stand, what they take, and what they are refused for."""

from __future__ import annotations

import json

import pytest

RUN = {"schedule": "0s: a\n4s: b", "length": 153, "fps": 16, "width": 832, "height": 480, "steps": "1000, 500"}


@pytest.fixture
def ask(tiny):
    """ask(*controls, values of the body) -> (status, answer)."""

    def post(*controls, **values):
        body = RUN | ({"control": list(controls)} if controls else {}) | values
        return tiny.nodes.api.plan.answer(json.dumps(body).encode())

    return post


def test_a_plan_says_where_controls_stand_in_the_order_of_the_story(ask):
    _, plan = ask({"start": "5s", "use": "show", "strength": 0.5}, {"end": "2s"}, {"start": "50%", "end": "5s"})
    assert plan["controls"] == [
        {"number": 2, "use": "steer", "strength": 1.0, "start_s": 0.0, "end_s": 2.0},
        {"number": 3, "use": "steer", "strength": 1.0, "start_s": 4.6875, "end_s": 5.0},
        {"number": 1, "use": "show", "strength": 0.5, "start_s": 5.0, "end_s": None},
    ]
    assert ask()[1]["controls"] == []
    assert ask({"start": "2s", "end": "1:00"})[1]["controls"][0]["end_s"] == 153 / 16


def test_a_plan_counts_seconds_passes_and_bytes(ask):
    free, steered = ask()[1], ask({"end": "2s"})[1]
    plan = steered["plan"]
    # three of 13 chunks, two steps each
    assert (plan["steered_seconds"], plan["steered"], plan["control_blocks"]) == (2.0, 6, 15)
    assert plan["passes"] == free["plan"]["passes"]
    assert plan["peak_vram_bytes"] > free["plan"]["peak_vram_bytes"] + 10**9
    (line,) = [line for line in steered["lines"] if line.startswith("Control: ")]
    assert line.startswith("Control: 2.00 of 9.56 s are steered: 6 of 26 denoising passes go through 15 more blocks, ")
    assert not any("Control" in line or "pictures:" in line for line in free["lines"])


def test_a_mask_costs_nothing_more(ask):
    # both clips of a control are encoded, masked or not
    for use in ("steer", "show"):
        free, masked = (ask({"use": use, "masked": value})[1] for value in (False, True))
        assert masked == free


@pytest.mark.parametrize(
    ("profile", "width", "height", "blocks"),
    [("MemFlow", 832, 480, 15), ("Krea Realtime 14B", 832, 480, 8)],
)
def test_blocks_are_those_of_the_published_weights(ask, profile, width, height, blocks):
    plan = ask({}, profile=profile, width=width, height=height)[1]["plan"]
    assert plan["control_blocks"] == blocks


def test_what_is_made_from_pictures_needs_no_weights(ask):
    status, answer = ask({"use": "remake", "end": "4.1s"}, control_weights=False)
    assert status == 200
    plan = answer["plan"]
    # chunks 0 to 4 are filled, whose second step alone is made
    assert (plan["remade_seconds"], plan["left_out"], plan["steered"]) == (57 / 16, 5, 0)
    assert any(
        line.startswith("Made from pictures: 3.56 of 9.56 s, which leaves out 5 passes;") for line in answer["lines"]
    )
    both = ask({"use": "remake", "end": "4.1s"}, {"start": "5s"})[1]["lines"]
    assert sum(line.startswith(("Control: ", "Made from pictures: ")) for line in both) == 2


def test_an_open_story_has_no_seconds_of_it(ask):
    answer = ask({}, {"start": "5s", "use": "remake"}, length=0)[1]
    assert answer["controls"][1]["end_s"] is None
    assert any(line.startswith("Control: 15 more blocks in each pass") for line in answer["lines"])
    assert "Made from pictures, as far as there are any." in answer["lines"]


def test_a_control_beyond_the_end_is_left_out_and_told(ask):
    answer = ask({"end": "2s"}, {"start": "20s"})[1]
    assert len(answer["controls"]) == 1
    assert "The schedule: control 2 starts at 20 s, beyond the end: left out." in answer["lines"]


# by name: controls, other values, and what the one sentence says
REFUSED = {
    "no weights": ([{}], {"control_weights": False}, "put MemFlow Load Control"),
    "a model of another VAE": (
        [{}],
        {"profile": "LongLive 2", "width": 1280, "height": 704},
        "a latent of the model has 16 x 16 pixels",
    ),
    "two at once": ([{"end": "3s"}, {"start": "2s"}], {}, "let one end where the next one starts"),
    "an end before the start": ([{"start": "3s", "end": "2s"}], {}, "let it end after it starts"),
    "no time": ([{"start": "soon"}], {}, "is no time"),
    "more than all": ([{"use": "remake", "strength": 2}], {}, "its strength is at most 1"),
    "a mask on what is remade": ([{"use": "remake", "masked": True}], {}, "takes no mask"),
    "one step": ([{"use": "remake"}], {"steps": "1000"}, "use at least 2 steps"),
    "a share of an open story": ([{"start": "50%"}], {"length": 0}, "the length of the story is open"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_steered_is_said_before_the_run(ask, name):
    controls, values, words = REFUSED[name]
    status, answer = ask(*controls, **values)
    assert status == 200 and words in answer["error"] and "\n" not in answer["error"]


@pytest.mark.parametrize(
    "control",
    [5, "0s", {}, [5], [{"from": "0s"}], [{"start": 5}], [{"end": None}], [{"use": "dance"}], [{"use": ["steer"]}]]
    + [[{"masked": value}] for value in (1, "true", None, ["5", 0])]
    + [[{"strength": value}] for value in ("1", -1, 11, True, None, float("nan"), 10**400)]
    + [[{}] * 1001],
)  # fmt: skip
def test_a_body_of_another_form_is_refused(ask, control):
    status, answer = ask(control=control)
    assert status == 400 and answer["error"].startswith(("control", "start", "end", "use", "strength", "masked"))
