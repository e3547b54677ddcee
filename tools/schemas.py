"""Compare the nodes' schemas with pinned ones: what changed, and whether it breaks people's workflows.

A workflow file stores links and widget values by their place, and an API prompt names inputs. So ids and names are kept
for ever, and new inputs come last.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

# inputs whose options are files of the machine
FILE_LISTS = {
    ("MemFlowLoadModel", "model_name"),
    ("MemFlowLoadModel", "lora_name"),
    ("MemFlowLoadState", "file"),
    ("MemFlowLoadControl", "control_name"),
}
LIMITS = ("default", "min", "max", "step", "round")
FLAGS = ("advanced", "multiline", "dynamicPrompts", "control_after_generate", "forceInput")

Snapshot = dict[str, dict[str, Any]]


def inputs_of(info: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Yield (name, pinned part, raw options) of each input of a node, in the order of its widgets.

    Required ones come before optional ones. Inputs of a combo's choice follow it: their name is `combo.input`, and
    their `when` the choice.
    """
    yield from _inputs(info["name"], "", info["input"], info["input_order"])


def _inputs(node: str, prefix: str, inputs: dict[str, Any], order: dict[str, list[str]] | None, **more: Any):
    for part in ("required", "optional"):
        for name in (order or inputs).get(part, ()):
            kind, *rest = inputs[part][name]
            raw = rest[0] if rest else {}
            full = f"{prefix}{name}"
            pin = {"name": full, "type": "COMBO" if isinstance(kind, list) else kind} | more
            pin |= {"optional": True} if part == "optional" else {}
            pin |= {key: raw[key] for key in LIMITS if raw.get(key) is not None}
            pin |= {key: True for key in FLAGS if raw.get(key)}
            choices = raw.get("options", kind if isinstance(kind, list) else None)
            if choices is not None:
                keys = [choice["key"] if isinstance(choice, dict) else choice for choice in choices]
                pin["options"] = "files" if (node, full) in FILE_LISTS else keys
            yield full, pin, raw
            for choice in choices or ():
                if isinstance(choice, dict):
                    yield from _inputs(node, f"{full}.", choice["inputs"], None, when=choice["key"])


def outputs_of(info: dict[str, Any]) -> list[tuple[str, str, str | None]]:
    """Return (name, type, tooltip) of each output of a node."""
    return list(zip(info["output_name"], info["output"], info["output_tooltips"], strict=True))


def snapshot(infos: dict[str, dict[str, Any]]) -> Snapshot:
    """Return the pinned part of every node."""
    return {
        node: {
            "display_name": info["display_name"],
            "category": info["category"],
            "output_node": info["output_node"],
            "inputs": [pin for _, pin, _ in inputs_of(info)],
            "outputs": [{"name": name, "type": kind} for name, kind, _ in outputs_of(info)],
        }
        for node, info in infos.items()
    }


def text_of(pinned: Snapshot) -> str:
    """Return a snapshot as JSON with a line for each input and output."""
    nodes = []
    for node, pins in pinned.items():
        parts = []
        for key, value in pins.items():
            if isinstance(value, list):
                rows = ",\n".join(f"   {json.dumps(row)}" for row in value)
                parts.append(f'  "{key}": [\n{rows}\n  ]' if rows else f'  "{key}": []')
            else:
                parts.append(f'  "{key}": {json.dumps(value)}')
        nodes.append(f' "{node}": {{\n' + ",\n".join(parts) + "\n }")
    return "{\n" + ",\n".join(nodes) + "\n}\n"


def differences(old: Snapshot, new: Snapshot) -> list[str]:
    """Return every difference between two snapshots, one sentence each."""
    found = [f"{node} is new" for node in new if node not in old]
    found += [f"{node} is gone" for node in old if node not in new]
    for node in (node for node in old if node in new):
        before, now = old[node], new[node]
        for key in ("display_name", "category", "output_node"):
            if before[key] != now[key]:
                found.append(f"{node}: {key} was {before[key]!r} and is {now[key]!r}")
        for kind in ("inputs", "outputs"):
            found += _changes(f"{node}, {kind[:-1]}", before[kind], now[kind])
    return found


def _changes(where: str, old: list[dict], new: list[dict]) -> Iterator[str]:
    before, now = _by_name(old), _by_name(new)
    yield from (f"{where} {name} is new: {now[name]}" for name in now if name not in before)
    yield from (f"{where} {name} is gone" for name in before if name not in now)
    kept = [name for name in before if name in now]
    if kept != (order := [name for name in now if name in before]):
        yield f"{where}s stood as {', '.join(kept)} and stand as {', '.join(order)}"
    for name in kept:
        for key in sorted(before[name].keys() | now[name].keys()):
            was, is_ = before[name].get(key), now[name].get(key)
            if was != is_:
                yield f"{where} {name}: {key} was {was!r} and is {is_!r}"


def incompatible(old: Snapshot, new: Snapshot) -> list[str]:
    """Return the differences that break people's workflows, one sentence each."""
    found = [f"{node} is gone: node ids are for ever" for node in old if node not in new]
    for node in (node for node in old if node in new):
        for kind in ("inputs", "outputs"):
            found += _breaks(f"{node}, {kind[:-1]}", old[node][kind], new[node][kind])
    return found


def _breaks(where: str, old: list[dict], new: list[dict]) -> Iterator[str]:
    # a user sees at once: inputs without a choice, and those of one choice
    for choice in {pin.get("when") for pin in old} | {None}:
        before, now = ([p["name"] for p in pins if p.get("when") in (None, choice)] for pins in (old, new))
        if now[: len(before)] != before:
            moved = next(name for name, there in zip_longest(before, now) if name != there)
            yield f"{where}s must stay as they are, and new ones come last: {moved} is no longer where it was"
            return
    known = _by_name(old)
    for pin in new:
        if pin["name"] in known:
            yield from _break(f"{where} {pin['name']}", known[pin["name"]], pin)
        elif where.endswith("input") and not pin.get("optional"):
            yield f"{where} {pin['name']} is new and required, which no prompt of before has: make it optional"


def _break(where: str, was: dict, is_: dict) -> Iterator[str]:
    if was["type"] != is_["type"]:
        yield f"{where} was {was['type']} and is {is_['type']}"
    if was.get("optional") and not is_.get("optional"):
        yield f"{where} was optional and is required"
    old, new = was.get("options"), is_.get("options")
    if isinstance(old, list) and isinstance(new, list):
        if gone := [option for option in old if option not in new]:
            yield f"{where} has lost {', '.join(map(repr, gone))}: workflows name their choice"
        elif [option for option in new if option in old] != old or new[0] != old[0]:
            yield f"{where} offers its old choices in another order: put new ones behind the first"


def _by_name(pins: list[dict]) -> dict[str, dict]:
    return {pin["name"]: pin for pin in pins}
