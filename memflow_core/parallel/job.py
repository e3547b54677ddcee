"""A story as work for the processes of a group: load the model, play the schedule, hand out chunks and states."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ..config import LatentShape, MemoryConfig, SamplingConfig
from ..model import Backbone
from ..play import EncodedSchedule, play
from ..state import StreamState, capture, resume
from ..stream import Chunk, Stream
from ..weights import load_generator
from .backbone import ParallelBackbone
from .group import Group


@dataclass(frozen=True)
class StreamJob:
    """One story, as `run` sends it to its processes: settings and prompts, by which each makes the same stream.

    model       a generator's file, as `load_generator` reads it.
    prompts     the schedule and its embeddings.
    shape       batch and latent size.
    memory      memory settings; None: the defaults.
    sampling    sampling settings; None: the defaults.
    seed        of the noise.
    state       to go on from, of any number of processes, with its own shape and settings; None: from the start.
    keep_every  so many chunks apart a state is handed out; None: never.
    dtype       of weights and activations.
    lora, lora_strength, num_heads  as `load_generator` takes them.

    Raises ValueError for an interval that is none.
    """

    model: str | Path
    prompts: EncodedSchedule
    shape: LatentShape
    memory: MemoryConfig | None = None
    sampling: SamplingConfig | None = None
    seed: int = 0
    state: StreamState | None = None
    keep_every: int | None = None
    dtype: torch.dtype = torch.float32
    lora: str | Path | None = None
    lora_strength: float = 1.0
    num_heads: int | None = None

    def __post_init__(self) -> None:
        keep = self.keep_every
        if keep is not None and (isinstance(keep, bool) or not isinstance(keep, int) or keep < 1):
            raise ValueError(f"keep_every is {keep!r}, but must be a whole number of at least 1, or None.")

    def __call__(self, group: Group) -> Iterator[Chunk | StreamState]:
        """Play the story in this process: chunks with latents [B, C, F, h, w] on the CPU, and states after them.

        Raises what `load_generator`, `Stream`, `resume` and `play` raise.
        """
        stream = self._stream(self._backbone(group), group.device)
        for chunk in play(stream, self.prompts, self.seed):
            yield replace(chunk, latents=chunk.latents.cpu())
            if self.keep_every is not None and stream.progress.chunk % self.keep_every == 0:
                yield capture(stream)

    def _backbone(self, group: Group) -> ParallelBackbone:
        loaded: Backbone = load_generator(
            self.model,
            lora=self.lora,
            lora_strength=self.lora_strength,
            num_heads=self.num_heads,
            device=group.device,
            dtype=self.dtype,
        )
        return ParallelBackbone(loaded.tree, loaded.dtype, group=group)

    def _stream(self, backbone: ParallelBackbone, device: torch.device) -> Stream:
        if self.state is not None:
            return resume(self.state, backbone, device=device)
        memory, sampling, plan = self.memory or MemoryConfig(), self.sampling or SamplingConfig(), self.prompts.plan
        return Stream(
            backbone,
            self.shape,
            memory=memory,
            sampling=sampling,
            seed=self.seed,
            frames=plan.reach(memory.shot_offset),
            device=device,
        )
