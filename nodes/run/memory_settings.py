"""Turn the widgets of MemFlow Memory into memory settings of the core, some of them left to the model."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ...memflow_core.config import (
    ADMISSIONS,
    ARCHIVE_GB,
    ARCHIVE_RULES,
    ARCHIVES,
    BANK_KEYS,
    CACHES,
    MAX_ARCHIVE_GB,
    MAX_BANK_FRAMES,
    MEMORIES,
    POSITIONS,
    RETRIEVALS,
    MemoryConfig,
)
from ...memflow_core.profiles import AUTO, OPEN_SETTINGS, OpenMemory
from ...memflow_core.schedule import show

# everything as the model's profile has it, and every setting by hand
OWN, CUSTOM = "Model's own", "Custom"
# the first is what a node shows that is put down, and stays so
_FIRST, *_OTHERS = MEMORIES
MEMORY_OPTIONS = (_FIRST, OWN, *_OTHERS, CUSTOM)

# what each widget of the option Custom can be set to, in the widgets' order
CUSTOM_VALUES: dict[str, Sequence[Any]] = {
    # the published code is the one policy a user should pick knowingly
    "retrieval": (*(name for name in RETRIEVALS if name != "reference"), "reference"),
    "bank_size": range(MAX_BANK_FRAMES + 1),
    "record_interval": range(1, 1001),
    "top_k": range(1025),
    "sink_size": range(257),
    "window_size": range(1, 513),
    "positions": POSITIONS,
    "global_sink": (False, True),
}

# what the choices beside every preset can be set to, in their order; they are named as in MemoryConfig
SHARED_VALUES: dict[str, Sequence[str]] = {
    "cache": CACHES,
    # the choice of before stands first: workflow files and schemas know them in this order
    "bank_keys": (*BANK_KEYS, AUTO),
    "archive": (*ARCHIVES, AUTO),
    "archive_rule": ARCHIVE_RULES,
    "admission": ADMISSIONS,
}

# what a fresh node has in them; a prompt that leaves one out means what it meant before there was a choice
SHARED_DEFAULTS: dict[str, str] = {
    name: AUTO if name in OPEN_SETTINGS else getattr(MemoryConfig(), name) for name in SHARED_VALUES
}

# the widget `archive_gb`, a number
ARCHIVE_GB_VALUES = (0.1, float(MAX_ARCHIVE_GB))
# the widget `bank_layers`, which takes a text: layers of the model from 0
ALL_LAYERS = "all"
MAX_LAYERS = 1000
_LAYERS = re.compile(r"(\d{1,4})(?:\s*-\s*(\d{1,4}))?")


def layers_of(text: str) -> tuple[int, ...] | None:
    """Read the widget `bank_layers`: `all` is None, and `0, 10-14` five layers and one. Raises ValueError otherwise."""
    if text.strip().lower() in ("", ALL_LAYERS):
        return None
    layers: set[int] = set()
    for part in text.split(","):
        found = _LAYERS.fullmatch(part.strip())
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if not first <= last < MAX_LAYERS:
            raise ValueError(
                f"memory bank_layers is {show(text)}, which names no layers: write {ALL_LAYERS}, or numbers from 0 and "
                f"ranges of them, such as 0, 10-19."
            )
        layers.update(range(first, last + 1))
    return tuple(sorted(layers))


def memory_of(
    preset: Mapping[str, Any],
    *,
    bank_layers: str = ALL_LAYERS,
    archive_gb: float = ARCHIVE_GB,
    look_ahead: bool = False,
    **shared: str,
) -> MemoryConfig | OpenMemory:
    """Settings for the widgets' values, which ComfyUI has checked against their ranges; open where some are `auto` or
    the preset is OWN.

    preset       `{"preset": option}`, with every widget of CUSTOM_VALUES beside it for the option Custom.
    bank_layers  as `layers_of` reads it.
    archive_gb   RAM for the keys of an archive, in GB of 2^30 bytes.
    look_ahead   as in MemoryConfig.
    shared       widgets of SHARED_VALUES; those left out are as in MemoryConfig.

    Raises ValueError where the values do not fit together.
    """
    if preset["preset"] == OWN:
        # which no prompt of before there was a choice has
        shared = {**dict.fromkeys(OPEN_SETTINGS, AUTO), **shared}
    left = frozenset(name for name in OPEN_SETTINGS if shared.get(name) == AUTO)
    beside = {"bank_layers": layers_of(bank_layers), "archive_gb": archive_gb, "look_ahead": look_ahead}
    beside |= {name: value for name, value in shared.items() if name not in left}
    if preset["preset"] == OWN:
        return OpenMemory(_changed(beside), left, whole=True)
    settings = _custom(preset) if preset["preset"] == CUSTOM else asdict(MEMORIES[preset["preset"]])
    return OpenMemory(settings | beside, left) if left else MemoryConfig(**settings | beside)


def _changed(beside: Mapping[str, Any]) -> dict[str, Any]:
    """Of the choices beside a preset those that are not as usual: where they are, the model's own are meant."""
    usual = MemoryConfig()
    # made and off are chosen where the model's own could be, too
    return {name: v for name, v in beside.items() if name in OPEN_SETTINGS or v != getattr(usual, name)}


def _custom(preset: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "retrieval": preset["retrieval"],
        "bank_frames": preset["bank_size"],
        "record_every": preset["record_interval"],
        "top_k": preset["top_k"] or None,
        "sink_frames": preset["sink_size"],
        "window_frames": preset["window_size"],
        "positions": preset["positions"],
        "global_sink": preset["global_sink"],
    }


def memory_from_widgets(preset: Mapping[str, Any]) -> MemoryConfig | OpenMemory:
    """Settings for unchecked values out of JSON; widgets beside the preset may be left out, see `memory_of`.

    Raises ValueError as `memory_of`, and for a value that the widget cannot be set to.
    """
    option = preset.get("preset")
    shared = {name: preset[name] for name in SHARED_VALUES if name in preset}
    if not isinstance(option, str) or option not in MEMORY_OPTIONS:
        raise ValueError(f"memory preset is {show(option)}, but must be one of {', '.join(MEMORY_OPTIONS)}.")
    if option == CUSTOM:
        for name, values in CUSTOM_VALUES.items():
            _check(name, preset.get(name), values)
    for name, value in shared.items():
        _check(name, value, SHARED_VALUES[name])
    layers = preset.get("bank_layers", ALL_LAYERS)
    if not isinstance(layers, str):
        raise ValueError(f"memory bank_layers is {show(layers)}, which MemFlow Memory cannot be set to.")
    size = preset.get("archive_gb", ARCHIVE_GB)
    least, most = ARCHIVE_GB_VALUES
    if type(size) not in (int, float) or not least <= size <= most:
        raise ValueError(f"memory archive_gb is {show(size)}, but must be a number from {least:g} to {most:g}.")
    ahead = preset.get("look_ahead", False)
    _check("look_ahead", ahead, (False, True))
    return memory_of(preset, bank_layers=layers, archive_gb=size, look_ahead=ahead, **shared)


def _check(name: str, value: Any, values: Sequence[Any]) -> None:
    # the type too, since 3.0 and True are members of a range
    if type(value) is not type(values[0]) or value not in values:
        raise ValueError(f"memory {name} is {show(value)}, which MemFlow Memory cannot be set to.")
