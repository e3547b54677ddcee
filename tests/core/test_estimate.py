"""Estimates, compared with what real runs make and hold."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import replace

import pytest
import torch

from memflow_core.config import ARCHIVE_RULES, CACHES, LatentShape, MemoryConfig, ModelConfig, SamplingConfig
from memflow_core.estimate import GB, Estimate, estimate
from memflow_core.memory import KVCache, ReferenceMemory
from memflow_core.model import AllHeads, Backbone, ModelSize, WanModel
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


def random_story(rng: random.Random, alone: bool = False) -> tuple[Plan, dict]:
    """A plan, and settings of `make_stream` that fit it; alone: with a bank whose frames are read alone, if any."""
    frames, chunks = rng.choice((1, 2, 3, 4)), rng.randint(1, 30)
    starts = sorted(rng.sample(range(1, chunks), min(chunks - 1, rng.randint(0, 6)))) if chunks > 1 else []
    retrieval, bank = rng.choice(RETRIEVALS), rng.randint(0, 6)
    pins = [Pin(Time(rng.randrange(chunks * frames), "latent"), name) for name in ("a", "b", "c", None)]
    if retrieval in ("reference", "none") or not bank:
        pins = []
    segments = [Segment(Time(0, "s"), "first")]
    began = 0
    for start in starts:
        switch = rng.choice(("recache", "recache", "cut", "soft", "blend", "fresh"))
        began = start * frames if switch == "fresh" else began
        made = [pin.name for pin in pins if pin.name and began <= pin.time.value < start * frames]
        blend = Blend(Time(rng.randint(1, 5), "chunks")) if switch == "blend" else None
        names = rng.sample(made, rng.randint(0, min(len(made), bank - 1))) if made else []
        segments.append(Segment(Time(start, "chunks"), f"prompt {start}", switch, blend=blend, recall=names))
    settings = {
        "retrieval": retrieval,
        "chunk_frames": frames,
        "steps": rng.choice(((1000,), (1000, 500))),
        "sink_frames": rng.randint(0, 12),
        "window_frames": frames + rng.randint(0, 12),
        "bank_frames": bank,
        "record_every": rng.randint(1, 5),
        "cache": "model" if retrieval == "reference" else rng.choice(CACHES),
    }
    if retrieval not in ("reference", "none") and bank and alone:
        settings |= rng.choice(
            ({}, {"archive": "latents"}, {"archive": "latents", "archive_rule": rng.choice(ARCHIVE_RULES)})
        )
        settings["bank_keys"] = "alone"
        if rng.random() < 0.3:
            room = rng.choice((8.0, 2e-5))
            settings |= {"bank_keys": "made", "archive": "keys", "archive_gb": room}
    plan = PromptSchedule(segments, pins=pins).place(ChunkGrid(frames), Time(chunks, "chunks"))
    return plan, settings


def ledger_bytes(stream: Stream) -> int:
    """Bytes of latents of single frames, of mean keys, and of keys and values that an archive holds in RAM."""
    archive = stream.memory.recollection.archive
    latents = [stream.provenance.latents[frame].nbytes for frame in archive.prompts]
    made = [part.nbytes for kv in archive.made.values() for part in kv.parts.values()]
    return sum(latents) + sum(keys.nbytes for keys in archive.keys.values()) + sum(made)


def estimate_of(backbone: Backbone, stream: Stream, plan: Plan, **more) -> Estimate:
    return estimate(
        size_of(backbone),
        stream.shape,
        memory=stream.memory_config,
        plan=plan,
        sampling=stream.sampling,
        **more,
    )


def full_estimate(plan: Plan, memory: MemoryConfig, **more) -> Estimate:
    """Of the 1.3B model at 832 x 480."""
    return estimate(FULL, LatentShape(60, 104), memory=memory, plan=plan, sampling=SamplingConfig(), **more)


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


def buffers(stream: Stream) -> int:
    """Buffers that a stream has ever needed at once for frames outside the cache; it keeps them."""
    memory = stream.memory
    waiting = [memory.newest] if isinstance(memory, ReferenceMemory) else list(memory.candidates)
    return len(memory.bank._free) + sum(candidate.kv is not None for candidate in waiting)


def state_bytes(stream: Stream) -> int:
    """Bytes of a state, without what the estimate leaves out."""
    small = ("trace", "ledger.", "text.")
    return sum(tensor.nbytes for name, tensor in capture(stream).tensors.items() if not name.startswith(small))


# -- against real runs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(40))
def test_a_run_takes_what_was_estimated(make_stream, backbone, prompt, seed):
    plan, settings = random_story(random.Random(seed))
    stream = make_stream(**settings)
    estimated = estimate_of(backbone, stream, plan)
    kinds = run(stream, plan, prompt)
    passes = (estimated.denoise, estimated.context, estimated.recache)
    assert passes == (kinds["denoise"], kinds["context"], kinds["recache"])
    assert estimated.state_bytes == state_bytes(stream)
    frame = estimated.window_bytes // settings["window_frames"]
    # a recalled pin may stand in the bank already, and with `attention` a bank may have empty slots
    spare = 1 if any(segment.recall for segment in plan.segments) else 0
    if settings["retrieval"] == "attention":
        spare = 3 + settings["sink_frames"]
    assert buffers(stream) * frame <= estimated.candidate_bytes <= (buffers(stream) + spare) * frame
    assert estimated.chunks == plan.chunks


@pytest.mark.parametrize("seed", range(40))
def test_moments_and_archive_take_what_was_estimated(make_stream, backbone, prompt, seed):
    plan, settings = random_story(random.Random(1000 + seed), alone=True)
    stream = make_stream(**settings)
    estimated = estimate_of(backbone, stream, plan)
    kinds = run(stream, plan, prompt)
    passes = (estimated.denoise, estimated.context, estimated.recache)
    assert passes == (kinds["denoise"], kinds["context"], kinds["recache"])
    exact = settings.get("archive") is None and not plan.pins
    assert kinds["moment"] <= estimated.moments <= (kinds["moment"] if exact else 10**9)
    assert kinds["ask"] <= estimated.questions <= (10**9 if plan.pins else kinds["ask"])
    assert buffers(stream) * estimated.window_bytes // settings["window_frames"] <= estimated.candidate_bytes
    if settings.get("archive"):
        assert estimated.archived == len(stream.memory.recollection.archive.prompts)
        # a fresh prompt has emptied it
        assert estimated.archive_bytes >= ledger_bytes(stream)
        assert estimated.archive_bytes == ledger_bytes(stream) or len(plan.story_starts) > 1
        # its latents are counted, though newest ones may stand among those that a state keeps anyway
        archive = stream.memory.recollection.archive
        assert estimated.archived_keys == len(archive.made)
        keys = ledger_bytes(stream) - sum(stream.provenance.latents[frame].nbytes for frame in archive.prompts)
        assert estimated.state_bytes - ledger_bytes(stream) == state_bytes(stream) - keys
    elif stream.memory_config.retrieval != "reference":
        assert (estimated.archived, estimated.archive_bytes) == (0, 0)
        assert estimated.state_bytes == state_bytes(stream)


@pytest.mark.parametrize("archive", ["latents", "keys"])
def test_an_archive_that_a_fresh_prompt_empties_takes_room_before_it(make_stream, backbone, prompt, archive):
    plan, before = planned(24, (8, "recache"), (20, "fresh")), planned(20, (8, "recache"))
    stream = make_stream(bank_keys="alone" if archive == "latents" else "made", archive=archive, record_every=1)
    estimated, alone = estimate_of(backbone, stream, plan), estimate_of(backbone, stream, before)
    assert estimated.archive_bytes == alone.archive_bytes and estimated.archived < alone.archived
    run(stream, plan, prompt)
    assert estimated.archived == len(stream.memory.recollection.archive.prompts)
    # a state can be taken at any time of a story without an end
    ended, opened = (estimate_of(backbone, stream, one, open_end=True) for one in (before, plan))
    assert opened.state_bytes >= ended.state_bytes > estimated.state_bytes


def test_passes_of_moments_are_those_of_the_rest_of_a_run(make_stream, backbone, prompt):
    plan = planned(24, (8, "recache"), (16, "cut"))
    stream = make_stream(bank_keys="alone", record_every=1)
    whole, rest = estimate_of(backbone, stream, plan), estimate_of(backbone, stream, plan, done=11)
    texts = [prompt(number) for number in range(3)]
    made = [chunk.forwards for chunk in play(stream, encoded(plan, texts), 5)]
    moments = [sum(forward.kind == "moment" for forward in forwards) for forwards in made]
    assert (sum(moments), sum(moments[11:])) == (whole.moments, rest.moments) and rest.moments > 0


def test_questions_of_a_run_are_counted(make_stream, backbone, prompt):
    plan = planned(24, (8, "recache"), (16, "cut"))
    stream = make_stream(bank_keys="alone", record_every=1, archive="latents", archive_rule="attention")
    whole, rest = estimate_of(backbone, stream, plan), estimate_of(backbone, stream, plan, done=11)
    kinds = run(stream, plan, prompt)
    assert whole.questions == kinds["ask"] == 2 and rest.questions == 1
    assert whole.forwards == sum(kinds.values()) - kinds["moment"] + whole.moments


def test_an_hour_of_archive_takes_little():
    plan = planned(4800, *((start, "recache") for start in range(13, 4800, 13)))
    memory = MemoryConfig(bank_keys="alone", archive="latents")
    estimated = full_estimate(plan, replace(memory, positions="relative"))
    assert estimated.archived == 1600 and estimated.archive_bytes < GB
    # passes of one latent frame, where a chunk has five of three
    assert estimated.moments / 3 <= 0.03 * (estimated.denoise + estimated.context)


def story_of_shots(rng: random.Random, frames: int) -> Plan:
    """A plan with joins of all kinds."""
    chunks = rng.randint(1, 16)
    starts = sorted(rng.sample(range(1, chunks), min(chunks - 1, rng.randint(0, 5)))) if chunks > 1 else []
    joins = [(start, rng.choice(("jump", "jump", "cut", "soft", "recache"))) for start in starts]
    return planned(chunks, *joins, latent_frames=frames)


@pytest.mark.parametrize("seed", range(16))
def test_shots_take_what_was_estimated(make_stream, backbone, prompt, seed):
    rng = random.Random(seed)
    frames = rng.choice((1, 2, 3, 8))
    plan = story_of_shots(rng, frames)
    settings = {"retrieval": "shots", "chunk_frames": frames, "bank_frames": frames, "cache": rng.choice(CACHES)}
    settings |= {"sink_frames": frames * rng.randint(0, 2), "window_frames": frames * rng.randint(1, 3)}
    stream = make_stream(**settings)
    estimated = estimate_of(backbone, stream, plan)
    kinds = run(stream, plan, prompt)
    passes = (estimated.denoise, estimated.context, estimated.recache)
    assert passes == (kinds["denoise"], kinds["context"], 0)
    assert estimated.candidate_bytes == buffers(stream) == 0
    assert estimated.state_bytes == state_bytes(stream)


@pytest.mark.parametrize("seed", range(10))
def test_first_steps_and_refreshed_keys_are_counted(backbone, prompt, seed):
    rng = random.Random(seed)
    frames = rng.choice((1, 2, 3, 8))
    plan = story_of_shots(rng, frames)
    stream = Stream(
        backbone,
        LatentShape(4, 6),
        memory=MemoryConfig(retrieval="none", sink_frames=rng.randint(0, 3), window_frames=frames + rng.randint(0, 5)),
        sampling=SamplingConfig(
            steps=(1000,), first_steps=rng.choice(((), (1000, 500))), chunk_frames=frames, refresh=rng.random() < 0.7
        ),
        seed=5,
        frames=100,
    )
    done = rng.randint(0, plan.chunks)
    estimated, rest = estimate_of(backbone, stream, plan), estimate_of(backbone, stream, plan, done=done)
    kinds, later, texts = Counter(), Counter(), [prompt(number) for number in range(len(plan.segments))]
    for chunk in play(stream, encoded(plan, texts), 5):
        kinds.update(forward.kind for forward in chunk.forwards)
        later.update(forward.kind for forward in chunk.forwards if chunk.index >= done)
    for counted, found in ((estimated, kinds), (rest, later)):
        passes = (counted.denoise, counted.context, counted.recache, counted.refresh)
        assert passes == (found["denoise"], found["context"], found["recache"], found["refresh"])
    assert estimated.state_bytes == state_bytes(stream)


@pytest.mark.parametrize("retrieval, precision", [*((name, "model") for name in RETRIEVALS), ("prompt", "fp8")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_cache_takes_exactly_the_bytes_of_its_tensors(retrieval, precision, dtype):
    config = ModelConfig(dim=32, num_heads=2, num_layers=3, ffn_dim=48, text_dim=8, freq_dim=16)
    backbone = Backbone(WanModel(config).to(dtype), dtype)
    memory = MemoryConfig(retrieval=retrieval, sink_frames=2, window_frames=7, bank_frames=5, cache=precision)
    stream = Stream(backbone, LatentShape(4, 6, 2), memory=memory)
    estimated = estimate_of(backbone, stream, planned(9))
    cache: KVCache = stream.cache
    assert estimated.cache_bytes == sum(x.nbytes for x in (*cache.parts.values(), cache.frames, cache.order))
    sink = slice(cache.layout.border, cache.layout.border + 2)
    assert estimated.sink_bytes == sum(x[:, :, :, sink].contiguous().nbytes for x in cache.parts.values())


class SomeHeads(AllHeads):
    """The heads of the first of several processes."""

    def __init__(self, total: int, processes: int):
        super().__init__(total)
        self.own = slice(0, -(-total // processes))


@pytest.mark.parametrize("processes", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("cache", CACHES)
def test_each_of_several_processes_takes_the_bytes_of_its_heads(processes, cache):
    config = ModelConfig(dim=32, num_heads=4, num_layers=3, ffn_dim=48, text_dim=8, freq_dim=16)
    backbone = Backbone(WanModel(config))
    backbone.share = SomeHeads(4, processes)
    stream = Stream(backbone, LatentShape(4, 6, 2), memory=MemoryConfig(retrieval="prompt", cache=cache))
    estimated, whole = (estimate_of(backbone, stream, planned(9), processes=count) for count in (processes, 1))
    kept = (*stream.cache.parts.values(), stream.cache.frames, stream.cache.order)
    assert estimated.cache_bytes == sum(x.nbytes for x in kept)
    assert estimated.state_bytes == whole.state_bytes and estimated.prompt_bytes == whole.prompt_bytes


def test_a_resumed_run_takes_the_rest(make_stream, backbone, prompt):
    plan = planned(14, (4, "recache"), (9, "recache"), (11, "cut"))
    stream = make_stream()
    texts = [prompt(number) for number in range(4)]
    whole = Counter()
    for chunk in play(stream, encoded(plan, texts), 5):
        whole.update(forward.kind for forward in chunk.forwards)
        if chunk.index == 8:
            state, before = capture(stream), whole.copy()
    estimated = estimate_of(backbone, stream, plan, done=9)
    rest = Counter(f.kind for chunk in play(resume(state, backbone), encoded(plan, texts), 5) for f in chunk.forwards)
    assert rest == whole - before
    passes = {"denoise": estimated.denoise, "context": estimated.context, "recache": estimated.recache}
    assert passes == dict(rest)
    assert (estimated.chunks, estimated.video_frames) == (5, 60)
    assert [(switch.start_s, switch.kind) for switch in estimated.switches] == [
        (105 / 16, "recache"),
        (129 / 16, "cut"),
    ]


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
def test_a_pass_needs_about_the_work_space_that_was_estimated(settings):
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
    estimated = estimate_of(backbone, stream, plan)
    texts = [torch.randn(1, 6, 16) for _ in plan.segments]
    chunks = play(stream, encoded(plan, texts), 5)
    next(chunks)
    with Allocations() as work:
        for _ in chunks:
            pass
    assert estimated.activation_bytes + estimated.candidate_bytes == pytest.approx(work.peak, rel=0.15)


# -- of the real model ------------------------------------------------------------------------------------------------


def test_the_real_model_fits_what_is_known_of_it():
    """832 x 480 in bfloat16: a latent frame's keys and values are 0.27 GB, 15 slots 4 GB."""
    plan = planned(27, (7, "recache"), (14, "blend", "hero"), pins=(Pin(Time(3.5, "s"), "hero"),))
    estimated = full_estimate(plan, MemoryConfig())
    assert estimated.cache_bytes / GB == pytest.approx(15 * 0.268, rel=0.01)
    assert estimated.device_bytes / GB == pytest.approx(5.15, abs=0.01)
    assert (estimated.pin_bytes / GB, estimated.state_bytes / GB) == pytest.approx((0.27, 4.56), abs=0.01)
    assert (estimated.denoise, estimated.context, estimated.recache) == (108, 27, 1)


