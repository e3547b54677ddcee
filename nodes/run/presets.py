"""Presets: named sets of a sampling node's values, and what people read of them and of the named memories.

Descriptions are made from the values.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ...memflow_core.config import MEMORIES, MemoryConfig
from .memory_settings import OWN
from .messages import Message, message

REASONS = {
    OWN: "what the model was trained with, or what was measured best with it: as a sampler without this node has it",
    "Story": "MemFlow's memory without the published code's quirks",
    "Official MemFlow": "exactly as the published code",
    "Sparse (SMA, 3 of 6)": "each attention head reads the best of the remembered moments alone",
    "Window only": "no memory, for comparison",
    "Sharper memory": "more places than Story, and moments offered more often: shorter scenes are remembered, and "
    "all of them for longer. Takes more VRAM, and reads more frames than the models were trained with",
}


def memory_words(memory: MemoryConfig) -> str:
    """Put the values of a memory into one line."""
    kept = "sink {0} as an average" if memory.sink == "average" else "sink {0}"
    words = [f"window {memory.window_frames}", kept.format(memory.sink_frames) if memory.sink_frames else "no sink"]
    words.append(_bank_words(memory) if memory.bank_slots else "no bank")
    if memory.top_k is not None and memory.bank_slots:
        words.append(f"each head reads {memory.top_k} of {memory.sink_frames + memory.bank_slots}")
    return ", ".join(words)


def _bank_words(memory: MemoryConfig) -> str:
    bank = f"bank {memory.bank_frames} by {memory.retrieval}"
    if memory.retrieval == "shots":
        return bank  # it takes whole chunks as they leave the window, whatever the interval
    often = "every chunk" if memory.record_every == 1 else f"every {memory.record_every} chunks"
    alone = ", moments read alone" if memory.bank_keys == "alone" else ""
    archive = "" if memory.archive == "off" else f", archive of {memory.archive} by {memory.archive_rule}"
    return f"{bank}, a moment offered {often}{alone}{archive}"


@dataclass(frozen=True)
class Preset:
    """Values of a sampling node, with the name of its memory and the precision of its cache.

    reason     what it is for, a sentence.
    memory     one of MEMORIES.
    cache      see `MemoryConfig`.
    fps        None leaves it alone.
    card_gb    memory of the graphics card that the 1.3B model fits on, streamed to a file. None: not tried.
    fp8_model  whether the model has to be in FP8 for that, which its loader does.
    """

    reason: str
    memory: str = "Story"
    cache: str = "model"
    width: int = 832
    height: int = 480
    steps: str = "1000, 750, 500, 250"
    shift: float = 5.0
    quality: str = "high"
    fps: float | None = None
    card_gb: int | None = None
    fp8_model: bool = False

    @property
    def settings(self) -> MemoryConfig:
        return replace(MEMORIES[self.memory], cache=self.cache)

    @property
    def pixels(self) -> int:
        return self.width * self.height

    @property
    def remembers(self) -> str:
        """Name of the memory, with its precision where that is not the model's."""
        return self.memory if self.cache == "model" else f"{self.memory}, cache {self.cache}"

    @property
    def widgets(self) -> dict[str, int | float | str]:
        """Values by widget of the sampling nodes; a node need not have all of them."""
        values = {name: getattr(self, name) for name in ("width", "height", "fps", "steps", "shift", "quality")}
        return {name: value for name, value in values.items() if value is not None}

    def words(self) -> Message:
        """Put all that it sets into one line."""
        values = self.width, self.height, self.steps, f"{self.shift:g}", self.quality, self.remembers
        if self.fps is None:
            return message("{0} x {1}, steps {2}, shift {3}, quality {4}, memory {5}", *values)
        return message("{0} x {1}, {6} fps, steps {2}, shift {3}, quality {4}, memory {5}", *values, f"{self.fps:g}")


PRESETS: dict[str, Preset] = {
    "Official MemFlow": Preset(
        "The published program's settings, its memory's quirks included.", memory="Official MemFlow", fps=16.0
    ),
    "Sharper memory": Preset(
        "Remembers more, and more often; for a card of 16 GB.", memory="Sharper memory", card_gb=16
    ),
    "12 GB": Preset("The sizes that the models were trained with fit on a card of 12 GB.", card_gb=12),
    "8 GB": Preset(
        "The same sizes on a card of 8 GB: what is remembered is kept in FP8, and the model is loaded in FP8 too.",
        cache="fp8",
        card_gb=8,
        fp8_model=True,
    ),
    "Draft": Preset(
        "A quick look at where a story goes: small, and rough.",
        width=480,
        height=272,
        steps="1000, 500",
        quality="medium",
    ),
}
