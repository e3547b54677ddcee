"""What makes a stream fast, held to by counting; and that what its speed is compared with does the same work."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.stream import PlainStream, chunk_work
from benchmarks.stream.dispatch import MEMORIES, NARROW, dispatched
from memflow_core.attention import MemoryAttention
from memflow_core.config import LatentShape, MemoryConfig, ModelConfig, SamplingConfig
from memflow_core.memory import FrameSpan, KVCache, SlotLayout
from memflow_core.model import Backbone, Rope, WanModel
from memflow_core.stream import Stream
from tests.core.allocations import Allocations

# 12 tokens a latent frame
SHAPE = LatentShape(6, 8)
WIDE = ModelConfig(dim=64, num_heads=2, num_layers=3, ffn_dim=128, text_dim=16, freq_dim=16)


@pytest.mark.parametrize("settings", [{}, {"top_k": 3}, {"bank_frames": 6, "record_every": 1, "top_k": 3}], ids=str)
@pytest.mark.parametrize("switch", [2, 6])
@torch.inference_mode()
def test_the_plain_program_makes_the_same_video(backbone, prompt, settings, switch):
    """Bank, SMA, a switch inside and after the first window: a comparison of speeds is one of like with like."""
    memory, sampling, shape = (
        MemoryConfig(retrieval="reference", **settings),
        SamplingConfig((1000, 500)),
        LatentShape(4, 6),
    )
    stream = Stream(backbone, shape, memory=memory, sampling=sampling, seed=3, frames=36)
    plain = PlainStream(backbone.tree, shape, memory, sampling, seed=3)
    for chunk in range(12):
        if chunk in (0, switch):
            for player in (stream, plain):
                player.set_prompt(prompt(chunk))
        assert torch.allclose(next(stream).latents, next(plain), atol=2e-5), chunk


@pytest.mark.parametrize("settings", [{}, {"top_k": 3}, {"retrieval": "none", "sink_frames": 0}], ids=str)
def test_counted_operations_are_those_that_run(settings):
    """In bfloat16, with attention in parts, where every product is one that torch's own counter knows."""
    memory, sampling = MemoryConfig(**settings), SamplingConfig((1000, 500))
    tree = WanModel(WIDE).to(torch.bfloat16).requires_grad_(False)
    stream = Stream(Backbone(tree, torch.bfloat16), SHAPE, memory=memory, sampling=sampling, frames=60)
    stream.set_prompt(torch.randn(1, 6, WIDE.text_dim))
    for _ in range(12):
        next(stream)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        next(stream)
    counted = chunk_work(WIDE, SHAPE, memory=memory, text_length=6, dtype_bytes=2, sampling=sampling)
    # scoring memory, a dot product of means, is not worth counting
    assert counter.get_total_flops() == pytest.approx(counted.flops, rel=0.01)


@pytest.mark.parametrize("retrieval", ["prompt", "reference"])
def test_a_chunk_allocates_nothing_as_large_as_a_layers_memory(retrieval, prompt):
    """The cache is written in place: what is allocated is activations, and after the chunk none of it is held."""
    tree = WanModel(WIDE).requires_grad_(False)
    memory, sampling = MemoryConfig(retrieval=retrieval), SamplingConfig((1000, 500))
    stream = Stream(Backbone(tree), SHAPE, memory=memory, sampling=sampling, frames=120)
    stream.set_prompt(torch.randn(1, 6, WIDE.text_dim))
    for _ in range(15):
        next(stream)
    held = stream.cache.k[0].nbytes
    with Allocations() as allocated:
        for _ in range(18):
            next(stream)
    assert 0 < allocated.largest < held
    # latents behind what memory holds, which a recache or a compact state would read
    latents = 3 * SHAPE.rows * SHAPE.columns * WIDE.in_channels * 4
    assert allocated.now <= 14 * latents


@pytest.mark.parametrize(
    ("memory", "most"), [("bank", 1800), ("bank, SMA", 2550), ("relative", 2000), ("FP8 cache", 2950)]
)
def test_a_pass_hands_few_operations_to_its_device(memory, most):
    """Kernels and views of 30 layers: each takes the host microseconds, which a small picture waits for."""
    assert dispatched(NARROW, MEMORIES[memory]).by_pass < most


