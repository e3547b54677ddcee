"""Work that tests send to processes: stories of a small random model, and faults."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from memflow_core.attention import AttentionShareMeter
from memflow_core.config import LatentShape, MemoryConfig, ModelConfig, SamplingConfig
from memflow_core.model import Backbone, WanModel
from memflow_core.parallel import Group, ParallelBackbone, shares_of
from memflow_core.state import StreamState, capture, resume
from memflow_core.stream import EncodedImages, InitialFrames, Stream, load_initial_frames

MODEL = ModelConfig(dim=48, num_heads=4, num_layers=2, ffn_dim=64, text_dim=8, freq_dim=16)
FIVE_TOKENS = LatentShape(2, 10)  # of a latent frame: uneven over 2 and 3 processes


def tree() -> WanModel:
    """Weights large enough that text, memory and position all show in the output."""
    made, generator = WanModel(MODEL), torch.Generator().manual_seed(11)
    for name, parameter in made.named_parameters():
        if "norm" not in name:
            parameter.data = torch.randn(parameter.shape, generator=generator) * (0.3 if parameter.ndim > 1 else 0.1)
    return made.requires_grad_(False)


def embedding(number: int) -> Tensor:
    text = torch.randn(1, 6, MODEL.text_dim, generator=torch.Generator().manual_seed(100 + number))
    text[:, 4:] = 0
    return text


@dataclass(frozen=True)
class Told:
    """What the first process has to show after a story, and how the others compare.

    latents    of all chunks, [B, C, frames, h, w].
    records    the trace.
    state      at the end.
    digests    of latents, trace and state, one for each process.
    kept       numbers in keys and values of the cache, for each process.
    computed   tokens that went through the last feed-forward, for each process.
    """

    latents: Tensor
    records: list[dict[str, Any]]
    state: StreamState
    digests: list[bytes]
    kept: list[int]
    computed: list[int]


@dataclass(frozen=True)
class Story:
    """A story of the small model with a recache, a blend and a cut; called with a group, it yields `Told` once.

    sampling  settings beside the steps.
    join      that the story has in the place of the cut.
    start     a state to go on from.
    chunks    at which the story ends.
    pictures  whether the bank is given a picture before the start.
    """

    memory: dict[str, Any] = field(default_factory=dict)
    shape: LatentShape = FIVE_TOKENS
    chunks: int = 12
    frames: int | None = 100
    start: StreamState | None = None
    pictures: bool = False
    sampling: dict[str, Any] = field(default_factory=dict)
    join: str = "cut"

    def __call__(self, group: Group | None) -> Iterator[Told]:
        backbone = Backbone(tree()) if group is None else ParallelBackbone(tree(), group=group)
        stream, computed, made = self._stream(backbone), [], []
        stream.meter = AttentionShareMeter()
        narrow = stream.backbone.tree.blocks[0].ffn[2]
        narrow.register_forward_pre_hook(lambda _, inputs: computed.append(inputs[0][..., 0].numel()))
        while stream.progress.chunk < self.chunks:
            self._change(stream)
            made.append(next(stream).latents)
        kept = sum(part.numel() for name, part in stream.cache.parts.items() if name in ("k", "v"))
        latents, state, records = torch.cat(made, dim=2), capture(stream), stream.trace.records
        yield Told(
            latents=latents,
            records=records,
            state=state,
            digests=[bytes(row.tolist()) for row in _of_all(group, _digest(latents, records, state))],
            kept=_of_all(group, torch.tensor([kept]))[:, 0].tolist(),
            computed=_of_all(group, torch.tensor([sum(computed)]))[:, 0].tolist(),
        )

    def alone(self) -> Told:
        """The same in this process alone."""
        with torch.inference_mode():
            return next(self(None))

    def _stream(self, backbone: Backbone) -> Stream:
        if self.start is not None:
            return resume(self.start, backbone)
        stream = Stream(
            backbone,
            self.shape,
            memory=MemoryConfig(**self.memory),
            sampling=SamplingConfig(steps=(1000, 500), **self.sampling),
            seed=5,
            frames=self.frames,
        )
        if self.pictures:
            size = (1, 16, 1, self.shape.rows, self.shape.columns)
            latents = torch.randn(size, generator=torch.Generator().manual_seed(3))
            load_initial_frames(stream, InitialFrames(remembered=(EncodedImages(latents, embedding(7)),)))
        return stream

    def _change(self, stream: Stream) -> None:
        chunk, pins = stream.progress.chunk, stream.memory_config.holds_pins
        if chunk == 0:
            stream.set_prompt(embedding(0))
        elif chunk == 3 and pins:
            stream.pin(4, "hat")
        elif chunk == 4:
            stream.set_prompt(embedding(1))
        elif chunk == 7:
            stream.set_prompt(embedding(2), "blend", blend_chunks=2, recall=("hat",) if pins else ())
        elif chunk == 10:
            stream.set_prompt(embedding(3), self.join)


@dataclass(frozen=True)
class Stories:
    """Several stories, one after another."""

    stories: tuple[Story, ...]

    def __call__(self, group: Group) -> Iterator[Told]:
        for story in self.stories:
            yield from story(group)


@dataclass(frozen=True)
class Fault:
    """Three items, each after a sum over all processes: the sum, and the process's id.

    One process meets with a fault before the second.

    kind  raise, exit, kill, stop or nothing.
    rank  of the process that meets with it.
    """

    kind: str = "nothing"
    rank: int = 0

    def __call__(self, group: Group) -> Iterator[tuple[int, int]]:
        for item in range(3):
            if item == 1 and group.rank == self.rank:
                self._meet()
            total = group.sum(torch.ones(2))
            yield int(total[0]), os.getpid()

    def _meet(self) -> None:
        if self.kind == "raise":
            raise ValueError("the weights are damaged: fetch them again.")
        if self.kind == "exit":
            os._exit(0)
        if self.kind in ("kill", "stop"):
            os.kill(os.getpid(), signal.SIGKILL if self.kind == "kill" else signal.SIGSTOP)


def _digest(latents: Tensor, records: list[dict[str, Any]], state: StreamState) -> Tensor:
    """SHA-256 of a story, uint8 [32]."""
    told = hashlib.sha256(latents.numpy().tobytes() + json.dumps([records, state.meta]).encode())
    for name in sorted(state.tensors):
        told.update(state.tensors[name].contiguous().view(torch.uint8).numpy().tobytes())
    return torch.tensor(list(told.digest()), dtype=torch.uint8)


def _of_all(group: Group | None, row: Tensor) -> Tensor:
    """A row [n] of each process, [processes, n]."""
    return row[None] if group is None else group.gather(row[None], shares_of(group.size, group.size), dim=0)
