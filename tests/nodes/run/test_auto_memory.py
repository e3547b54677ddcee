"""Memory on auto: the best that was measured for the model, seen in plan and report, and never in the way."""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import product

import pytest
import torch

from memflow_core.config import MEMORIES, MemoryConfig
from memflow_core.profiles import PROFILES
from tests.nodes.graphs import GRAPH, NODE

TINY = PROFILES["Tiny story model"]
QUICK = {"width": 32, "height": 32, "length": 117, "steps": "1000"}
# away for long enough to leave the window, and back
STORY = "0s: a robot walks in the meadow\n1.5s: an empty beach\n3s: a cat walks in the city\n6s: the robot returns"
AUTO = {"bank_keys": "auto", "archive": "auto"}
PAPER, WINNER = {"bank_keys": "made", "archive": "off"}, {"bank_keys": "alone", "archive": "latents"}
CUSTOM = {"preset": "Custom", "bank_size": 3, "record_interval": 1, "top_k": 0, "sink_size": 3, "window_size": 9}
CUSTOM |= {"positions": "auto", "global_sink": True}


@pytest.fixture
def sample(tiny):
    """sample(model, **changes) -> latents, state, and the report."""

    def run(model=None, **changes):
        inputs = {"model": model or tiny.model, "schedule": tiny.schedule(STORY), **QUICK, **changes}
        latents, state, report = tiny.sample(**inputs)
        return latents, state, json.loads(report)

    return run


@pytest.fixture
def other(tiny):
    """The tiny model's numbers as a model of which nothing was measured."""
    return tiny.nodes.profile.MemFlowProfile.execute(tiny.model, "MemFlow").result[0]


@pytest.fixture
def plan(tiny):
    """plan(**body) -> the answer of the plan's route for the tiny model."""

    def ask(**more):
        body = {"schedule": STORY, "length": 117, "fps": 16.0, "width": 64, "height": 64, "steps": "1000"}
        status, answer = tiny.nodes.api.plan.answer(json.dumps({**body, "model": "tiny", **more}).encode())
        assert status == 200, answer
        return answer

    return ask


def told_of_auto(lines: list[str]) -> list[str]:
    return [line for line in lines if line.startswith(("Memory on auto", "Memory goes on"))]


def opened(report: dict) -> dict[str, str]:
    return {name: report["settings"]["memory"][name] for name in PAPER}


# -- what it becomes --------------------------------------------------------------------------------------------------


def test_the_tiny_model_has_its_winner_without_a_word(tiny, sample):
    """With no memory node, with one that leaves all to the model, and in part with one as it is when it is put down."""
    node, memory_of = tiny.nodes.memory.MemFlowMemory, tiny.nodes.run.memory_of
    latents, state, report = sample()
    for left_out in ({}, AUTO):
        own, _, told = sample(memory=node.execute({"preset": "Model's own"}, **left_out).result[0])
        assert torch.equal(latents, own) and told["settings"] == report["settings"]
    assert asdict(state.stream.memory) == asdict(TINY.memory) and opened(report) == WINNER
    assert report["settings"]["auto"] == ["archive", "bank_frames", "bank_keys", "record_every", "sink_frames"]
    fresh, _, told = sample(memory=node.execute({"preset": "Story"}, **AUTO).result[0])
    named, _, _ = sample(memory=memory_of({"preset": "Story"}, **WINNER))
    paper, _, _ = sample(memory=memory_of({"preset": "Story"}, **PAPER))
    assert torch.equal(fresh, named) and not torch.equal(fresh, paper) and not torch.equal(fresh, latents)
    assert opened(told) == WINNER and told["settings"]["auto"] == ["archive", "bank_keys"]
    assert all(0 < one["forwards"]["moment"] <= one["estimate"]["moments"] for one in (report, told))


def test_a_model_of_which_nothing_was_measured_streams_as_the_paper_has_it(tiny, sample, other):
    fresh = tiny.nodes.memory.MemFlowMemory.execute({"preset": "Story"}, **AUTO).result[0]
    latents, state, report = sample(other)
    for memory in (fresh, tiny.nodes.run.memory_of({"preset": "Story"}, **PAPER)):
        same, as_paper, _ = sample(other, memory=memory)
        assert torch.equal(latents, same) and as_paper.stream.meta == state.stream.meta
        assert as_paper.stream.tensors.keys() == state.stream.tensors.keys()
    assert opened(report) == PAPER and "moment" not in report["forwards"]
    assert not told_of_auto(report["told"])


