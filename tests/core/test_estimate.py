"""What a run will take, held to runs that really take it."""

from __future__ import annotations

import json
import random
from collections import Counter

import pytest
import torch

from memflow_core import rehearsal
from memflow_core.config import CACHES, LatentShape, MemoryConfig, ModelConfig, SamplingConfig
from memflow_core.estimate import GB, Estimate, ModelSize, estimate
from memflow_core.memory import KVCache, ReferenceMemory
from memflow_core.model import Backbone, WanModel
from memflow_core.play import EncodedSchedule, play
from memflow_core.schedule import Blend, ChunkGrid, Pin, Plan, PromptSchedule, Segment, Time
from memflow_core.state import capture, resume
from memflow_core.stream import Stream
from tests.core.allocations import Allocations

RETRIEVALS = ["reference", "prompt", "similarity", "attention", "fifo", "none"]
FULL = ModelSize(layers=30, dim=1536, heads=12, ffn_dim=8960)


def size_of(backbone: Backbone) -> ModelSize:
    blocks = backbone.tree.blocks
    return ModelSize(
        layers=backbone.layers,
        dim=backbone.dim,
        heads=backbone.heads,
        ffn_dim=blocks[0].ffn[0].out_features,
        text_dim=backbone.text_dim,
        text_length=6,
        channels=backbone.channels,
        dtype_bytes=backbone.dtype.itemsize,
    )


def planned(chunks: int, *segments: tuple, latent_frames: int = 3, pins=()) -> Plan:
    """segments: (start chunk, switch, recalled names)."""
    made = [
        Segment(Time(start, "chunks"), f"prompt {start}", switch, recall=recall) for start, switch, *recall in segments
    ]
    schedule = PromptSchedule((Segment(Time(0, "s"), "prompt 0"), *made), pins=pins)
    return schedule.place(ChunkGrid(latent_frames), Time(chunks, "chunks"))


def random_story(rng: random.Random) -> tuple[Plan, dict]:
    """A plan, and settings of `make_stream` that fit it."""
    frames, chunks = rng.choice((1, 2, 3, 4)), rng.randint(1, 30)
    starts = sorted(rng.sample(range(1, chunks), min(chunks - 1, rng.randint(0, 6)))) if chunks > 1 else []
    retrieval = rng.choice(RETRIEVALS)
    pins = [Pin(Time(rng.randrange(chunks * frames), "latent"), name) for name in ("a", "b", "c", None)]
    if retrieval in ("reference", "none"):
        pins = []
    segments = [Segment(Time(0, "s"), "first")]
    for start in starts:
        made = [pin.name for pin in pins if pin.name and pin.time.value < start * frames]
        switch = rng.choice(("recache", "recache", "cut", "soft", "blend"))
        blend = Blend(Time(rng.randint(1, 5), "chunks")) if switch == "blend" else None
        names = rng.sample(made, rng.randint(0, len(made)))
        segments.append(Segment(Time(start, "chunks"), f"prompt {start}", switch, blend=blend, recall=names))
    settings = {
        "retrieval": retrieval,
        "chunk_frames": frames,
        "steps": rng.choice(((1000,), (1000, 500))),
        "sink_frames": rng.randint(0, 5),
        "window_frames": frames + rng.randint(0, 9),
        "bank_frames": rng.randint(4, 6),
        "record_every": rng.randint(1, 3),
        "cache": "model" if retrieval == "reference" else rng.choice(CACHES),
    }
    plan = PromptSchedule(segments, pins=pins).place(ChunkGrid(frames), Time(chunks, "chunks"))
    return plan, settings


def told(backbone: Backbone, stream: Stream, plan: Plan, done: int = 0) -> Estimate:
    return estimate(size_of(backbone), stream.shape, stream.memory_config, plan, stream.sampling, done)


def encoded(plan: Plan, texts: list[torch.Tensor]) -> EncodedSchedule:
    """A plan with its embeddings, as `play` takes them."""
    segments = [Segment(placed.requested, placed.prompt) for placed in plan.segments]
    return EncodedSchedule(PromptSchedule(segments), plan, texts)


