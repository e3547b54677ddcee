"""Turn the widgets of MemFlow Memory into a MemoryConfig of the core."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ...memflow_core.config import CACHES, MAX_BANK_FRAMES, MEMORIES, POSITIONS, RETRIEVALS, MemoryConfig
from ...memflow_core.schedule import show

CUSTOM = "Custom"
MEMORY_OPTIONS = (*MEMORIES, CUSTOM)

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


def memory_of(preset: Mapping[str, Any], cache: str) -> MemoryConfig:
    """Settings for the widgets' values, which ComfyUI has checked against their ranges.

    preset  `{"preset": option}`, with every widget of CUSTOM_VALUES beside it for the option Custom.

    Raises ValueError where the values do not fit together.
    """
    if preset["preset"] != CUSTOM:
        return replace(MEMORIES[preset["preset"]], cache=cache)
    return MemoryConfig(
        retrieval=preset["retrieval"],
        bank_frames=preset["bank_size"],
        record_every=preset["record_interval"],
        top_k=preset["top_k"] or None,
        sink_frames=preset["sink_size"],
        window_frames=preset["window_size"],
        positions=preset["positions"],
        global_sink=preset["global_sink"],
        cache=cache,
    )


def memory_from_widgets(preset: Mapping[str, Any]) -> MemoryConfig:
    """Settings for unchecked values out of JSON, with the widget `cache` among them unless it has its default.

    Raises ValueError as `memory_of`, and for a value that the widget cannot be set to.
    """
    option, cache = preset.get("preset"), preset.get("cache", "model")
    if not isinstance(option, str) or option not in MEMORY_OPTIONS:
        raise ValueError(f"memory preset is {show(option)}, but must be one of {', '.join(MEMORY_OPTIONS)}.")
    if option == CUSTOM:
        for name, values in CUSTOM_VALUES.items():
            _check(name, preset.get(name), values)
    _check("cache", cache, CACHES)
    return memory_of(preset, cache)


def _check(name: str, value: Any, values: Sequence[Any]) -> None:
    # the type too, since 3.0 and True are members of a range
    if type(value) is not type(values[0]) or value not in values:
        raise ValueError(f"memory {name} is {show(value)}, which MemFlow Memory cannot be set to.")
