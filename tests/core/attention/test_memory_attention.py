"""The fast path over slots against attention with memory written out plainly."""

import pytest
import torch

from memflow_core.attention import MemoryAttention
from memflow_core.memory import FrameSpan, KVCache, SlotLayout
from memflow_core.model import Rope, sdpa
from tests.core.attention.plain_attention import attention_with_memory

BATCH, HEADS, TOKENS, HEAD_DIM = 2, 3, 6, 12


def stream_frames(layout: SlotLayout, chunks: int, top_k: int | None, relative: bool):
    """Feed random chunks through one layer; returns the attention, the last q, k, v and every frame's raw k and v."""
    cache = KVCache(layout, layers=1, batch=BATCH, heads=HEADS, tokens=TOKENS, head_dim=HEAD_DIM)
    attention = MemoryAttention(cache, Rope(HEAD_DIM, 2, 3), backend=sdpa, top_k=top_k, relative=relative)
    raw = []
    for chunk in range(chunks):
        q, k, v = torch.randn(3, BATCH, HEADS, 3 * TOKENS, HEAD_DIM)
        raw += [(k[:, :, i * TOKENS : (i + 1) * TOKENS], v[:, :, i * TOKENS : (i + 1) * TOKENS]) for i in range(3)]
        cache.layout.end = 3 * chunk + 3
        attend = attention.begin(FrameSpan(3 * chunk, 3))
        out = attend(0, q, k, v)
    return cache, attend, q, out, raw


def expected(q, raw, memory_frames, window_frames, places, top_k, item, head):
    rope = Rope(HEAD_DIM, 2, 3)

    def roped(frame, x):
        return rope.at(torch.tensor([places[frame]])).apply(x[None])[0]

    current = window_frames[-3:] if len(window_frames) >= 3 else memory_frames[-3:]
    turned = torch.cat([roped(f, q[item, head, i * TOKENS : (i + 1) * TOKENS]) for i, f in enumerate(current)])
    pairs = {f: (roped(f, raw[f][0][item, head]), raw[f][1][item, head]) for f in memory_frames + window_frames}
    return attention_with_memory(turned, [pairs[f] for f in memory_frames], [pairs[f] for f in window_frames], top_k)


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize(
    ("chunks", "sink", "window", "sinks", "windows"),
    [
        (1, 3, 9, [0, 1, 2], []),
        (2, 3, 9, [0, 1, 2], [3, 4, 5]),
        (5, 3, 9, [0, 1, 2], list(range(6, 15))),
        (7, 3, 9, [0, 1, 2], list(range(12, 21))),
        (5, 2, 7, [0, 1], list(range(8, 15))),
        (4, 0, 5, [], list(range(7, 12))),
        (2, 6, 6, [0, 1, 2, 3, 4, 5], []),
    ],
)
def test_sink_and_window_are_what_is_read(chunks, sink, window, sinks, windows, relative):
    _, _, q, out, raw = stream_frames(SlotLayout(sink, window, 0), chunks, None, relative)
    order = sinks + windows
    places = {f: order.index(f) for f in order} if relative else {f: f for f in order}
    for item in range(BATCH):
        for head in range(HEADS):
            golden = expected(q, raw, sinks, windows, places, None, item, head)
            assert torch.allclose(out[item, head].double(), golden, atol=2e-6)


def test_sparse_memory_activation_reads_the_frames_with_the_best_mean_key():
    _, attend, q, out, raw = stream_frames(SlotLayout(3, 9, 0), 7, 2, False)
    places = {f: f for f in range(21)}
    for item in range(BATCH):
        for head in range(HEADS):
            golden = expected(q, raw, [0, 1, 2], list(range(12, 21)), places, 2, item, head)
            assert torch.allclose(out[item, head].double(), golden, atol=2e-6)
    assert attend.activated_frames()[0].shape == (BATCH, HEADS, 2)


def test_top_k_of_all_memory_is_dense():
    torch.manual_seed(3)
    dense = stream_frames(SlotLayout(3, 9, 0), 6, None, False)[3]
    torch.manual_seed(3)
    assert torch.equal(stream_frames(SlotLayout(3, 9, 0), 6, 3, False)[3], dense)


def test_bank_frames_are_read_at_their_place():
    """A bank frame is read with its own position (absolute), or by its age inside the attended set (relative)."""
    for relative in (False, True):
        layout = SlotLayout(3, 6, 2)
        cache = KVCache(layout, layers=1, batch=BATCH, heads=HEADS, tokens=TOKENS, head_dim=HEAD_DIM)
        rope = Rope(HEAD_DIM, 2, 3)
        attention = MemoryAttention(cache, rope, backend=sdpa, relative=relative)
        bank = {5: 1, 4: 0}  # the younger frame stands in the slot that was filled first
        kept = {f: torch.randn(2, BATCH, HEADS, TOKENS, HEAD_DIM) for f in bank}
        layout.bank = 2
        for frame, slot in bank.items():
            k, v = kept[frame]
            cache.k[0, :, :, slot] = k if relative else rope.at(torch.tensor([frame])).apply(k[:, :, None])[:, :, 0]
            cache.v[0, :, :, slot] = v
            cache.frames[0, :, slot] = frame
        raw = dict(kept)
        for chunk in range(5):
            q, k, v = torch.randn(3, BATCH, HEADS, 3 * TOKENS, HEAD_DIM)
            for i in range(3):
                if 3 * chunk + i not in bank:
                    raw[3 * chunk + i] = torch.stack((k, v))[:, :, :, i * TOKENS : (i + 1) * TOKENS]
            layout.end = 3 * chunk + 3
            out = attention.begin(FrameSpan(3 * chunk, 3))(0, q, k, v)
        order = [0, 1, 2, 4, 5, *range(9, 15)]
        places = {f: order.index(f) if relative else f for f in order}
        golden = expected(q, raw, order[:5], order[5:], places, None, 1, 2)
        assert torch.allclose(out[1, 2].double(), golden, atol=2e-6)
