"""What a graph says of a story: all that decides its numbers counts, nothing else, and odd graphs say nothing."""

from __future__ import annotations

import copy
import os

import pytest

from memflow_core.schedule import ChunkGrid, Time, read_schedule
from tests.nodes.graphs import GRAPH, NODE, steered


@pytest.fixture
def known(tiny):
    return tiny.nodes.run.known


def graph_with(*changes):
    graph = copy.deepcopy(GRAPH)
    for node, name, value in changes:
        graph[node]["inputs"][name] = value
    return graph


def without(*nodes):
    return {name: node for name, node in copy.deepcopy(GRAPH).items() if name not in nodes}


OTHERS = {
    "the model's file": graph_with(("1", "unet_name", "other.safetensors")),
    "its precision": graph_with(("1", "weight_dtype", "fp8_e4m3fn")),
    "a LoRA": graph_with(("4", "lora_name", "b")),
    "its strength": graph_with(("4", "strength_model", 0.5)),
    "a LoRA less": graph_with((NODE, "model", ["1", 0])),
    "another output": graph_with((NODE, "model", ["4", 1])),
    "the text encoder": graph_with(("2", "type", "sd3")),
    "the VAE": graph_with(("3", "vae_name", "light.safetensors")),
    "memory": graph_with(("6", "preset", "Long")),
    "no memory node": {**without("6"), NODE: graph_with((NODE, "memory", None))[NODE]},
    "width": graph_with((NODE, "width", 80)),
    "height": graph_with((NODE, "height", 80)),
    "steps": graph_with((NODE, "steps", "1000, 500")),
    "shift": graph_with((NODE, "shift", 3.0)),
    "a number for a text": graph_with((NODE, "shift", "5.0")),
}
SAME = {
    "the prompts, which are looked at themselves": graph_with(("5", "prompts", "a cat")),
    "the story's number": graph_with(("5", "story", 2)),
    "a whole number as a page writes it": graph_with((NODE, "shift", 5)),
    "the seed": graph_with((NODE, "seed", 6)),
    "the length": graph_with((NODE, "length", 33)),
    "the frame rate": graph_with((NODE, "fps", 8.0)),
    "the file": graph_with((NODE, "filename_prefix", "x"), (NODE, "format", "webm (vp9)"), (NODE, "quality", "medium")),
    "the budget": graph_with((NODE, "keep_moments_gb", 3.0)),
    "sound": graph_with((NODE, "audio", ["77", 0])),
    "what the page adds": graph_with((NODE, "video-preview", "")),
    "other nodes": {**GRAPH, "10": {"class_type": "KSampler", "inputs": {"model": ["1", 0]}}},
    "other ids": {**without("1", "4"), "a": GRAPH["1"], "4": graph_with(("4", "model", ["a", 0]))["4"]},
}
UNTOLD = {
    "no graph": None,
    "a list": [],
    "an empty one": {},
    "no such node": without(NODE),
    "a node of another form": {**GRAPH, NODE: 5},
    "no inputs": {**GRAPH, NODE: {"class_type": "MemFlowStreamToVideo"}},
    "a link to nothing": without("1"),
    "a circle": graph_with(("1", "unet_name", ["4", 0])),
    "a schedule of segments": {**GRAPH, "5": {"class_type": "MemFlowPromptSegment", "inputs": {}}},
    "no schedule": graph_with((NODE, "schedule", "text")),
    "a state": graph_with((NODE, "state", ["77", 0])),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_what_decides_numbers_makes_it_another(known, kind):
    here = known.known_story(GRAPH, NODE, "absolute")
    other = known.known_story(OTHERS[kind], NODE, "absolute")
    assert None not in (here, other) and here.digest != other.digest


@pytest.mark.parametrize("kind", SAME)
def test_what_decides_none_makes_it_no_other(known, kind):
    assert known.known_story(SAME[kind], NODE, "absolute") == known.known_story(GRAPH, NODE, "absolute") is not None


@pytest.mark.parametrize("kind", UNTOLD)
def test_a_graph_that_does_not_tell_says_nothing(known, kind):
    assert known.known_story(UNTOLD[kind], NODE, "absolute") is None


# -- controls ---------------------------------------------------------------------------------------------------------


ONE, TWO = {"end": "1s"}, {"start": "2s"}
# by name: controls, and the chunk up to which the story is the same; chunks begin at 0, 0.56, 1.31, 2.06, 2.81 s
STEERED = {
    "the same": ((ONE, TWO), 6),
    "the other way round": ((TWO, ONE), 6),
    "one that does nothing": ((ONE, {"start": "1s", "end": "2s", "strength": 0}, TWO), 6),
    "strength written as a page does": (({**ONE, "strength": 1}, TWO), 6),
    "the second's strength": ((ONE, {**TWO, "strength": 0.5}), 2),
    "the second's pictures": ((ONE, {**TWO, "pictures": ["1", 0]}), 2),
    "the second's use": ((ONE, {**TWO, "use": "show"}), 2),
    "a mask for the second": ((ONE, {**TWO, "mask": ["8", 0]}), 2),
    "a later start": ((ONE, {"start": "2.5s"}), 2),
    "no second": ((ONE,), 2),
    "a later end of the first": (({"end": "1.5s"}, TWO), 1),
    "the first's strength": (({**ONE, "strength": 0.5}, TWO), 0),
    "none": ((), 0),
}


@pytest.mark.parametrize("name", STEERED)
def test_a_story_is_known_up_to_where_its_control_is_another(known, name):
    controls, same = STEERED[name]
    prompts = read_schedule("0s: a robot")
    plan = prompts.place(ChunkGrid(), Time(6, "chunks"))

    def until(graph):
        story = known.known_story(graph, NODE, "absolute")
        return [story.until(5, plan, prompts, chunk) for chunk in range(1, 7)]

    here, other = until(steered(ONE, TWO)), until(steered(*controls))
    assert [one == two for one, two in zip(here, other, strict=True)] == [chunk <= same for chunk in range(1, 7)]


def test_the_frame_rate_counts_where_a_film_is_read_at_it(known):
    prompts, story = read_schedule("0s: a robot"), known.known_story(steered(ONE), NODE, "absolute")
    plans = [prompts.place(ChunkGrid(fps=fps), Time(6, "chunks")) for fps in (16, 17)]
    assert len({story.until(5, plan, prompts, 1) for plan in plans}) == 2


@pytest.mark.parametrize("value", [{"strength": ["1", 0]}, {"start": ["1", 0]}, {"start": "soon"}, {"end": 5}])
def test_a_control_of_which_a_value_is_not_known_counts_as_a_whole(known, value):
    story, other = (known.known_story(steered(ONE, {**TWO, **more}), NODE, "absolute") for more in ({}, value))
    assert other.steered_by == () and other.digest != story.digest
    another = known.known_story(steered({**ONE, "strength": 0.5}, {**TWO, **value}), NODE, "absolute")
    assert another.digest != other.digest


def test_controls_that_go_in_a_circle_say_nothing(known):
    graph = steered(ONE, TWO)
    graph["c0"]["inputs"]["control"] = ["c1", 0]
    assert known.known_story(graph, NODE, "absolute") is None


def test_positions_count(known):
    assert known.known_story(GRAPH, NODE, "relative") != known.known_story(GRAPH, NODE, "absolute")


def test_a_graph_as_deep_as_no_graph_says_nothing(known):
    graph = copy.deepcopy(GRAPH)
    for depth in range(1000):
        graph[f"d{depth}"] = {"class_type": "Reroute", "inputs": {"in": [f"d{depth + 1}", 0]}}
    graph["d1000"] = GRAPH["1"]
    assert known.known_story({**graph, NODE: graph_with((NODE, "model", ["d0", 0]))[NODE]}, NODE, "absolute") is None
    nested: list = []
    for _ in range(5000):
        nested = [nested]
    assert known.known_story(graph_with((NODE, "width", nested)), NODE, "absolute") is None


def test_a_file_that_was_written_anew_makes_it_another(known, monkeypatch, tmp_path):
    import folder_paths

    file = tmp_path / "wan.safetensors"
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "diffusion_models", ([str(tmp_path)], {".safetensors"}))
    none = known.known_story(GRAPH, NODE, "absolute")
    file.write_bytes(b"1")
    first = known.known_story(GRAPH, NODE, "absolute")
    assert known.known_story(GRAPH, NODE, "absolute") == first != none
    os.utime(file, (1, 1))
    assert known.known_story(GRAPH, NODE, "absolute") not in (first, none)


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "a\0b", "a\nb", "x" * 5000, "", "..", "a [output]"]
)
def test_odd_names_are_no_files(tiny, name):
    assert tiny.nodes.host.stamps_of(name) == []


def test_live_prompts_are_alike_where_the_text_encoder_is(known):
    def alike(*changes):
        return known.known_story(graph_with(*changes), NODE, "absolute").live_alike

    assert alike() and alike((NODE, "clip", ["2", 0])) and not alike((NODE, "clip", ["1", 0]))


def test_the_seed_and_the_budget_are_read_where_the_graph_has_them(known):
    assert known.seed_in(GRAPH, NODE) == 5 and known.budget_in(GRAPH, NODE) == -1.0
    assert known.budget_in(graph_with((NODE, "keep_moments_gb", 0)), NODE) == 0.0
    for value in (["1", 0], None, "5", True, -1):
        assert known.seed_in(graph_with((NODE, "seed", value)), NODE) is None
    for value in (["1", 0], None, "5", True):
        assert known.budget_in(graph_with((NODE, "keep_moments_gb", value)), NODE) is None
    assert known.seed_in({}, NODE) is None and known.budget_in({}, NODE) is None
