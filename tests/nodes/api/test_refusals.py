"""What is refused as it is queued is what a run would refuse, in the same words; nothing else is."""

from __future__ import annotations

import copy

import pytest

SAMPLER = "9"
STORY = "0s: a robot walks in the meadow\n1s: an empty beach\n2s: the robot returns to the meadow"
SIZES = {"width": 64, "height": 64, "fps": 16.0, "steps": "1000", "shift": 5.0, "length": 45, "seed": 7}
CUSTOM = {"retrieval": "prompt", "bank_size": 3, "record_interval": 1, "top_k": 0, "sink_size": 3, "window_size": 6}
CUSTOM |= {"positions": "auto", "global_sink": True}
CONTROL = {"start": "0s", "end": "", "strength": 1.0, "use": "steer"}


def graph(prompts: str = STORY, memory: dict | None = None, controls: tuple[dict, ...] = (), **values) -> dict:
    made = {
        "1": {"class_type": "MemFlowTinyStory", "inputs": {}},
        "2": {"class_type": "MemFlowPromptSchedule", "inputs": {"clip": ["1", 1], "prompts": prompts}},
        SAMPLER: {
            "class_type": "MemFlowSampler",
            "inputs": {"model": ["1", 0], "schedule": ["2", 0], **SIZES, **values},
        },
    }
    if memory is not None:
        nested = {f"preset.{name}": value for name, value in (CUSTOM | memory).items()}
        made["3"] = {"class_type": "MemFlowMemory", "inputs": {"preset": "Custom", **nested}}
        made[SAMPLER]["inputs"]["memory"] = ["3", 0]
    before = None
    for number, one in enumerate(controls):
        link = {} if before is None else {"control": before}
        made[f"c{number}"] = {"class_type": "MemFlowControl", "inputs": {**CONTROL, **link, **one}}
        before = [f"c{number}", 0]
    if before is not None:
        made[SAMPLER]["inputs"]["control"] = before
    return made


def segments(*starts: float, **last) -> dict:
    """A graph whose schedule is a chain of segments."""
    made, before = graph(), None
    del made["2"]
    for number, start in enumerate(starts):
        inputs = {"conditioning": ["1", 1], "start": start, "unit": "seconds", "switch": "recache"}
        link = {} if before is None else {"schedule": before}
        made[f"s{number}"] = {"class_type": "MemFlowPromptSegment", "inputs": {**inputs, **link}}
        before = [f"s{number}", 0]
    made[before[0]]["inputs"] |= last
    made[SAMPLER]["inputs"]["schedule"] = before
    return made


def streamed(made: dict, **values) -> dict:
    made[SAMPLER] = {"class_type": "MemFlowStreamToVideo", "inputs": {**made[SAMPLER]["inputs"], **values}}
    return made


@pytest.fixture
def refusal(tiny):
    return tiny.nodes.api.refusals.refusal


# (arguments of `graph`, words of the sentence); what a run says of them is compared
SAID_BY_THE_RUN = [
    ({"prompts": "0s: a robot\n1s: a cat\n1.1s: a ghost"}, "segment 3"),
    ({"length": 0}, "length is 0"),
    ({"width": 40}, "40"),
    ({"height": 8190}, "8190"),
    ({"memory": {"bank_size": 0, "sink_size": 3, "top_k": 9}}, "top_k"),
    ({"memory": {"window_size": 2}}, "window"),
    ({"memory": {"positions": "absolute"}, "length": 12 * 1025}, "absolute"),
    ({"steps": "four"}, "four"),
    ({"steps": "1000, 1000"}, "1000"),
    ({"prompts": "length: 0.0001s\n0s: a robot"}, "less than one video frame"),
]


@pytest.mark.parametrize(("changes", "words"), SAID_BY_THE_RUN, ids=lambda value: str(value)[:40])
def test_what_is_refused_is_what_the_run_refuses(tiny, refusal, changes, words):
    said = refusal(graph(**changes), SAMPLER)
    values = {**SIZES, **changes}
    with pytest.raises(ValueError) as raised:
        schedule = tiny.schedule(values.pop("prompts", STORY))
        custom = values.pop("memory", None)
        memory = None if custom is None else tiny.memory(**custom)
        tiny.sample(schedule=schedule, memory=memory, **values)
    ran = tiny.nodes.host.sentence(raised.value)
    assert said == ran and words in said


def without(made: dict, node: str, name: str) -> dict:
    del made[node]["inputs"][name]
    return made


def linked(made: dict, node: str, name: str, kind: str, **inputs) -> dict:
    made["20"] = {"class_type": kind, "inputs": inputs}
    made[node]["inputs"][name] = ["20", 0]
    return made


def loaded(made: dict, kind: str = "MemFlowLoadModel", **inputs) -> dict:
    made["1"] = {"class_type": kind, "inputs": inputs}
    return made


def steerable(made: dict) -> dict:
    made["w"] = {"class_type": "MemFlowLoadControl", "inputs": {"model": ["1", 0]}}
    made[SAMPLER]["inputs"]["model"] = ["w", 0]
    return made


