"""The words of a prompt are found in the graph that runs, or it is said where they come from."""

from __future__ import annotations

import pytest


def graph(**nodes) -> dict:
    """A prompt whose segment is node `s`; nodes by id: (class, inputs)."""
    made = {"s": ("MemFlowPromptSegment", {"conditioning": ["e", 0]}), **nodes}
    return {name: {"class_type": kind, "inputs": inputs} for name, (kind, inputs) in made.items()}


def encoder(text) -> tuple:
    return ("CLIPTextEncode", {"clip": ["c", 0], "text": text})


KNOWN = {
    "written": (graph(e=encoder("a robot walks")), "a robot walks"),
    "of several lines": (graph(e=encoder("a robot\n\nwalks  ")), "a robot\n\nwalks  "),
    "empty": (graph(e=encoder("")), ""),
    "from a text node": (graph(e=encoder(["t", 0]), t=("PrimitiveStringMultiline", {"value": "a cat"})), "a cat"),
    "from a line": (graph(e=encoder(["t", 0]), t=("PrimitiveString", {"value": "a cat"})), "a cat"),
    "joined": (
        graph(
            e=encoder(["j", 0]),
            j=("StringConcatenate", {"string_a": ["t", 0], "string_b": "runs", "delimiter": ", "}),
            t=("PrimitiveString", {"value": "a cat"}),
        ),
        "a cat, runs",
    ),
    "inside subgraphs": (
        {
            "s": {"class_type": "MemFlowPromptSegment", "inputs": {"conditioning": ["4:7:2", 0]}},
            "4:7:2": {"class_type": "CLIPTextEncode", "inputs": {"text": ["9:1", 0]}},
            "9:1": {"class_type": "PrimitiveString", "inputs": {"value": "a ghost"}},
        },
        "a ghost",
    ),
    "behind switches": (
        graph(
            e=("ComfySwitchNode", {"switch": True, "on_true": ["a", 0], "on_false": ["b", 0]}),
            a=encoder(["w", 0]),
            b=encoder("not this"),
            w=("ComfySwitchNode", {"switch": False, "on_true": "not this", "on_false": "this"}),
        ),
        "this",
    ),
}
# the class of the node that is named
UNKNOWN = {
    "combined": (graph(e=("ConditioningCombine", {"conditioning_1": ["a", 0]})), "ConditioningCombine"),
    "changed": (graph(e=("ConditioningZeroOut", {"conditioning": ["a", 0]}), a=encoder("a")), "ConditioningZeroOut"),
    "another encoder": (graph(e=("CLIPTextEncodeFlux", {"clip_l": "a", "t5xxl": "b"})), "CLIPTextEncodeFlux"),
    "a text that is computed": (graph(e=encoder(["t", 0]), t=("StringReplace", {"string": "a"})), "StringReplace"),
    "a part that is computed": (
        graph(e=encoder(["j", 0]), j=("StringConcatenate", {"string_a": ["t", 0], "string_b": "b"}), t=("LLM", {})),
        "LLM",
    ),
    "a switch that is computed": (
        graph(e=("ComfySwitchNode", {"switch": ["x", 0], "on_true": ["a", 0]}), a=encoder("a")), "ComfySwitchNode"
    ),
    "nothing": (graph(), ""),
    "no link": (graph(e=encoder(5)), ""),
    "a circle": (graph(e=encoder(["t", 0]), t=("PrimitiveString", {"value": ["t", 0]})), ""),
    "circles that branch": (
        graph(e=encoder(["j", 0]), j=("StringConcatenate", {"string_a": ["j", 0], "string_b": ["j", 0]})), ""
    ),
    "a link to nowhere": (graph(e=encoder(["gone", 0])), ""),
}  # fmt: skip


@pytest.fixture
def words_of(pack):
    return lambda prompt: pack.nodes.host.words_of(prompt, "s", "conditioning")


@pytest.mark.parametrize("name", KNOWN)
def test_words_are_found(words_of, name):
    prompt, text = KNOWN[name]
    assert words_of(prompt).text == text


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_cannot_be_known_is_said(words_of, name):
    prompt, source = UNKNOWN[name]
    assert words_of(prompt) == (None, source)


def test_nodes_that_a_run_adds_count_too(pack, words_of):
    from comfy_execution.graph import DynamicPrompt

    prompt = graph()
    dynamic = DynamicPrompt(prompt)
    assert words_of(dynamic).text is None
    dynamic.add_ephemeral_node("e", {"class_type": "CLIPTextEncode", "inputs": {"text": "a robot"}}, "s", "s")
    assert words_of(dynamic).text == "a robot"


def test_without_a_graph_a_segment_has_its_number(pack):
    run, host = pack.nodes.run, pack.nodes.host
    assert host.words_of(None, None, "conditioning").text is None
    assert run.segment_prompt(host.Words("a cat"), 2) == "a cat"
    assert run.segment_prompt(host.Words(None), 2) == "segment 2 (words not known)"
    assert run.segment_prompt(host.Words(None, "LLM"), 2) == "segment 2 (words not known, they come from LLM)"
    assert run.segment_prompt(host.Words(" \n"), 2) == "segment 2 (an empty prompt)"