@pytest.mark.parametrize("retrieval", RETRIEVALS)
def test_a_longer_last_segment_adds_nothing_but_passes(retrieval):
    memory = MemoryConfig(retrieval=retrieval, record_every=2)
    pins = () if retrieval in ("reference", "none") else (Pin(Time(90, "latent")), Pin(Time(3, "latent"), "hero"))
    switch = (7, "recache", *(("hero",) if pins else ()))
    for chunks in (399, 400):
        short = full_estimate(planned(chunks, switch, pins=pins), memory, done=20)
        long = full_estimate(planned(chunks + 80_000, switch, pins=pins), memory, done=20)
        assert (long.denoise - short.denoise, long.context - short.context) == (4 * 80_000, 80_000)
        assert short == replace(
            long,
            chunks=short.chunks,
            video_frames=short.video_frames,
            seconds=short.seconds,
            denoise=short.denoise,
            context=short.context,
        )


@pytest.mark.parametrize("retrieval", RETRIEVALS)
def test_the_state_of_an_open_end_is_the_largest(retrieval):
    memory = MemoryConfig(retrieval=retrieval, window_frames=11, record_every=2)
    for switch in ("recache", "cut"):
        estimated = full_estimate(planned(400, (7, switch)), memory, open_end=True)
        states = {full_estimate(planned(chunks, (7, switch)), memory).state_bytes for chunks in range(380, 400)}
        assert len(states) == (1 if retrieval in ("reference", "none") else 2)
        assert estimated.state_bytes == max(states)


def test_the_estimate_is_fit_for_json():
    estimated = full_estimate(planned(9, (4, "cut")), MemoryConfig())
    dumped = json.loads(json.dumps(estimated.to_dict(), allow_nan=False))
    assert dumped["switches"] == [{"start_s": 45 / 16, "start_frame": 45, "kind": "cut", "prompt": "prompt 4"}]
    assert dumped["forwards"] == estimated.denoise + estimated.context + estimated.recache == 45
    assert dumped["cache_bytes"] == estimated.cache_bytes and dumped["device_bytes"] == estimated.device_bytes
    with pytest.raises(AttributeError):
        estimated.chunks = 3
