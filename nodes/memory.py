"""MemFlow Memory: settings of the sink, the window and the bank."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..memflow_core.config import ARCHIVE_GB, MEMORIES, MemoryConfig
from .io_types import CATEGORY, MemoryType
from .run import (
    ALL_LAYERS,
    ARCHIVE_GB_VALUES,
    CUSTOM,
    CUSTOM_VALUES,
    MEMORY_OPTIONS,
    OWN,
    REASONS,
    SHARED_DEFAULTS,
    SHARED_VALUES,
    memory_of,
    memory_words,
)


def _whole_number(name: str, default: int, tooltip: str) -> io.Int.Input:
    values = CUSTOM_VALUES[name]
    return io.Int.Input(name, default=default, min=values[0], max=values[-1], tooltip=tooltip)


def _bank_inputs() -> list[io.Input]:
    default = MemoryConfig()
    return [
        io.Combo.Input(
            "retrieval",
            options=list(CUSTOM_VALUES["retrieval"]),
            default=default.retrieval,
            tooltip="Which past moments the bank keeps. prompt (default): those that fit the coming prompt, MemFlow's "
            "rule. attention: those the coming frames look at most. similarity: those made under a similar prompt. "
            "fifo: the newest. none: no bank. shots: the first chunk of the present shot, as LongLive 2; bank_size is "
            "then the latent frames of a chunk (4 video frames each). reference: exactly as the published code, "
            "quirks included.",
        ),
        _whole_number(
            "bank_size",
            default.bank_frames,
            "How many past moments the bank holds, from 0 to 64; 3 (default) is what the models were trained "
            "with. Each costs the memory of one latent frame (4 video frames) in every layer. Raise it for stories "
            "with many characters or scenes.",
        ),
        _whole_number(
            "record_interval",
            default.record_every,
            "Offer a moment to the bank every so many chunks (a chunk is 0.75 s at 16 fps). 3 (default) is "
            "what the models were trained with; 1 offers one of every chunk, larger values look further apart.",
        ),
        _whole_number(
            "top_k",
            0,
            "Sparse Memory Activation: each attention head reads only this many of the sink's and the bank's "
            "moments, those that fit best. 0 (default) reads them all; at most sink_size + bank_size.",
        ),
    ]


def _cache_inputs() -> list[io.Input]:
    default = MemoryConfig()
    return [
        _whole_number(
            "sink_size",
            default.sink_frames,
            "Latent frames (4 video frames each) at the start of the video that are never forgotten. 3 "
            "(default) is what the models were trained with; with 0 only the bank can bring the start back.",
        ),
        _whole_number(
            "window_size",
            default.window_frames,
            "Newest latent frames (4 video frames each) that attention reads, the ones being made included: at "
            "least one chunk, 3 with most models. 9 (default) is what the models were trained with; fewer save memory "
            "and time, but less of the last seconds is seen.",
        ),
        io.Combo.Input(
            "positions",
            options=list(CUSTOM_VALUES["positions"]),
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


def _shared_input(name: str, tooltip: str) -> io.Combo.Input:
    return io.Combo.Input(
        name,
        options=list(SHARED_VALUES[name]),
        default=SHARED_DEFAULTS[name],
        optional=True,
        advanced=True,
        tooltip=tooltip,
    )


def _shared_inputs() -> list[io.Input]:
    return [
        _shared_input(
            "cache",
            "Precision of what is remembered. model (default): the model's own, as it was trained. fp8: half the "
            "VRAM of bf16, for cards of 8 GB; pictures come out a little different, and which moments are kept is "
            "decided as before. Not with retrieval 'reference'.",
        ),
        _shared_input(
            "bank_keys",
            "How the bank's moments are read. auto (default): as was measured best for the model, where the other "
            "settings allow it: alone for the tiny story model, made for all others. made: as they were when they were "
            "made, like the published code. alone: anew, each by itself, when it enters the bank: one short pass more "
            "for each. Not with retrieval 'reference'.",
        ),
        _shared_input(
            "archive",
            "What becomes of moments that leave the bank. auto (default): what was measured best for the model, where "
            "the other settings allow it: latents for the tiny story model, off for all others. off: they are "
            "forgotten, like in the paper. Else every recorded moment is kept in RAM, and at each new prompt the bank "
            "is chosen from all of them. latents: small, read anew when they come back; needs bank_keys alone. keys: "
            "as they were made, in the room of archive_gb, beyond it read anew; needs bank_keys made.",
        ),
        _shared_input(
            "archive_rule",
            "Only with an archive: which moments come back at a new prompt. words (default): those whose prompts share "
            "its rare words, such as a character's name. similarity: those made under a similar prompt. keys: "
            "MemFlow's own score, for models that were trained for it. attention: those that the coming frames look "
            "at, for one pass more at each prompt.",
        ),
        io.String.Input(
            "bank_layers",
            default=ALL_LAYERS,
            optional=True,
            advanced=True,
            tooltip="Layers of the model that read the bank: all (default), or numbers from 0 and ranges of them, such "
            "as 10-19. Fewer layers take less time; which of them remember is a matter of the model.",
        ),
        io.Float.Input(
            "archive_gb",
            default=ARCHIVE_GB,
            min=ARCHIVE_GB_VALUES[0],
            max=ARCHIVE_GB_VALUES[1],
            step=0.1,
            optional=True,
            advanced=True,
            tooltip="Only with archive keys: GB of RAM for its moments' keys. 8 (default) holds 29 moments of the "
            "1.3B model at 832 x 480, twice as many with cache fp8. Where it is full, those that no prompt has asked "
            "for, and of these the oldest, are read anew when they come back.",
        ),
        _shared_input(
            "admission",
            "What enters a full bank. clock (default): every moment that is offered, like the published code. novelty: "
            "those that look new beside the bank's, so that one long shot does not fill it. Not with retrieval "
            "'reference', 'shots' or 'none'.",
        ),
        io.Boolean.Input(
            "look_ahead",
            default=MemoryConfig().look_ahead,
            optional=True,
            advanced=True,
            tooltip="off (default): a moment is dropped by the coming prompt alone, like in the paper. on: what later "
            "prompts of the schedule ask for stays, so a story depends on all that follows and no moments of it are "
            "kept on disk. Only with retrieval 'prompt' or 'similarity'.",
        ),
    ]


def _preset_input() -> io.DynamicCombo.Input:
    widgets = {CUSTOM: [*_bank_inputs(), *_cache_inputs()]}
    of_preset = {name: f"{name}: {REASONS[name]} ({memory_words(MEMORIES[name])})." for name in MEMORIES}
    of_preset[OWN] = f"{OWN}: {REASONS[OWN]}."
    presets = " ".join(of_preset[name] for name in MEMORY_OPTIONS if name != CUSTOM)
    return io.DynamicCombo.Input(
        "preset",
        options=[io.DynamicCombo.Option(name, widgets.get(name, [])) for name in MEMORY_OPTIONS],
        tooltip=f"{presets} Custom: every setting. Window and sink count latent frames (4 video frames), the bank "
        "moments.",
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
            inputs=[_preset_input(), *_shared_inputs()],
            outputs=[
                MemoryType.Output(
                    display_name="memory",
                    tooltip="Memory settings: connect to the input memory of MemFlow Sampler or Stream to Video.",
                )
            ],
        )

    @classmethod
    def execute(
        cls,
        preset: dict[str, Any],
        cache: str = "model",
        # a prompt that leaves these out asks for what it asked for before there was a choice
        bank_keys: str | None = None,
        archive: str | None = None,
        archive_rule: str = "words",
        bank_layers: str = ALL_LAYERS,
        archive_gb: float = ARCHIVE_GB,
        admission: str = "clock",
        look_ahead: bool = False,
    ) -> io.NodeOutput:
        shared = {"cache": cache, "archive_rule": archive_rule, "admission": admission}
        left_out = {"bank_keys": bank_keys, "archive": archive}
        shared |= {name: value for name, value in left_out.items() if value is not None}
        layers = {"bank_layers": bank_layers, "archive_gb": archive_gb, "look_ahead": look_ahead}
        return io.NodeOutput(memory_of(preset, **layers, **shared))
