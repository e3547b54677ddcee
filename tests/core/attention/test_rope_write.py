"""RoPE and cache write in one kernel: against its definition, in streams, and the choice of it.

The kernel runs on a GPU where there is one, else in Triton's interpreter, where Triton is installed.
"""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from random import Random

import pytest
import torch

from memflow_core.attention import (
    Destination,
    backends,
    failures,
    fused_rope_write,
    naive_rope_write,
    rope_write,
    rope_writer,
)
from memflow_core.attention.autotune import Timings
from memflow_core.config import LatentShape, MemoryConfig, SamplingConfig
from memflow_core.memory import FrameSpan
from memflow_core.model import Rope

CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")
HAS_TRITON = find_spec("triton") is not None
# relative; Triton's interpreter cuts bfloat16 off where a GPU rounds it
TOLERANCE = {torch.float32: 2e-6, torch.float16: 2e-3, torch.bfloat16: 2**-7}
DTYPES = list(TOLERANCE)
RUNS = {
    "one run": ([(2, 0, 3)], 3, 0),
    "round the ring": ([(6, 0, 2), (1, 2, 1)], 3, 0),
    "one frame": ([(0, 0, 1)], 1, 0),
    "the first is asked alone": ([(5, 0, 2)], 3, 1),
    "asked alone, round the ring": ([(7, 0, 1), (0, 1, 2)], 5, 2),
}
SLOTS = 8


def drawn(seed: int, frames: int, dtype: torch.dtype, head_dim: int = 64, rows: int = 3, columns: int = 5):
    """q, k, v of a layer in a stream's layout, the rotation's table, and two layers' slots, which hold NaN."""
    random, generator = Random(seed), torch.Generator(DEVICE).manual_seed(seed)
    batch, heads, tokens = random.choice((1, 2)), random.randint(1, 3), rows * columns
    shape = 3, batch, frames * tokens, heads, head_dim
    q, k, v = torch.randn(shape, generator=generator, device=DEVICE).to(dtype).transpose(2, 3)
    table = Rope(head_dim, rows, columns, DEVICE).at(torch.arange(frames, device=DEVICE) + 31).over_rows().table
    slots = torch.full((2, 2, batch, heads, SLOTS, tokens, head_dim), torch.nan, dtype=dtype, device=DEVICE)
    return q, k, v, table, slots


def by(write, q, k, v, table, slots, runs, **how):
    """Rotated queries and slots of a way to write; nothing that was given is overwritten."""
    slots = slots.clone()
    turned = write(q.clone(), k.clone(), v.clone(), Destination(table, *slots[:, 1], runs, **how))
    return turned, slots


def assert_same(ours, expected, dtype):
    for one, other in zip(ours, expected, strict=True):
        assert one.dtype == other.dtype and one.shape == other.shape
        near = TOLERANCE[dtype]
        assert torch.allclose(one.float(), other.float(), rtol=near, atol=near, equal_nan=True)


@pytest.mark.parametrize("turn_keys", [True, False])
@pytest.mark.parametrize("where", RUNS)
def test_the_definition_rotates_and_writes_frame_by_frame(where, turn_keys):
    runs, frames, skipped = RUNS[where]
    q, k, v, table, slots = drawn(1, frames, torch.float32, head_dim=12)
    tokens = slots.shape[5]
    turned, written = by(naive_rope_write, q, k, v, table, slots, runs, skip=skipped * tokens, turn_keys=turn_keys)
    turns = torch.view_as_complex(table)

    def rotated(x):
        return torch.view_as_real(torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous()) * turns).flatten(-2)

    assert torch.allclose(turned, rotated(q), atol=2e-6)
    keys, places = rotated(k) if turn_keys else k, [slot + i for slot, _, length in runs for i in range(length)]
    for frame, slot in enumerate(places, start=skipped):
        rows = slice(frame * tokens, (frame + 1) * tokens)
        assert torch.allclose(written[0, 1, :, :, slot], keys[:, :, rows], atol=2e-6)
        assert torch.equal(written[1, 1, :, :, slot], v[:, :, rows])
    others = [slot for slot in range(SLOTS) if slot not in places]
    assert written[:, 0].isnan().all() and written[:, 1, :, :, others].isnan().all()


@pytest.mark.parametrize("turn_keys", [True, False])
@pytest.mark.parametrize("where", RUNS if HAS_TRITON else ())
@pytest.mark.parametrize(("seed", "head_dim"), [(0, 64), (1, 128), (2, 12), (3, 24), (4, 64), (5, 128)])
def test_the_kernel_does_what_is_defined(seed, head_dim, where, turn_keys):
    runs, frames, skipped = RUNS[where]
    dtype = DTYPES[seed % len(DTYPES)]
    q, k, v, table, slots = drawn(seed, frames, dtype, head_dim)
    how = {"runs": runs, "skip": skipped * slots.shape[5], "turn_keys": turn_keys}
    ours, expected = (by(way, q, k, v, table, slots, **how) for way in (fused_rope_write, naive_rope_write))
    assert_same(ours, expected, dtype)


