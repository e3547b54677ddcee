"""Interface of a retrieval policy: what a stream calls at each moment of a chunk.

The stream holds no case for any policy: the published program's memory (`ReferenceMemory`) and the paper's
(`NarrativeMemory`) are two implementations of `MemoryPolicy`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from .bank import MemoryBank
from .frame_kv import FrameKV, RebuiltKV
from .layout import FrameSpan
from .pins import Pins
from .prompt_keys import PromptKeys
from .provenance import KVProvenance
from .state_dict import StateDict

LayerHook = Callable[[int, Tensor], None]
"""Called with (layer, q [B, heads, L, head_dim] rotated as stored keys are) before a layer attends."""


class MemoryPolicy(Protocol):
    """Which past frames the bank keeps (Narrative Adaptive Memory, section 3.2 of arXiv 2512.14699).

    A stream calls, for each chunk and in this order: `on_prompt_change`, `on_fresh` (at a fresh prompt, before sink and
    window are forgotten too), `on_cut` (at a cut), `before_chunk`,
    `recache_span` (at a recache), `first_pass_hook`, `question` and, where a pass was made for it, `answer` (right
    before the first pass), `after_first_pass` (after the first denoising step, and after the context pass),
    `before_context_pass`, `after_chunk`. A chunk is named by its number, frames by their latent frame
    number in the stream.

    bank             the slots it decides about.
    pins             what is pinned; empty for good where the policy refuses pins.
    pin_device       where keys and values of named pins wait.
    reads_empty_sink whether attention reads the whole sink even while its slots are empty (published behaviour).
    coming           prompts to come, nearest first; a stream sets it where the settings look ahead.
    reads_alone      whether keys of the bank's frames are made anew, by reading each alone, and not copied.
    """

    bank: MemoryBank
    pins: Pins
    pin_device: torch.device
    reads_empty_sink: bool
    reads_alone: bool
    coming: tuple[PromptKeys, ...]

    @property
    def copied(self) -> set[int]:
        """Latent frames whose keys were copied for the bank, or will be. Waits for the device."""
        ...

    def on_prompt_change(self, chunk: int, recall: Sequence[str]) -> None:
        """At a prompt change: the pins of these names stand in the bank from now on, other named ones need not."""

    def on_cut(self, chunk: int, prompt: PromptKeys) -> None:
        """Before sink and window are forgotten."""

    def on_fresh(self, first_frame: int) -> None:
        """At the start of a new story: forget the bank, its candidates, the archive, and pins before `first_frame`."""

    def before_chunk(self, chunk: int, first_frame: int, prompt: PromptKeys) -> None:
        """Before a chunk that starts at `first_frame`, under its own prompt."""

    def recache_span(self, chunk: int, prompt: PromptKeys, provenance: KVProvenance) -> FrameSpan | None:
        """Prepare a recache; returns the frames that it reads again, None if there are none."""
        ...

    def first_pass_hook(self, chunk: int, prompt: PromptKeys) -> LayerHook | None:
        """Before a chunk's first pass; the hook, if there is one, is called in every layer of it."""
        ...

    def question(self, chunk: int, prompt: PromptKeys) -> LayerHook | None:
        """Right before a chunk's first pass: the hook of a pass that is made for its queries alone; None: none is."""
        ...

    def answer(self, chunk: int, prompt: PromptKeys) -> None:
        """After that pass, before the first one."""

    def after_first_pass(self) -> None:
        """After a chunk's first pass: every decision is taken."""

    def before_context_pass(self, chunk: int, prompt: PromptKeys, denoising_steps: int) -> None:
        """Before the pass that writes a finished chunk's clean keys and values."""

    def after_chunk(self, chunk: int, first_frame: int, prompt: PromptKeys) -> None:
        """After a chunk's context pass: its keys and values are in the cache."""

    def check_recall(self, names: Sequence[str]) -> None:
        """Raise ValueError unless a prompt can ask for the pins of these names."""

    def pin(self, chunk: int, frame: int, name: str | None, upcoming: Sequence[str], prompt: int) -> None:
        """Keep a latent frame. Raises ValueError where it cannot be kept."""

    def unpin(self, chunk: int, pin: int | str) -> None:
        """Take back the pin of a frame or of a name. Raises ValueError if there is none."""

    def ban(self, chunk: int, frame: int) -> None:
        """Never recall a frame from the archive again. Raises ValueError where there is no such frame."""

    def insert(self, chunk: int, frame: int, prompt: PromptKeys, kv: FrameKV) -> None:
        """Put a frame that the stream never made into the bank, for good. Raises ValueError if there is no room."""

    def state_dict(self) -> StateDict:
        """What it needs to go on beside the cache. Raises ValueError while a decision is pending."""
        ...

    def load_state_dict(self, state: StateDict, rebuilt: RebuiltKV) -> None:
        """Go on from what `state_dict` gave; `rebuilt` has the keys and values that a compact state lacks."""