TWO_IN_A_CHUNK = "0s: a robot\n1s: a cat\n1.1s: a ghost"
NAMED = {"model_name": "memflow/base.pt", "lora_name": "none"}

REFUSED = [
    ("segments", lambda: segments(0, 2, 1), "segment 3"),
    ("segments in a chunk", lambda: segments(0, 1, 1.1), "segment 3"),
    ("an open end in percent", lambda: streamed(graph("0s: a robot\n50%: a cat"), length=0), "50 %"),
    ("controls that overlap", lambda: steerable(graph(controls=({"end": "2s"}, {"start": "1s"}))), "let one end"),
    ("control without weights", lambda: graph(controls=({},)), "MemFlow Load Control"),
    ("a mask on what is remade", lambda: graph(controls=({"use": "remake", "mask": ["5", 0]},)), "takes no mask"),
    ("too strong a remake", lambda: graph(controls=({"use": "remake", "strength": 2.0},)), "at most 1"),
    (
        "the same behind a state",
        lambda: graph(controls=({"use": "remake", "strength": 2.0},), state=["7", 0]),
        "at most 1",
    ),
    (
        "a linked strength that is too high",
        lambda: linked(graph(controls=({},)), "c0", "strength", "PrimitiveFloat", value=11.0),
        "from 0 to 10",
    ),
    ("a value of a primitive", lambda: linked(graph(), SAMPLER, "length", "PrimitiveInt", value=0), "length is 0"),
    (
        "a text of a primitive",
        lambda: linked(graph(), "2", "prompts", "PrimitiveStringMultiline", value="0s: a\n9s: b\n8s: c"),
        "segment",
    ),
    ("a model by its name", lambda: loaded(graph(TWO_IN_A_CHUNK), **NAMED), "segment 3"),
    ("a model with its profile", lambda: loaded(graph(TWO_IN_A_CHUNK), **NAMED, profile="LongLive 1"), "segment 3"),
    ("a size that no model has", lambda: loaded(graph(width=40), kind="UNETLoader", unet_name="w"), "40"),
    ("whole clips", lambda: loaded(graph(), model_name="wan2.1_t2v_1.3B.safetensors", lora_name="none"), "whole clip"),
]
REFUSED = [pytest.param(make, words, id=name) for name, make, words in REFUSED]


@pytest.mark.parametrize(("make", "words"), REFUSED)
def test_what_the_widgets_tell_is_refused(refusal, make, words):
    said = refusal(make(), SAMPLER)
    assert said and words in said and "\n" not in said


LEFT_TO_THE_RUN = {
    "what runs": graph(),
    "memory": graph(memory={}),
    "a film without an end": streamed(graph(), length=0),
    "segments": segments(0, 2, 4),
    "a blend": segments(0, 2, 4, switch="blend", blend=3.0, blend_path="linear"),
    # another model may have shorter chunks
    "an unknown model": loaded(graph(TWO_IN_A_CHUNK), kind="UNETLoader", unet_name="wan.safetensors"),
    "a model of an unknown name": loaded(graph(TWO_IN_A_CHUNK), model_name="x.pt", lora_name="none"),
    "chunks of one frame": loaded(graph(TWO_IN_A_CHUNK), **NAMED, profile="Causal Forcing, frame-wise"),
    "a state": graph(TWO_IN_A_CHUNK, state=["7", 0]),
    "a computed length": linked(graph(length=0), SAMPLER, "length", "MathExpression", a=0),
    "a computed text": linked(graph(), "2", "prompts", "Concatenate", value="9s: a\n8s: b"),
    "another node's memory": linked(graph(width=40), SAMPLER, "memory", "Other"),
    "control behind a node of others": loaded(graph(controls=({},)), kind="Other"),
    "no schedule": without(graph(width=40), SAMPLER, "schedule"),
    "no length": without(graph(width=40), SAMPLER, "length"),
    "a text that its own node refuses": graph("0s: a\n0s [nonsense]: b", width=40),
    "a circle of segments": segments(0, 1, schedule=["s1", 0]),
    "a circle of models": linked(graph(width=40), SAMPLER, "model", "MemFlowProfile", model=["20", 0]),
}


@pytest.mark.parametrize("name", LEFT_TO_THE_RUN)
def test_what_only_the_run_knows_is_left_to_it(refusal, name):
    assert refusal(LEFT_TO_THE_RUN[name], SAMPLER) is None


ODD = [None, 5, True, "", "x", [], ["9", 0], [5, 0], ["1"], {}, {"a": 1}, 10**400, float("nan"), "\ud800"]


def test_a_graph_of_any_form_is_looked_at_without_a_fault(refusal):
    for odd in ODD:
        refusal(odd, SAMPLER)
        refusal(graph(), odd)
        whole = graph(memory={}, controls=({},))
        for node in whole:
            for form in (odd, {"class_type": odd, "inputs": {}}, {"class_type": "MemFlowSampler", "inputs": odd}):
                refusal({**whole, node: form}, SAMPLER)
            for name in whole[node]["inputs"]:
                changed = copy.deepcopy(whole)
                changed[node]["inputs"][name] = odd
                refusal(changed, SAMPLER)