def test_what_a_workflow_names_stays_as_it_is(tiny, sample):
    for named in (PAPER, {"bank_keys": "alone", "archive": "off"}, {"bank_keys": "made", "archive": "keys"}):
        memory = tiny.nodes.memory.MemFlowMemory.execute({"preset": "Story"}, **named).result[0]
        assert asdict(memory) == asdict(MemoryConfig(**named))
        _, _, report = sample(memory=memory, length=9)
        assert opened(report) == named and report["settings"]["auto"] == []


@pytest.mark.parametrize("profile", PROFILES.values(), ids=list(PROFILES))
def test_every_preset_and_retrieval_can_be_planned_on_auto_with_every_model(pack, plan, profile):
    if profile.channels == 48:
        sizes = {"width": 1280, "height": 704}
    else:
        sizes = {"width": profile.width, "height": profile.height}
    model = "tiny" if profile is TINY else "1.3B"
    chunk = profile.sampling.chunk_frames
    custom = {**CUSTOM, "bank_size": chunk, "sink_size": chunk, "window_size": 2 * chunk}
    kinds = [{"preset": name} for name in (*MEMORIES,) if profile.sampling.chunk_frames <= 3]
    retrievals = pack.nodes.run.CUSTOM_VALUES["retrieval"]
    kinds += [{**custom, "retrieval": name, "top_k": k} for name, k in product(retrievals, (0, 1))]
    for memory in kinds:
        paper = plan(model=model, profile=profile.name, memory={**memory, **PAPER}, **sizes)
        answer = plan(model=model, profile=profile.name, memory={**memory, **AUTO}, **sizes)
        assert ("error" in answer) == ("error" in paper), (memory, answer)
        if "error" in answer:
            assert answer["error"] == paper["error"]
        elif model != "tiny":
            assert answer["plan"] == paper["plan"]


def test_pictures_are_remembered_beside_the_archive(tiny, sample):
    """A story that starts from pictures and knows others, as the template *picture_to_story* has it."""
    nodes, size = tiny.nodes.images, {"width": 32, "height": 32}
    text = tiny.clip.encode_from_tokens_scheduled(tiny.clip.tokenize("a robot stands still in the city"))
    given = {"vae": tiny.vae, "conditioning": text, "images": torch.rand(1, 32, 32, 3), **size}
    started = nodes.MemFlowStartImages.execute(**given, length=9, fps=16.0).result[0]
    state = nodes.MemFlowRememberImages.execute(**given, state=started).result[0]
    _, after, report = sample(state=state)
    assert opened(report) == WINNER and asdict(after.stream.memory) == asdict(TINY.memory)


# -- states -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("named", [PAPER, WINNER, {"bank_keys": "made", "archive": "keys"}])
def test_a_state_goes_on_with_what_it_was_made_with(tiny, sample, named):
    memory = tiny.nodes.run.memory_of({"preset": "Story"}, **named)
    _, state, _ = sample(memory=memory, length=57)
    expected, _, _ = sample(memory=memory, state=state, length=60)
    fresh = tiny.nodes.memory.MemFlowMemory.execute({"preset": "Story"}, **AUTO).result[0]
    for open_memory in (fresh, None):
        latents, after, report = sample(memory=open_memory, state=state, length=60)
        assert torch.equal(latents, expected) and after.stream.memory == memory
        assert opened(report) == named
        said = told_of_auto(report["told"])
        words = f"bank_keys {named['bank_keys']}, archive {named['archive']}"
        kept = "Memory goes on as the state was made" if named != WINNER else "Memory on auto"
        if open_memory is None:
            words, kept = tiny.nodes.run.memory_words(memory), "Memory goes on as the state was made"
        assert len(said) == 1 and said[0].startswith(kept) and words in said[0]


def test_a_state_is_not_continued_with_other_settings(tiny, sample):
    _, state, _ = sample(length=57)
    larger = tiny.nodes.run.memory_of({"preset": "Sharper memory"})
    with pytest.raises(ValueError, match="the memory settings differ from those the state was made with"):
        sample(memory=larger, state=state, length=60)


# -- what is said -----------------------------------------------------------------------------------------------------