@pytest.mark.parametrize(("memory", "spared"), [("bank", 900), ("bank, SMA", 900), ("relative", 600)])
def test_rope_and_cache_write_in_one_kernel_spare_others(memory, spared):
    """Six kernels of a layer and pass, four where keys are turned as they are read; in 30 layers and five passes."""
    apart, together = (dispatched(NARROW, MEMORIES[memory], fused=fused).kernels for fused in (False, True))
    assert apart - together >= spared


def test_a_timestep_is_embedded_once_in_a_run(backbone, prompt, monkeypatch):
    embedded = []
    modulation_at = Backbone._modulation_at

    def counted(self, timesteps):
        embedded.append(timesteps.tolist())
        return modulation_at(self, timesteps)

    monkeypatch.setattr(Backbone, "_modulation_at", counted)
    stream = Stream(backbone, LatentShape(4, 6), sampling=SamplingConfig((1000, 500)), frames=30)
    stream.set_prompt(prompt(0))
    for chunk in range(6):
        if chunk == 3:
            stream.set_prompt(prompt(1))
        next(stream)
    assert len(embedded) == 3, "two steps and the context pass"


def _first_pass(backbone):
    """A cache of 6 tokens a latent frame, and the attention of a pass over its first 3 frames."""
    sizes = {"layers": backbone.layers, "batch": 1, "heads": backbone.heads, "tokens": 6, "head_dim": backbone.head_dim}
    cache = KVCache(SlotLayout(3, 9, 3, end=3), **sizes)
    rope = Rope(backbone.head_dim, 2, 3)
    return cache, MemoryAttention(cache, rope, backend=backbone.attention).begin(FrameSpan(0, 3))


@torch.inference_mode()
def test_one_timestep_for_all_frames_is_the_same_as_one_for_each(backbone, prompt):
    x, kv = torch.randn(1, 16, 3, 4, 6), backbone.embed_text(prompt(0))
    flows = []
    for timesteps in (500.0, torch.full((3,), 500.0)):
        cache, attend = _first_pass(backbone)
        flows.append((backbone(x, timesteps, kv, attend), cache.k.clone()))
    (shared, shared_k), (each, each_k) = flows
    assert torch.allclose(shared, each, atol=1e-5) and torch.allclose(shared_k, each_k, atol=1e-5)


@torch.inference_mode()
def test_a_pass_that_only_writes_leaves_the_same_keys(backbone, prompt):
    x, kv, caches = torch.randn(1, 16, 3, 4, 6), backbone.embed_text(prompt(0)), []
    for run in (backbone, backbone.write):
        cache, attend = _first_pass(backbone)
        run(x, 0.0, kv, attend)
        caches.append(cache)
    for name in ("k", "v", "mean_k"):
        assert torch.equal(getattr(caches[0], name), getattr(caches[1], name)), name
    assert caches[0].k.abs().sum() > 0


if torch.cuda.is_available():

    @pytest.mark.parametrize("settings", [{}, {"top_k": 3}, {"retrieval": "reference"}], ids=str)
    def test_nothing_inside_a_chunk_waits_for_the_gpu(prompt, monkeypatch, settings):
        device = torch.device("cuda")
        tree = WanModel(WIDE).to(device).requires_grad_(False)
        memory, sampling = MemoryConfig(**settings), SamplingConfig((1000, 500))
        stream = Stream(Backbone(tree), SHAPE, memory=memory, sampling=sampling, frames=90, device=device)
        stream.set_prompt(torch.randn(1, 6, WIDE.text_dim))
        for _ in range(12):
            next(stream)
        make = stream._make_chunk

        def watched(given):
            torch.cuda.set_sync_debug_mode("error")
            try:
                return make(given)
            finally:
                torch.cuda.set_sync_debug_mode("default")

        monkeypatch.setattr(stream, "_make_chunk", watched)
        for _ in range(6):
            next(stream)
