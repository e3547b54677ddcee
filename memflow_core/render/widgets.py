"""Read the values of a saved node's widgets by the names of its inputs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "COLOR", "BOUNDING_BOX", "CURVE", "RANGE"}
DYNAMIC_COMBO, AUTOGROW = "COMFY_DYNAMICCOMBO_V3", "COMFY_AUTOGROW_V3"
AFTER_GENERATE = {"fixed", "increment", "decrement", "randomize"}
_CHOICE = re.compile(r"(?<!\\)\{([^{}]*)(?<!\\)\}")
_COMMENT = re.compile(r"/\*[\s\S]*?\*/|//.*")


def widget_values(node: Mapping[str, Any], info: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a node's widgets by input: those that are saved, in their order, and defaults for what lacks.

    node  of a workflow file. Its `widgets_values` is a list in the order of the widgets, or an object by name.
    info  of its type, from `/object_info`.
    """
    saved = node.get("widgets_values")
    if isinstance(saved, Mapping):
        return {name: saved[name] for name, _, _ in _inputs(info) if name in saved}
    return {name: value for name, (_, value) in _placed(node, info).items()}


def widget_places(node: Mapping[str, Any], info: Mapping[str, Any]) -> dict[str, int | str]:
    """Where the value of each input stands in a node's `widgets_values`: its number there, or its name."""
    saved = node.get("widgets_values")
    if isinstance(saved, Mapping):
        return {name: name for name in saved}
    return {name: place for name, (place, _) in _placed(node, info).items() if place is not None}


Placed = dict[str, tuple["int | None", Any]]


def _placed(node: Mapping[str, Any], info: Mapping[str, Any]) -> Placed:
    """(place, value) by input; the place of a default is None."""
    queue = list(enumerate(node.get("widgets_values") or ()))
    slots = {slot["name"]: slot for slot in node.get("inputs") or ()}
    found: Placed = {}
    for name, kind, options in _inputs(info):
        _take(name, kind, options, slots=slots, queue=queue, found=found)
    return found


def _take(
    name: str,
    kind: Any,
    options: Mapping[str, Any],
    *,
    slots: Mapping[str, Any],
    queue: list[tuple[int, Any]],
    found: Placed,
) -> None:
    """Move the values of one input from the queue to `found`."""
    if kind == AUTOGROW:
        for slot in slots:
            # rows that are widgets; rows that are links bring no value
            if slot.startswith(f"{name}.") and slots[slot].get("widget") and queue:
                found[slot] = queue.pop(0)
        return
    if options.get("forceInput") or not _is_widget(name, kind, slots):
        return
    place, value = queue.pop(0) if queue else (None, _default(kind, options))
    if place is None and value is None:
        return
    found[name] = place, _chosen(value) if options.get("dynamicPrompts") else value
    if _has_control(name, kind, options) and queue and queue[0][1] in AFTER_GENERATE:
        queue.pop(0)
    if kind == DYNAMIC_COMBO:
        for option in options.get("options") or ():
            if option.get("key") == value:
                for inner, inner_kind, inner_options in _inputs({"input": option["inputs"]}):
                    _take(f"{name}.{inner}", inner_kind, inner_options, slots=slots, queue=queue, found=found)


def _default(kind: Any, options: Mapping[str, Any]) -> Any:
    """The value of a widget that was saved with none; None if there is no telling."""
    if "default" in options:
        return options["default"]
    choices = kind if isinstance(kind, list) else options.get("options") or [None]
    return choices[0] if choices and kind != DYNAMIC_COMBO else None


def _is_widget(name: str, kind: Any, slots: Mapping[str, Any]) -> bool:
    known = isinstance(kind, list) or kind in WIDGETS or kind == DYNAMIC_COMBO
    return known or bool(slots.get(name, {}).get("widget"))


def _has_control(name: str, kind: Any, options: Mapping[str, Any]) -> bool:
    return bool(options.get("control_after_generate")) or (kind == "INT" and name in ("seed", "noise_seed"))


def _inputs(info: Mapping[str, Any]) -> Iterator[tuple[str, Any, Mapping[str, Any]]]:
    """(name, type, options) of every input, in the order of the widgets."""
    groups = info.get("input") or {}
    order = info.get("input_order") or {}
    for group in ("required", "optional"):
        specs = groups.get(group) or {}
        names = order.get(group) or list(specs)
        for name in names:
            spec = specs[name]
            options = spec[1] if len(spec) > 1 and isinstance(spec[1], Mapping) else {}
            yield name, spec[0], options


def _chosen(text: Any) -> Any:
    """A prompt with its choices `{red|blue}` made: the page rolls a dice for each, here the first one is taken."""
    if not isinstance(text, str) or ("{" not in text and "/" not in text):
        return text
    text = _COMMENT.sub("", text)
    while True:
        made = _CHOICE.sub(lambda match: match[1].split("|")[0], text, count=1)
        if made == text:
            return re.sub(r"\\([{}|])", r"\1", text)
        text = made