@pytest.mark.parametrize("asks", [True, False] if HAS_TRITON else [])
def test_queries_that_are_kept_and_those_that_are_not(asks):
    """Keys that stay as they are are met by queries as they were; the last layer of a context pass has no queries."""
    q, k, v, table, slots = drawn(7, 3, torch.float32)
    q = q if asks else q[:, :, :0]
    before = q.clone()
    turned = fused_rope_write(q, k, v, Destination(table, *slots[:, 1], [(0, 0, 3)], turn_keys=False))
    assert torch.equal(q, before) and turned.shape == q.shape
    assert torch.equal(slots[0, 1, :, :, :3].flatten(2, 3), k)


@pytest.mark.parametrize("layout", ["values beside keys", "heads before tokens"] if HAS_TRITON else [])
def test_projections_may_lie_anyhow_in_memory(layout):
    q, k, v, table, slots = drawn(8, 2, torch.float32)
    if layout == "values beside keys":
        k, v = torch.stack((k, v), dim=-1).unbind(-1)
    else:
        q, k, v = (x.contiguous() for x in (q, k, v))
    ours = fused_rope_write(q.clone(), k, v, Destination(table, *slots[:, 1], [(3, 0, 2)]))
    turned, expected = by(naive_rope_write, q, k, v, table, torch.full_like(slots, torch.nan), [(3, 0, 2)])
    assert_same((ours, slots), (turned, expected), torch.float32)


@pytest.mark.parametrize("runs", [[], [(0, 0, 1), (2, 1, 1), (4, 2, 1)]] if HAS_TRITON else [])
def test_more_runs_than_two_are_refused(runs):
    q, k, v, table, slots = drawn(9, 3, torch.float32)
    with pytest.raises(ValueError, match=rf"{len(runs)} runs of slots at once, but it must be 1 or 2"):
        fused_rope_write(q, k, v, Destination(table, *slots[:, 1], runs))


@pytest.mark.parametrize(("runs", "skip", "rows"), [([(0, 0, 2)], 0, 30), ([(0, 0, 3)], 15, 60)] if HAS_TRITON else [])
def test_rows_that_are_left_over_are_refused(runs, skip, rows):
    """Else they would be written beside the run."""
    q, k, v, table, slots = drawn(9, 3, torch.float32)
    with pytest.raises(ValueError, match=rf"take {rows} rows, but there are 45"):
        fused_rope_write(q, k, v, Destination(table, *slots[:, 1], runs, skip))


@pytest.mark.parametrize("wrong", [0, 1] if HAS_TRITON else [])
def test_slots_that_do_not_lie_side_by_side_are_refused(wrong):
    q, k, v, table, slots = drawn(9, 3, torch.float32)
    given = [x.mT.contiguous().mT if at == wrong else x for at, x in enumerate(slots[:, 1])]
    name = ("keys", "values")[wrong]
    with pytest.raises(
        ValueError, match=f"slots of {name} have strides .*each frame's 15 x 64 numbers must stand in one"
    ):
        fused_rope_write(q, k, v, Destination(table, *given, [(0, 0, 3)]))


STREAMS = {
    "absolute": {},
    "relative": {"positions": "relative"},
    "SMA": {"top_k": 2, "record_every": 1},
    "relative, SMA": {"positions": "relative", "top_k": 2},
    "retrieval by attention": {"retrieval": "attention", "record_every": 1},
    "as published": {"retrieval": "reference"},
    "a ring of seven": {"window_frames": 7, "sink_frames": 2},
}


@pytest.mark.parametrize("settings", STREAMS.values() if HAS_TRITON else (), ids=STREAMS if HAS_TRITON else ())
def test_a_stream_is_the_same_with_it(settings, make_stream, play, prompt):
    """Over a full window, a recache and a full bank."""
    made = {}
    calls = []

    def counted(q, k, v, to):
        calls.append(q.shape[2])
        return fused_rope_write(q, k, v, to)

    for way in (None, counted):
        stream = make_stream(steps=(1000,), bank_frames=2, **settings)
        stream.attention.rope_write = way
        latents = [chunk.latents for chunk in play(stream, 7, {0: (prompt(0),), 4: (prompt(1),)})]
        made[way is None] = torch.stack(latents), stream.cache.mean_k
    for ours, expected in zip(made[False], made[True], strict=True):
        assert torch.allclose(ours, expected, atol=1e-4)
    # two passes of a chunk, of which the second asks for nothing in its last layer
    assert len(calls) >= 7 * 2 * stream.backbone.layers and calls.count(0) >= 7