def test_the_plan_says_what_auto_became(plan):
    best = ", measured best for the Tiny story model."
    (line,) = told_of_auto(plan()["lines"])
    assert line == (
        "Memory on auto: window 9, no sink, bank 6 by prompt, a moment offered every chunk, moments read alone, "
        f"archive of latents by words{best}"
    )
    assert told_of_auto(plan(memory={"preset": "Model's own"})["lines"]) == [line]
    (other,) = told_of_auto(plan(memory={"preset": "Model's own", "archive_rule": "keys"})["lines"])
    assert other == line.replace("auto: ", "auto, but for what its node sets: ").replace(f"words{best}", "keys.")
    (some,) = told_of_auto(plan(memory={"preset": "Story", **AUTO})["lines"])
    assert some == f"Memory on auto: bank_keys alone, archive latents{best}"
    (left_out,) = told_of_auto(plan(memory={"preset": "Official MemFlow", **AUTO})["lines"])
    assert "bank_keys made, archive off" in left_out and "rule out bank_keys alone, archive latents" in left_out
    assert not told_of_auto(plan(memory={"preset": "Story", **PAPER})["lines"])
    assert plan()["plan"]["archived"] > 0 and plan(memory={"preset": "Story", **PAPER})["plan"]["archived"] == 0


def test_the_plan_of_a_published_model_says_so_where_a_node_is_on_auto(plan):
    sizes = {"model": "1.3B", "model_name": "memflow_base.pt", "width": 832, "height": 480}
    assert not told_of_auto(plan(**sizes)["lines"])
    (line,) = told_of_auto(plan(**sizes, memory={"preset": "Story", **AUTO})["lines"])
    assert "bank_keys made, archive off, as in the paper" in line
    (given,) = told_of_auto(plan(**sizes, memory={"preset": "Story", **AUTO, "archive": "latents"})["lines"])
    assert "bank_keys alone" in given


def test_a_rule_without_an_archive_is_no_reason_to_refuse(plan):
    sizes = {"model": "1.3B", "model_name": "memflow_base.pt", "width": 832, "height": 480}
    memory = {"preset": "Story", **AUTO, "archive_rule": "similarity", "archive_gb": 4.0}
    answer = plan(**sizes, memory=memory)
    assert "error" not in answer and answer["plan"]["archived"] == 0
    assert "archive is 'off'" in plan(**sizes, memory={**memory, "archive": "off"})["error"]


# -- kept moments -----------------------------------------------------------------------------------------------------


def graph(**widgets):
    """The graph with widgets of its memory node; None for a graph without one."""
    memory = {**GRAPH["6"], "inputs": {"preset": "Story", **widgets}}
    return {**GRAPH, "6": memory}


def without_memory():
    node = {**GRAPH[NODE], "inputs": {name: value for name, value in GRAPH[NODE]["inputs"].items() if name != "memory"}}
    return {**{name: one for name, one in GRAPH.items() if name != "6"}, NODE: node}


def test_a_graph_on_auto_is_the_story_that_names_what_auto_became(tiny):
    known = tiny.nodes.run.known.known_story
    for became in (PAPER, WINNER):
        auto = known(graph(**AUTO), NODE, "absolute", became)
        assert auto == known(graph(**became), NODE, "absolute")
        half = known(
            graph(bank_keys="auto", archive=became["archive"]), NODE, "absolute", {"bank_keys": became["bank_keys"]}
        )
        assert half == auto
    assert len({known(graph(**AUTO), NODE, "absolute", became).digest for became in (PAPER, WINNER)}) == 2


@pytest.mark.parametrize("of", [graph, without_memory])
def test_a_graph_of_before_is_the_same_story_where_auto_is_the_papers(tiny, of):
    known = tiny.nodes.run.known.known_story
    before = known(of(), NODE, "absolute")
    assert known(of(), NODE, "absolute", PAPER) == before
    # the tiny model makes other numbers of it now
    assert known(of(), NODE, "absolute", WINNER) != before


def test_what_was_kept_by_name_is_taken_up_on_auto(tiny, sample, kept_folder, other):
    memory = tiny.nodes.run.memory_of({"preset": "Story"}, **PAPER)
    sample(other, memory=memory, keep_moments_gb=1.0)
    _, _, report = sample(other, keep_moments_gb=1.0)
    assert report["rendered_from"]["chunk"] > 0
    winner = tiny.nodes.run.memory_of({"preset": "Story"}, **WINNER)
    sample(memory=winner, keep_moments_gb=1.0)
    fresh = tiny.nodes.memory.MemFlowMemory.execute({"preset": "Story"}, **AUTO).result[0]
    _, _, report = sample(memory=fresh, keep_moments_gb=1.0)
    assert report["rendered_from"]["chunk"] > 0 and opened(report) == WINNER
    said = told_of_auto(report["told"])
    assert len(said) == 1 and said[0].startswith("Memory on auto")
