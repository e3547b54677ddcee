"""The schema of every node is pinned: people's workflows depend on ids, names, order, types and defaults."""

from __future__ import annotations

import copy
import json

import pytest

from tools.pin_schemas import COMMAND, PINNED
from tools.schemas import differences, incompatible, snapshot, text_of


@pytest.fixture(scope="module")
def pinned() -> dict:
    return json.loads(PINNED.read_text())


def test_every_schema_is_as_it_is_pinned(infos, pinned):
    if found := differences(pinned, snapshot(infos)):
        lines = "\n  ".join(found)
        pytest.fail(f"schemas have changed:\n  {lines}\nIf that is meant, run `{COMMAND}`.", pytrace=False)


def test_no_change_breaks_a_workflow_that_people_have(infos, pinned):
    if found := incompatible(pinned, snapshot(infos)):
        lines = "\n  ".join(found)
        pytest.fail(f"people's workflows would break:\n  {lines}\nAppend optional inputs instead.", pytrace=False)


def test_the_file_is_as_the_command_writes_it(pinned):
    assert PINNED.read_text() == text_of(pinned)


OLD = {
    "Node": {
        "display_name": "Node",
        "category": "MemFlow",
        "output_node": False,
        "inputs": [
            {"name": "model", "type": "MODEL"},
            {"name": "kind", "type": "COMBO", "options": ["a", "b", "Custom"]},
            {"name": "kind.size", "type": "INT", "default": 3, "when": "Custom"},
            {"name": "extra", "type": "INT", "default": 1, "optional": True},
        ],
        "outputs": [{"name": "latent", "type": "LATENT"}, {"name": "report", "type": "STRING"}],
    }
}
OPTIONAL = {"name": "more", "type": "INT", "default": 2, "optional": True}


def _insert(place: int, pin: dict, kind: str = "inputs"):
    return lambda node: node[kind].insert(place, pin)


def _set(place: int, kind: str = "inputs", **values):
    return lambda node: node[kind][place].update(values)


@pytest.mark.parametrize(
    "change, said, breaks",
    [
        (_insert(4, OPTIONAL), "Node, input more is new", None),
        (_insert(3, OPTIONAL), "Node, input more is new", "extra is no longer where it was"),
        (_insert(4, {"name": "more", "type": "INT"}), "Node, input more is new", "more is new and required"),
        (_insert(3, OPTIONAL | {"when": "Custom"}), "Node, input more is new", "extra is no longer where it was"),
        (lambda node: node["inputs"].pop(), "Node, input extra is gone", "extra is no longer where it was"),
        (_set(3, name="other"), "Node, input other is new", "extra is no longer where it was"),
        (lambda node: node["inputs"].reverse(), "Node, inputs stood as model, kind", "model is no longer where it was"),
        (_set(0, type="CLIP"), "model: type was 'MODEL' and is 'CLIP'", "model was MODEL and is CLIP"),
        (_set(3, optional=False), "extra: optional was True and is False", "extra was optional and is required"),
        (_set(3, default=2), "extra: default was 1 and is 2", None),
        (_set(1, options=["a", "c", "b", "Custom"]), "kind: options was", None),
        (_set(1, options=["c", "a", "b", "Custom"]), "kind: options was", "kind offers its old choices in another"),
        (_set(1, options=["a", "Custom"]), "kind: options was", "kind has lost 'b'"),
        (_insert(2, {"name": "state", "type": "STATE"}, "outputs"), "Node, output state is new", None),
        (_insert(1, {"name": "state", "type": "STATE"}, "outputs"), "Node, output state is new", "report is no longer"),
        (_set(0, "outputs", type="IMAGE"), "latent: type was 'LATENT'", "latent was LATENT and is IMAGE"),
        (lambda node: node.update(display_name="Other"), "Node: display_name was 'Node' and is 'Other'", None),
    ],
)
def test_a_change_is_named_and_judged(change, said, breaks):
    new = copy.deepcopy(OLD)
    change(new["Node"])
    assert any(said in line for line in differences(OLD, new))
    found = incompatible(OLD, new)
    assert [line for line in found if breaks and breaks in line] == found and bool(found) == bool(breaks)


def test_a_node_may_come_and_none_may_go():
    more = OLD | {"Other": OLD["Node"]}
    assert differences(OLD, more) == ["Other is new"] and incompatible(OLD, more) == []
    assert differences(more, OLD) == ["Other is gone"]
    assert incompatible(more, OLD) == ["Other is gone: node ids are for ever"]
