"""What the plan promises before a run, and what the run then takes up: never less than was promised."""

from __future__ import annotations

import json

import pytest

from tests.nodes.graphs import GHOSTS as STORY
from tests.nodes.graphs import QUICK, graph_of

LENGTH, SECONDS = QUICK["length"], 5.8125
SMALL = {name: QUICK[name] for name in ("width", "height", "steps")}

CHANGES = {
    "nothing": ("", "", {}),
    "the last prompt": ("a cat stands", "a cat jumps", {}),
    "another take": ("[cut]", "[cut] [seed 3]", {}),
    "a blend": ("blend 2", "blend 3", {}),
    "where a prompt starts": ("4.5s", "3.9s", {}),
    "the first prompt": ("a robot", "a cat", {}),
    "all prompts": ("0s:", "global: in the snow\n0s:", {}),
    "a pin": ("0s:", "pin: 1s\n0s:", {}),
    "the seed": ("", "", {"seed": 8}),
    "the length": ("", "", {"length": LENGTH + 24}),
    "a shorter length": ("", "", {"length": LENGTH - 12}),
    "the steps": ("", "", {"steps": "1000, 500"}),
    "the shift": ("", "", {"shift": 3.0}),
    "the size": ("", "", {"width": 48}),
    "the format": ("", "", {"format": "webm (vp9)"}),
    "no budget": ("", "", {"keep_moments_gb": 0.0}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_run_takes_up_what_the_plan_has_promised(graph_film, graph_plan, change):
    old, new, values = CHANGES[change]
    text = STORY.replace(old, new) if old else STORY
    graph_film()
    kept = graph_plan(text, **values)["kept"]
    report = graph_film(text, **values)
    made = report["rendered_from"]["chunk"]
    if values.get("keep_moments_gb") == 0.0:
        assert kept is None and made == 0
        return
    # and nothing less, where nothing has changed that the graph does not show
    assert kept["chunk"] == made
    assert kept["until_s"] == report["rendered_from"]["seconds"]
    assert kept["renders_s"] + kept["until_s"] == pytest.approx(kept["of_s"], abs=1e-3)


def test_the_plan_says_so_in_a_line(graph_film, graph_plan):
    assert graph_plan()["kept"] == {"chunk": 0, "until_s": 0.0, "renders_s": SECONDS, "of_s": SECONDS}
    assert not any("kept" in line for line in graph_plan()["lines"])
    graph_film()
    answer = graph_plan(STORY.replace("a cat stands", "a cat jumps"))
    (line,) = [line for line in answer["lines"] if "kept" in line]
    assert line.startswith("Renders 0.75 of 5.81 s, unless ")
    assert [said[0].split(",")[0] for said in answer["said"]].count("Renders {0} of {1} s") == 1


@pytest.mark.parametrize("kind", ["moment", "latents", "label"])
def test_what_is_gone_is_not_promised(graph_film, graph_plan, kept_folder, kind):
    graph_film()
    for path in kept_folder.glob(f"{kind}_*"):
        path.unlink()
    assert graph_plan()["kept"]["chunk"] == 0


def test_a_plan_without_a_graph_says_nothing_of_it(tiny, graph_plan):
    body = {"schedule": STORY, "length": LENGTH, "fps": 16.0, **SMALL}
    status, answer = tiny.nodes.api.plan.answer(json.dumps(body).encode())
    assert status == 200 and "kept" not in answer


def test_what_the_graph_does_not_tell_is_null(graph_plan):
    assert graph_plan(graph={})["kept"] is None
    assert graph_plan(graph=graph_of({"seed": ["3", 0], **SMALL}))["kept"] is None


@pytest.mark.parametrize("values", [{"graph": 5}, {"graph": []}, {"node": 5}, {"graph": "{}"}])
def test_a_graph_of_another_form_is_refused(tiny, values):
    body = {"schedule": STORY, "length": LENGTH, "fps": 16.0, **SMALL, **values}
    status, answer = tiny.nodes.api.plan.answer(json.dumps(body).encode())
    assert status == 400 and next(iter(values)) in answer["error"]


def test_an_open_story_has_no_end_to_count_to(graph_film, graph_plan):
    graph_film()
    # its positions are relative, so that it is another
    assert graph_plan(length=0)["kept"] == {"chunk": 0, "until_s": 0.0, "renders_s": None, "of_s": None}
