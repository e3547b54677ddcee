"""Counters of a stream, and the newest latents, which a recache reads again."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..memory import SlotLayout, StateDict


@dataclass
class Progress:
    """How far a stream is; with cache, memory, prompt and noise its whole state.

    chunk    number of the coming chunk.
    prompts  how many prompts there were.
    recent   latents [B, C, F, h, w] float32 of the newest chunks, enough for sink and window.
    """

    chunk: int = 0
    prompts: int = 0
    recent: deque[Tensor] = field(default_factory=deque)

    def add(self, latents: Tensor, layout: SlotLayout) -> None:
        """Count a finished chunk and keep its latents [B, C, F, h, w] as long as a recache may read them."""
        self.recent.append(latents)
        while (len(self.recent) - 1) * latents.shape[2] >= layout.sink_slots + layout.window_slots:
            self.recent.popleft()
        self.chunk += 1

    @property
    def latents(self) -> Tensor:
        """The newest latents in one piece, [B, C, frames, h, w]."""
        return torch.cat(tuple(self.recent), dim=2)

    def state_dict(self) -> StateDict:
        """Counters, and `recent` in one piece."""
        return StateDict({"recent": self.latents}, {"chunk": self.chunk, "prompts": self.prompts})

    def load_state_dict(self, state: StateDict, chunk_frames: int, device: torch.device) -> None:
        """Read counters and latents back; chunk_frames: latent frames of a chunk."""
        self.chunk = state.meta["chunk"]
        self.prompts = state.meta["prompts"]
        self.recent = deque(state.tensors["recent"].to(device).split(chunk_frames, dim=2))
