"""Settings of a stream as a state file has them: written, and read back from strangers."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ..config import LatentShape, MemoryConfig, SamplingConfig
from .values import is_number, need

MAX_COUNT = 10**9
# which files from before them lack: their defaults are what was done then
LATER_SHAPE = ("pixels",)
LATER_MEMORY = (
    "sink",
    "sink_decay",
    "shot_offset",
    "bank_keys",
    "archive",
    "archive_rule",
    "archive_gb",
    "bank_layers",
    "admission",
    "look_ahead",
)
LATER_SAMPLING = ("first_steps", "solver", "refresh")


def written(shape: LatentShape, memory: MemoryConfig, sampling: SamplingConfig) -> dict[str, Any]:
    """Settings as JSON; later ones only where they are not the defaults, so that earlier code can read the file."""
    return {
        "shape": _differing(shape, LatentShape(2, 2), LATER_SHAPE),
        "memory": _differing(memory, MemoryConfig(), LATER_MEMORY),
        "sampling": _differing(sampling, SamplingConfig(), LATER_SAMPLING),
    }


def _differing(settings: Any, usual: Any, later: tuple[str, ...]) -> dict[str, Any]:
    values, defaults = asdict(settings), asdict(usual)
    return {name: value for name, value in values.items() if name not in later or value != defaults[name]}


def memory_of(meta: dict[str, Any]) -> MemoryConfig:
    """Memory settings of a state, which must name all but those that were added later."""
    named = meta["memory"]
    _check_names("memory", named, [name for name in asdict(MemoryConfig()) if name not in ("cache", *LATER_MEMORY)])
    need(isinstance(named["global_sink"], bool), f"global_sink is {named['global_sink']!r}")
    need(isinstance(named["pins"], (list, tuple)), f"its pins are {named['pins']!r}")
    tuples = {"pins": tuple(named["pins"])}
    if named.get("bank_layers") is not None:
        need(isinstance(named["bank_layers"], (list, tuple)), f"its bank_layers are {named['bank_layers']!r}")
        tuples["bank_layers"] = tuple(named["bank_layers"])
    return MemoryConfig(**{**named, **tuples})


def sampling_of(meta: dict[str, Any]) -> SamplingConfig:
    """Sampling settings of a state, which must name all but those that were added later."""
    named = meta["sampling"]
    _check_names("sampling", named, [name for name in asdict(SamplingConfig()) if name not in LATER_SAMPLING])
    steps = {name: named.get(name, ()) for name in ("steps", "first_steps")}
    for name, value in steps.items():
        need(isinstance(value, (list, tuple)), f"its {name} are {value!r}")
    for name in ("warp", "refresh"):
        need(isinstance(named.get(name, False), bool), f"{name} is {named.get(name)!r}")
    for name in ("shift", "context_noise"):
        need(is_number(named[name], 0, MAX_COUNT), f"{name} is {named[name]!r}")
    return SamplingConfig(**{**named, **{name: tuple(value) for name, value in steps.items()}})


def _check_names(what: str, settings: object, names: list[str]) -> None:
    if not isinstance(settings, dict):
        raise ValueError(f"its {what} settings are {settings!r}")
    if missing := [name for name in names if name not in settings]:
        raise ValueError(f"its {what} settings lack {missing[0]!r}")