def run(stream: Stream, plan: Plan, prompt) -> Counter:
    kinds = Counter()
    texts = [prompt(number) for number in range(len(plan.segments))]
    for chunk in play(stream, encoded(plan, texts), 5):
        kinds.update(forward.kind for forward in chunk.forwards)
    return kinds


def prototypes(stream: Stream) -> int:
    """Buffers that a stream has ever needed at once for frames outside the cache; it keeps them."""
    memory = stream.memory
    waiting = [memory.newest] if isinstance(memory, ReferenceMemory) else list(memory.candidates)
    return len(memory.bank._free) + sum(offer.kv is not None for offer in waiting)


def state_bytes(stream: Stream) -> int:
    """Without what the estimate leaves out."""
    small = ("trace", "ledger.", "text.")
    return sum(tensor.nbytes for name, tensor in capture(stream).tensors.items() if not name.startswith(small))


# -- against real runs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(24))
def test_a_run_takes_what_was_said(make_stream, backbone, prompt, seed):
    plan, settings = random_story(random.Random(seed))
    stream = make_stream(**settings)
    said = told(backbone, stream, plan)
    kinds = run(stream, plan, prompt)
    assert (said.denoise, said.context, said.recache) == (kinds["denoise"], kinds["context"], kinds["recache"])
    assert said.state_bytes == state_bytes(stream)
    frame = said.window_bytes // settings["window_frames"]
    if any(segment.recall for segment in plan.segments):
        assert prototypes(stream) * frame <= said.candidate_bytes <= (prototypes(stream) + 3) * frame
    else:
        assert said.candidate_bytes == prototypes(stream) * frame
    assert said.chunks == plan.chunks


@pytest.mark.parametrize("retrieval, precision", [*((name, "model") for name in RETRIEVALS), ("prompt", "fp8")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_cache_takes_exactly_the_bytes_of_its_tensors(retrieval, precision, dtype):
    config = ModelConfig(dim=32, num_heads=2, num_layers=3, ffn_dim=48, text_dim=8, freq_dim=16)
    backbone = Backbone(WanModel(config).to(dtype), dtype)
    memory = MemoryConfig(retrieval=retrieval, sink_frames=2, window_frames=7, bank_frames=5, cache=precision)
    stream = Stream(backbone, LatentShape(4, 6, 2), memory=memory)
    said = told(backbone, stream, planned(9))
    cache: KVCache = stream.cache
    assert said.cache_bytes == sum(x.nbytes for x in (*cache.parts.values(), cache.frames, cache.order))
    sink = slice(cache.layout.border, cache.layout.border + 2)
    assert said.sink_bytes == sum(x[:, :, :, sink].contiguous().nbytes for x in cache.parts.values())


def test_a_resumed_run_takes_the_rest(make_stream, backbone, prompt):
    plan = planned(14, (4, "recache"), (9, "recache"), (11, "cut"))
    stream = make_stream()
    texts = [prompt(number) for number in range(4)]
    whole = Counter()
    for chunk in play(stream, encoded(plan, texts), 5):
        whole.update(forward.kind for forward in chunk.forwards)
        if chunk.index == 8:
            state, before = capture(stream), whole.copy()
    said = told(backbone, stream, plan, done=9)
    rest = Counter(f.kind for chunk in play(resume(state, backbone), encoded(plan, texts), 5) for f in chunk.forwards)
    assert rest == whole - before
    assert {"denoise": said.denoise, "context": said.context, "recache": said.recache} == dict(rest)
    assert (said.chunks, said.video_frames) == (5, 60)
    assert [(switch.start_s, switch.kind) for switch in said.switches] == [(105 / 16, "recache"), (129 / 16, "cut")]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"top_k": 3},
        {"positions": "relative"},
        {"retrieval": "attention", "record_every": 1},
        {"retrieval": "reference"},
        {"cache": "fp8"},
        {"cache": "fp8", "window_frames": 15},
        {"cache": "fp8", "top_k": 3, "positions": "relative"},
        {"cache": "fp8", "positions": "relative", "window_frames": 15},
        {"cache": "fp8", "retrieval": "attention", "record_every": 1},
    ],
    ids=str,
)
def test_a_pass_needs_about_the_work_space_that_was_said(settings):
    """In bfloat16 with Wan 2.1's proportions; recaches included."""
    config = ModelConfig(dim=384, num_heads=3, num_layers=2, ffn_dim=2240, text_dim=16, freq_dim=16)
    backbone = Backbone(WanModel(config).to(torch.bfloat16).requires_grad_(False), torch.bfloat16)
    plan = planned(8, (5, "recache"))
    stream = Stream(
        backbone,
        LatentShape(16, 16),
        memory=MemoryConfig(**settings),
        sampling=SamplingConfig((1000,)),
        frames=24,
    )
    said = told(backbone, stream, plan)
    texts = [torch.randn(1, 6, 16) for _ in plan.segments]
    chunks = play(stream, encoded(plan, texts), 5)
    next(chunks)
    with Allocations() as work:
        for _ in chunks:
            pass
    assert said.activation_bytes + said.candidate_bytes == pytest.approx(work.peak, rel=0.15)


