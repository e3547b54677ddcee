"""Names and tooltips of the nodes as ComfyUI's front end translates them: `locales/<language>/nodeDefs.json`."""

from __future__ import annotations

import json
from typing import Any

from .comfy_host import ROOT
from .schemas import inputs_of, outputs_of

LOCALES = ROOT / "locales"
# the front end's own widget behind a seed
AFTER_GENERATE = "control_after_generate"

Words = dict[str, Any]


def english(infos: dict[str, dict[str, Any]]) -> Words:
    """Return the content of `locales/en/nodeDefs.json`, from the nodes' descriptions.

    The front end wants a dot in a name to be written `_`.
    """
    return {node: _node(info) for node, info in infos.items()}


def _node(info: dict[str, Any]) -> Words:
    inputs: Words = {}
    for name, pin, raw in inputs_of(info):
        inputs[name.replace(".", "_")] = {"name": name.rpartition(".")[2], "tooltip": raw["tooltip"]}
        if pin.get(AFTER_GENERATE):
            inputs[AFTER_GENERATE] = {"name": "control after generate"}
    outputs = {
        str(place): {"name": name, "tooltip": tooltip} for place, (name, _, tooltip) in enumerate(outputs_of(info))
    }
    made = {"display_name": info["display_name"], "description": info["description"]}
    return made | ({"inputs": inputs} if inputs else {}) | {"outputs": outputs}


def flat(words: Words, path: str = "") -> dict[str, str]:
    """Return every text by its dotted path."""
    found = {}
    for key, value in words.items():
        at = f"{path}.{key}" if path else key
        found |= flat(value, at) if isinstance(value, dict) else {at: value}
    return found


def read(language: str, name: str = "nodeDefs") -> Words:
    return json.loads((LOCALES / language / f"{name}.json").read_text(encoding="utf-8"))


def text_of(words: Words) -> str:
    return json.dumps(words, indent=1, ensure_ascii=False) + "\n"
