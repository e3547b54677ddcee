"""The layout of the 1.3B model at its true size, on meta tensors: what would mix devices, or wait for one, on a GPU.

Layers and steps repeat, so that two of each show what all do. Meta tensors have no numbers: a read by the host raises.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from memflow_core.attention import AttentionShareMeter
from memflow_core.config import LatentShape, MemoryConfig, ModelConfig, SamplingConfig
from memflow_core.model import Backbone, WanModel
from memflow_core.stream import Stream

META = torch.device("meta")
MODEL = ModelConfig(dim=1536, num_heads=12, num_layers=2, ffn_dim=8960, text_dim=4096)
SHAPE = LatentShape(60, 104)
SETTINGS = {
    "bank": MemoryConfig(),
    "SMA": MemoryConfig(top_k=3),
    "no memory": MemoryConfig(retrieval="none", sink_frames=0),
    "published": MemoryConfig(retrieval="reference"),
    "published, SMA": MemoryConfig(retrieval="reference", top_k=3),
    "attention, pins": MemoryConfig(retrieval="attention", record_every=1, pins=(0, 3)),
    "similarity": MemoryConfig(retrieval="similarity", record_every=1),
    "fifo": MemoryConfig(retrieval="fifo", record_every=1),
    "shots": MemoryConfig(retrieval="shots"),
    "FP8 cache": MemoryConfig(cache="fp8"),
    "FP8 cache, attention": MemoryConfig(cache="fp8", retrieval="attention", record_every=1),
    "relative": MemoryConfig(positions="relative"),
    "relative, SMA": MemoryConfig(positions="relative", top_k=3),
    "averaged sink": MemoryConfig(positions="relative", sink="average"),
    "bank in one layer": MemoryConfig(bank_layers=(1,)),
}
STEPS = (1000, 500)
CHUNKS = 9  # until candidates have met a full bank
SWITCHES = {3: "recache", 5: "blend", 7: "cut", 8: "jump"}


class OneDevice(TorchDispatchMode):
    """Refuses an operation that takes tensors of the CPU and of the device, or sends one there.

    Single numbers travel with a launch, and arithmetic of the host alone, as with its tables of noise, waits for none.

    sends  whether tensors may be sent to the device, as a new prompt is.
    """

    def __init__(self, sends: bool = False) -> None:
        super().__init__()
        self.sends = sends

    def __torch_dispatch__(self, operation, types, arguments=(), named=None):
        made = operation(*arguments, **(named or {}))
        given = [x for x in tree_leaves((arguments, named or {})) if isinstance(x, Tensor)]
        of_host = [x for x in given if x.device != META and x.ndim]
        meets = any(x.device == META for x in tree_leaves((given, made)) if isinstance(x, Tensor))
        is_sent = self.sends and operation.overloadpacket in (torch.ops.aten._to_copy, torch.ops.aten.to)
        assert not (of_host and meets) or is_sent, f"{operation} is given {[(list(x.shape), x.device) for x in given]}"
        return made


class NothingSent(TorchFunctionMode):
    """Refuses to make a tensor of the device from numbers of the host: it would be waited for."""

    def __torch_function__(self, function, types, arguments=(), named=None):
        sent = function in (torch.tensor, torch.as_tensor) and torch.device((named or {}).get("device", "cpu")) == META
        assert not sent, f"{arguments} is sent to the device"
        return function(*arguments, **(named or {}))


class NoiseOnMeta:
    """Noise without numbers, since real noise comes from the CPU."""

    def chunk(self, index: int):  # noqa: ARG002
        return lambda shape: torch.empty(shape, device=META)


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """An attention of one operation: torch's own has no kernel for meta tensors."""
    assert q.device == k.device == v.device == META and k.shape == v.shape
    return torch.empty_like(q)


def make(memory: MemoryConfig, sampling: SamplingConfig) -> Stream:
    with META:
        tree = WanModel(MODEL).to(torch.bfloat16).requires_grad_(False)
    return Stream(
        Backbone(tree, torch.bfloat16, attention=attend),
        SHAPE,
        memory=memory,
        sampling=sampling,
        noise=NoiseOnMeta(),
        frames=3 * CHUNKS,
        device=META,
    )


# not inference mode, in which operations are seen before they are taken apart
@torch.no_grad()
def make_chunks(stream: Stream, chunks: int) -> None:
    """Make chunks without what a stream does at their ends, where it reads the trace once."""
    for chunk in range(chunks):
        if chunk == 0 or chunk in SWITCHES:
            switch = "jump" if stream.memory_config.retrieval == "shots" else SWITCHES.get(chunk, "recache")
            stream.set_prompt(torch.zeros(1, 512, MODEL.text_dim), switch)
        with OneDevice(sends=True):
            prompt = stream._apply_change()
        with OneDevice(), NothingSent():
            latents = stream._make_chunk(prompt, None)
        assert latents.shape == (1, 16, 3, 60, 104) and latents.device == META
        stream.progress.add(latents, stream.cache.layout)


@pytest.mark.slow
@pytest.mark.parametrize("name", SETTINGS)
def test_a_chunk_mixes_no_devices_and_waits_for_none(name):
    stream = make(SETTINGS[name], SamplingConfig(steps=STEPS))
    stream.meter = AttentionShareMeter()
    make_chunks(stream, CHUNKS)


def test_neither_does_another_solver():
    make_chunks(make(MemoryConfig(), SamplingConfig(steps=STEPS, solver="unipc")), 4)


def test_the_watch_sees_what_it_is_for():
    for mixes in (
        lambda: torch.where(torch.empty(3, device=META) > 0, torch.ones(3), 0.0),
        lambda: torch.ones(3).to(META),
    ):
        with OneDevice(), pytest.raises((AssertionError, RuntimeError), match=r"is given|device"):
            mixes()
    with OneDevice():
        torch.empty(3, device=META) * torch.ones(())
        torch.ones(3) + torch.ones(3)
    with NothingSent(), pytest.raises(AssertionError, match="is sent to the device"):
        torch.tensor([1, 2], device=META)