# -- what people read -------------------------------------------------------------------------------------------------


def test_the_real_model_fits_what_is_known_of_it():
    """832 x 480 in bfloat16: a latent frame's keys and values are 0.27 GB, 15 slots 4 GB."""
    plan = planned(27, (7, "recache"), (14, "blend", "hero"), pins=(Pin(Time(3.5, "s"), "hero"),))
    said = estimate(FULL, LatentShape(60, 104), MemoryConfig(), plan, SamplingConfig())
    assert said.cache_bytes / GB == pytest.approx(15 * 0.268, rel=0.01)
    assert said.device_bytes / GB == pytest.approx(5.15, abs=0.01)
    assert (said.pin_bytes / GB, said.state_bytes / GB) == pytest.approx((0.27, 4.56), abs=0.01)
    assert (said.denoise, said.context, said.recache) == (108, 27, 1)


@pytest.mark.parametrize("retrieval", RETRIEVALS)
def test_a_long_last_segment_is_told_without_playing_all_of_it(retrieval, monkeypatch):
    memory = MemoryConfig(retrieval=retrieval, record_every=2)
    pins = () if retrieval in ("reference", "none") else (Pin(Time(90, "latent")), Pin(Time(3, "latent"), "hero"))
    for chunks in (399, 400):
        plan = planned(chunks, (7, "recache", *(("hero",) if pins else ())), pins=pins)
        short, skipped = rehearsal.without_repeats(plan, memory, done=20)
        assert skipped > 300 and short.chunks + skipped == chunks
        quick = rehearsal.rehearse(plan, memory, SamplingConfig(), done=20)
        with monkeypatch.context() as patch:
            patch.setattr(rehearsal, "without_repeats", lambda plan, memory, done: (plan, 0))
            whole = rehearsal.rehearse(plan, memory, SamplingConfig(), done=20)
        assert (quick.forwards, quick.waiting, quick.prototypes, quick.named, quick.at.bank, quick.recent) == (
            whole.forwards, whole.waiting, whole.prototypes, whole.named, whole.at.bank, whole.recent,
        )  # fmt: skip


def test_the_estimate_is_fit_for_json():
    plan = planned(9, (4, "cut"))
    said = estimate(FULL, LatentShape(60, 104), MemoryConfig(), plan, SamplingConfig())
    dumped = json.loads(json.dumps(said.to_dict(), allow_nan=False))
    assert dumped["switches"] == [{"start_s": 45 / 16, "start_frame": 45, "kind": "cut", "prompt": "prompt 4"}]
    assert dumped["forwards"] == said.denoise + said.context + said.recache == 45
    assert dumped["cache_bytes"] == said.cache_bytes and dumped["device_bytes"] == said.device_bytes
    with pytest.raises(AttributeError):
        said.chunks = 3
