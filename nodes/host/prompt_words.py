"""Find the words that a CONDITIONING was made from, in the prompt that ComfyUI runs."""

from __future__ import annotations

from typing import Any, NamedTuple

_ENCODER = "CLIPTextEncode"
_TEXTS = ("PrimitiveString", "PrimitiveStringMultiline")
_SWITCH = "ComfySwitchNode"
_JOIN = "StringConcatenate"
# nodes between a prompt and its text, in case they form a circle
MOST_STEPS = 200


class Words(NamedTuple):
    """Words of a prompt. text: None where they cannot be known, and then `source` is the class of the node they are
    made by, "" where there is none."""

    text: str | None
    source: str = ""


def words_of(prompt: Any, node_id: str | None, name: str) -> Words:
    """The words that feed an input of a node, through ComfyUI's text encoder, switches and nodes that hold a text.

    Reroutes, bypassed nodes and subgraphs are gone from a prompt that runs: the page resolves them.

    prompt   ComfyUI's hidden `dynprompt`, or the `prompt` of a request, {id: {"class_type", "inputs"}}; None outside a
             run of ComfyUI.
    node_id  the node whose input `name` takes a CONDITIONING.
    """
    if prompt is None or node_id is None:
        return Words(None)
    return _Walk(prompt).conditioning(_node(prompt, node_id).get("inputs", {}).get(name))


class _Walk:
    """One walk against the direction of links, of limited length."""

    def __init__(self, prompt: Any):
        self._prompt = prompt
        self._steps = 0

    def conditioning(self, value: Any) -> Words:
        node = self._source(value)
        if node is None:
            return Words(None)
        kind, inputs = str(node.get("class_type", "")), node.get("inputs", {})
        if kind == _ENCODER:
            return self._text(inputs.get("text"))
        if kind == _SWITCH and isinstance(inputs.get("switch"), bool):
            return self.conditioning(inputs.get("on_true" if inputs["switch"] else "on_false"))
        return Words(None, kind)

    def _text(self, value: Any) -> Words:
        if isinstance(value, str):
            return Words(value)
        node = self._source(value)
        if node is None:
            return Words(None)
        kind, inputs = str(node.get("class_type", "")), node.get("inputs", {})
        if kind == _JOIN:
            return self._joined(inputs)
        if kind == _SWITCH and isinstance(inputs.get("switch"), bool):
            return self._text(inputs.get("on_true" if inputs["switch"] else "on_false"))
        if kind in _TEXTS:
            return self._text(inputs.get("value"))
        return Words(None, kind)

    def _joined(self, inputs: dict[str, Any]) -> Words:
        parts = [self._text(inputs.get(name, "")) for name in ("string_a", "string_b", "delimiter")]
        unknown = next((part for part in parts if part.text is None), None)
        if unknown is not None:
            return unknown
        first, second, delimiter = (part.text or "" for part in parts)
        return Words(delimiter.join((first, second)))

    def _source(self, value: Any) -> dict[str, Any] | None:
        """The node that a link comes from; None for what is no link, or after too many steps."""
        self._steps += 1
        is_link = isinstance(value, (list, tuple)) and len(value) == 2 and isinstance(value[0], str)
        if not is_link or self._steps > MOST_STEPS:
            return None
        return _node(self._prompt, value[0]) or None


def _node(prompt: Any, node_id: str) -> dict[str, Any]:
    """A node of a prompt; an empty one where there is none."""
    if isinstance(prompt, dict):
        return prompt.get(node_id) or {}
    return prompt.get_node(node_id) if prompt.has_node(node_id) else {}
