"""Count the operations that a steady chunk hands to its device, and time what handing them over takes the host.

Kernels, and views that cost the host alone: on meta tensors, so that a model of any size is counted in seconds on any
machine. Time: on the CPU, with a model so narrow that its numbers take next to none, and stand-ins for the kernels that
are slow to start on a CPU (products, norms, attention).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from memflow_core.attention import AttentionShareMeter, Destination
from memflow_core.config import LatentShape, MemoryConfig, ModelConfig, SamplingConfig
from memflow_core.model import Backbone, WanModel
from memflow_core.stream import Stream

from ..sizes import Size

PASSES = len(SamplingConfig().steps) + 1
META = torch.device("meta")
MEMORIES = {
    "bank": MemoryConfig(),
    "bank, SMA": MemoryConfig(top_k=3),
    "relative": MemoryConfig(positions="relative"),
    "FP8 cache": MemoryConfig(cache="fp8"),
}
FILLED, LISTED, TIMED = 9, 12, 24
NARROW = Size(
    ModelConfig(dim=32, num_heads=2, num_layers=30, ffn_dim=64, text_dim=16, freq_dim=16),
    LatentShape(4, 4),
    text_length=4,
    latent_frames=240,
    prompts=1,
)


@dataclass(frozen=True)
class Dispatched:
    """Operations of one steady chunk: kernels, views, and new tensors without a kernel."""

    kernels: int
    views: int
    empties: int
    largest: dict[str, int]

    @property
    def by_pass(self) -> float:
        """Kernels and views of one of the chunk's passes, on average."""
        return (self.kernels + self.views) / PASSES


class _Counting(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.kernels: Counter[str] = Counter()
        self.views = self.empties = 0

    def __torch_dispatch__(self, operation, types, arguments=(), named=None):
        name = operation.overloadpacket.__name__
        if operation.is_view:
            self.views += 1
        elif name.startswith(("empty", "new_empty")):
            self.empties += 1
        else:
            self.kernels[name] += 1
        return operation(*arguments, **(named or {}))


def _attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:  # noqa: ARG001
    """One kernel, as attention is on a GPU."""
    return torch.clone(q)


class _OneKernel(nn.Module):
    """RMSNorm as on a GPU: meta tensors take it apart."""

    def forward(self, x: Tensor) -> Tensor:
        return x.clone()


def _one_write(q: Tensor, k: Tensor, v: Tensor, to: Destination) -> Tensor:  # noqa: ARG001
    """One kernel, as RoPE and cache write are where there is Triton, and nothing of what it does."""
    return q.clone()


class _NoProduct(nn.Linear):
    """Zeros in the shape of a product."""

    def forward(self, x: Tensor) -> Tensor:
        return x.new_zeros(*x.shape[:-1], self.out_features)


class _NoNumbers:
    def chunk(self, index: int) -> Callable[[tuple[int, ...]], Tensor]:  # noqa: ARG002
        return lambda shape: torch.empty(shape, device=META)


def dispatched(size: Size, memory: MemoryConfig, *, fused: bool = False) -> Dispatched:
    """Count a steady chunk in bfloat16, share meter included, without what is done at its end.

    Layers are alike, so that what one more of them adds is counted once.

    fused  whether RoPE and cache write are one kernel, as where there is Triton.
    """
    few, more = (
        _counted(replace(size, model=replace(size.model, num_layers=layers)), memory, fused) for layers in (2, 3)
    )
    others = size.model.num_layers - 2
    kernels = {name: few.kernels[name] + others * (more.kernels[name] - few.kernels[name]) for name in more.kernels}
    return Dispatched(
        kernels=sum(kernels.values()),
        views=few.views + others * (more.views - few.views),
        empties=few.empties + others * (more.empties - few.empties),
        largest=dict(Counter(kernels).most_common(LISTED)),
    )


# not inference mode, in which operations are counted before they are taken apart
@torch.no_grad()
def _counted(size: Size, memory: MemoryConfig, fused: bool) -> _Counting:
    stream = _stream(size, memory, META)
    stream.attention.rope_write = _one_write if fused else None
    counting = _Counting()
    for _ in range(FILLED):
        counting = _Counting()
        prompt = stream._apply_change()
        with counting:
            latents = stream._make_chunk(prompt, None)
        stream.progress.add(latents, stream.cache.layout)
    return counting


def host_us(memory: MemoryConfig) -> float:
    """CPU time in microseconds that a pass of 30 layers takes the host, one thread: the best chunk of TIMED."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return min(_chunk_seconds(memory)) / PASSES * 1e6
    finally:
        torch.set_num_threads(threads)


@torch.inference_mode()
def _chunk_seconds(memory: MemoryConfig) -> list[float]:
    stream, taken = _stream(NARROW, memory, torch.device("cpu"), products=False), []
    for _ in range(FILLED + TIMED):
        prompt = stream._apply_change()
        started = time.process_time()
        latents = stream._make_chunk(prompt, None)
        taken.append(time.process_time() - started)
        stream.progress.add(latents, stream.cache.layout)
    return taken[FILLED:]


def _stream(size: Size, memory: MemoryConfig, device: torch.device, *, products: bool = True) -> Stream:
    """A stream in bfloat16 whose norms and attention are one kernel each, with a share meter and a prompt."""
    with device:
        tree = WanModel(size.model).to(torch.bfloat16).requires_grad_(False)
    for block in tree.blocks:
        for attention in (block.self_attn, block.cross_attn):
            attention.norm_q = attention.norm_k = _OneKernel()
    for module in () if products else tree.modules():
        if type(module) is nn.Linear:
            module.__class__ = _NoProduct
    stream = Stream(
        Backbone(tree, torch.bfloat16, attention=_attend),
        size.shape,
        memory=memory,
        sampling=SamplingConfig(),
        noise=_NoNumbers() if device == META else None,
        frames=size.latent_frames,
        device=device,
    )
    stream.meter = AttentionShareMeter()
    stream.set_prompt(torch.zeros(1, size.text_length, size.model.text_dim))
    return stream


def dispatch_table(size: Size) -> str:
    """Return a Markdown table of the operations of a chunk, with a row for each kind of memory."""
    lines = [
        "| | kernels a chunk | with RoPE and write in one | views | both, a pass | host, us a pass of 30 layers |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, memory in MEMORIES.items():
        found = dispatched(size, memory)
        # a cache in fp8 is encoded as it is written
        fused = "-" if memory.cache == "fp8" else f"{dispatched(size, memory, fused=True).kernels:,}"
        row = f"{found.kernels:,} | {fused} | {found.views:,} | {found.by_pass:,.0f} | {host_us(memory):,.0f}"
        lines.append(f"| {name} | {row} |")
        if name == "bank":
            most = ", ".join(f"{kind} {count:,}" for kind, count in found.largest.items())
    return "\n".join([*lines, "", f"Of bank's kernels: {most}."])