def test_where_gradients_are_recorded_the_steps_stay_apart(make_stream):
    """Autograd knows nothing of a kernel's writes."""

    def refusing(*_):
        raise AssertionError("called while gradients are recorded")

    stream = make_stream()
    stream.attention.rope_write = refusing
    stream.cache.layout.end = 3
    q, k, v = torch.randn(3, 1, stream.cache.k.shape[2], 3 * stream.cache.tokens, stream.cache.k.shape[-1])
    with torch.enable_grad():
        stream.attention.begin(FrameSpan(0, 3))(0, q, k, v)
    with torch.no_grad(), pytest.raises(AssertionError, match="while gradients"):
        stream.attention.begin(FrameSpan(0, 3))(0, q, k, v)


# -- the choice -------------------------------------------------------------------------------------------------------


SETTINGS = MemoryConfig(), SamplingConfig(), LatentShape(4, 6), torch.device("cuda")


@pytest.fixture
def chosen(backbone, monkeypatch):
    """chosen(ms, kernel, memory): what a stream on a GPU takes, where plain and kernel are said to take so long.

    What they give is computed here.
    """
    fastest_of, trial = rope_write.fastest_of, rope_write.rope_write_trial

    def choose(ms, kernel=naive_rope_write, memory=None):
        def timed(variants, expected, device, known):
            tried = {name: way for name, way in variants.items() if name != "plain" and name not in known}
            left_out = {**known, **failures(tried, expected)}
            return Timings({name: [ms[name]] for name in variants if name not in left_out}, left_out)

        monkeypatch.setattr(backends, "autotune", timed)
        monkeypatch.setattr(rope_write, "runs_triton", lambda _: True)
        monkeypatch.setattr(rope_write, "fused_rope_write", kernel)
        monkeypatch.setattr(
            rope_write, "fastest_of", lambda what, at, lengths, _: fastest_of(what, at, lengths, DEVICE)
        )
        monkeypatch.setattr(
            rope_write, "rope_write_trial", lambda size, dtype, _, keys: trial(size, dtype, DEVICE, keys)
        )
        rope_write._fastest.cache_clear()
        return rope_writer(backbone, memory or SETTINGS[0], *SETTINGS[1:], turn_keys=True)

    yield choose
    rope_write._fastest.cache_clear()


def test_the_kernel_is_taken_where_it_is_faster(chosen, backbone):
    backbone.dense = "fastest"
    assert chosen({"plain": 2.0, "fused": 1.0}) is naive_rope_write
    assert chosen({"plain": 1.0, "fused": 0.99}) is None


def test_a_kernel_that_is_wrong_is_not_taken(chosen, backbone):
    """Not even one that leaves what another wrote, or that errs where the ring goes round."""
    backbone.dense = "fastest"

    def writes_nothing(q, k, v, to):
        return naive_rope_write(q, k, v, replace(to, keys=to.keys.clone(), values=to.values.clone()))

    def goes_straight_on(q, k, v, to):
        return naive_rope_write(q, k, v, replace(to, runs=to.runs[:1]))

    def asks_for_all(q, k, v, to):
        return naive_rope_write(q, k, v, replace(to, skip=0))

    def fails(*_):
        raise RuntimeError("no kernel image is available")

    for wrong in (writes_nothing, goes_straight_on, asks_for_all, fails):
        assert chosen({"plain": 2.0, "fused": 1.0}, wrong) is None, wrong


def test_a_broken_triton_or_a_full_card_costs_no_story(chosen, backbone, monkeypatch):
    backbone.dense = "fastest"
    quick = {"plain": 2.0, "fused": 1.0}
    assert chosen(quick) is naive_rope_write

    def broken(*_):
        raise ImportError("DLL load failed while importing libtriton")

    monkeypatch.setattr(rope_write, "fused_rope_write", broken)
    rope_write._fastest.cache_clear()
    assert rope_writer(backbone, *SETTINGS, turn_keys=True) is None

    def full(*_):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(rope_write, "rope_write_trial", full)
    rope_write._fastest.cache_clear()
    assert rope_writer(backbone, *SETTINGS, turn_keys=True) is None


def test_where_it_is_not_even_tried(chosen, backbone):
    quick = {"plain": 2.0, "fused": 1.0}
    backbone.dense = "own"
    assert chosen(quick) is None
    backbone.dense = "fastest"
    assert chosen(quick, memory=MemoryConfig(cache="fp8")) is None
    backbone.dtype = torch.float64
    assert chosen(quick) is None


def test_on_a_cpu_streams_rotate_and_write_in_steps(backbone, make_stream):
    backbone.dense = "fastest"
    assert make_stream().attention.rope_write is None
