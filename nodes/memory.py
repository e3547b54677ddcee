"""MemFlow Memory: everything that decides what a stream remembers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from comfy_api.latest import io

from ..memflow_core.config import CACHES, MAX_BANK_FRAMES, POSITIONS, RETRIEVALS, MemoryConfig
from ..memflow_core.presets import MEMORIES, REASONS, memory_words
from ..memflow_core.schedule import show
from .io_types import CATEGORY, MemoryType

CUSTOM = "Custom"
OPTIONS = (*MEMORIES, CUSTOM)


def _custom_inputs() -> list[io.Input]:
    default = MemoryConfig()
    # the published code is the one policy a user should pick knowingly
    policies = [name for name in RETRIEVALS if name != "reference"] + ["reference"]
    return [
        io.Combo.Input(
            "retrieval",
            options=policies,
            default=default.retrieval,
            tooltip="Which past moments the bank keeps. prompt (default): those that fit the coming prompt, MemFlow's "
            "rule. attention: those the coming frames look at most. similarity: those made under a similar prompt. "
            "fifo: the newest. none: no bank. reference: exactly as the published code, quirks included.",
        ),
        io.Int.Input(
            "bank_size",
            default=default.bank_frames,
            min=0,
            max=MAX_BANK_FRAMES,
            tooltip="How many past moments the bank holds, from 0 to 64; 3 (default) is what the models were trained "
            "with. Each costs the memory of one latent frame (4 video frames) in every layer. Raise it for stories "
            "with many characters or scenes.",
        ),
        io.Int.Input(
            "record_interval",
            default=default.record_every,
            min=1,
            max=1000,
            tooltip="Offer a moment to the bank every so many chunks (a chunk is 0.75 s at 16 fps). 3 (default) is "
            "what the models were trained with; 1 offers one of every chunk, larger values look further apart.",
        ),
        io.Int.Input(
            "top_k",
            default=0,
            min=0,
            max=1024,
            tooltip="Sparse Memory Activation: each attention head reads only this many of the sink's and the bank's "
            "moments, those that fit best. 0 (default) reads them all; at most sink_size + bank_size.",
        ),
        io.Int.Input(
            "sink_size",
            default=default.sink_frames,
            min=0,
            max=256,
            tooltip="Latent frames (4 video frames each) at the start of the video that are never forgotten. 3 "
            "(default) is what the models were trained with; with 0 only the bank can bring the start back.",
        ),
        io.Int.Input(
            "window_size",
            default=default.window_frames,
            min=1,
            max=512,
            tooltip="Newest latent frames (4 video frames each) that attention reads, the ones being made included: at "
            "least one chunk, 3. 9 (default) is what the models were trained with; fewer save memory and time, but "
            "less of the last seconds is seen.",
        ),
        io.Combo.Input(
            "positions",
            options=list(POSITIONS),
            default=default.positions,
            tooltip="How the model counts time. auto (default): absolute up to 1024 latent frames (of 4 video frames "
            "each: 256 s at 16 fps), relative beyond. absolute: as trained, and no longer than that. relative: any "
            "length.",
        ),
        io.Boolean.Input(
            "global_sink",
            default=default.global_sink,
            tooltip="Only for retrieval 'reference'. on (default): the start of the video is kept at a prompt change. "
            "off: it is lost, as by the published code without that option.",
        ),
    ]


def _cache_input() -> io.Combo.Input:
    return io.Combo.Input(
        "cache",
        options=list(CACHES),
        default=MemoryConfig().cache,
        optional=True,
        advanced=True,
        tooltip="Precision of what is remembered. model (default): the model's own, as it was trained. fp8: half the "
        "VRAM of bf16, for cards of 8 GB; pictures come out a little different, and which moments are kept is decided "
        "as before. Not with retrieval 'reference'.",
    )


class MemFlowMemory(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MemFlowMemory",
            display_name="MemFlow Memory",
            category=CATEGORY,
            description="How a stream remembers: the start of the video (sink), the last seconds (window), and a "
            "bank of past moments that fit the coming prompt.",
            search_aliases=["memory bank", "NAM", "SMA", "consistent characters", "long video", "sink", "longlive"],
            inputs=[
                io.DynamicCombo.Input(
                    "preset",
                    options=[
                        io.DynamicCombo.Option(name, _custom_inputs() if name == CUSTOM else []) for name in OPTIONS
                    ],
                    tooltip=" ".join(f"{name}: {REASONS[name]} ({memory_words(MEMORIES[name])})." for name in MEMORIES)
                    + " Custom: every setting. Window and sink count latent frames (4 video frames), the bank moments.",
                ),
                _cache_input(),
            ],
            outputs=[
                MemoryType.Output(
                    display_name="memory",
                    tooltip="Memory settings: connect to the input memory of MemFlow Sampler or Stream to Video.",
                )
            ],
        )

    @classmethod
    def execute(cls, preset: dict[str, Any], cache: str = "model") -> io.NodeOutput:
        return io.NodeOutput(memory_from(preset, cache))


def memory_from(preset: dict[str, Any], cache: str) -> MemoryConfig:
    """The settings behind the node's widgets. Raises ValueError where they do not fit together."""
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


def memory_from_widgets(preset: dict[str, Any]) -> MemoryConfig:
    """The same of values that nobody has checked, the cache's precision among them if it is not the default.

    Raises ValueError for what the node would not take, too.
    """
    name, cache = preset.get("preset"), preset.get("cache", "model")
    if not isinstance(name, str) or name not in OPTIONS:
        raise ValueError(f"memory preset is {show(name)}, but must be one of {', '.join(OPTIONS)}.")
    if name == CUSTOM:
        for setting in _custom_inputs():
            _check(setting, preset.get(setting.id))
    _check(_cache_input(), cache)
    return memory_from(preset, cache)


def _check(setting: io.Input, value: Any) -> None:
    if not _takes(setting, value):
        raise ValueError(f"memory {setting.id} is {show(value)}, which MemFlow Memory cannot be set to.")


def _takes(setting: io.Input, value: Any) -> bool:
    if isinstance(setting, io.Boolean.Input):
        return isinstance(value, bool)
    if isinstance(setting, io.Combo.Input):
        return value in setting.options
    return isinstance(value, int) and not isinstance(value, bool) and setting.min <= value <= setting.max
