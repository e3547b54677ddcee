"""Top-k memory attention as one Triton kernel that reads keys and values in their cache slots.

`topk_naive.topk_attention` is its definition. Each program holds one tile of queries of one head and
goes over the frames that this head reads, tile by tile of keys, with an online softmax in float32. Frames are found
through their numbers, so nothing is copied; the window is one run of keys, since its slots lie side by side.

Numbers of queries, frames and window slots are run-time arguments: a stream that fills its window, or recaches it,
compiles nothing anew.
"""

# pyright: reportCallIssue=false, reportArgumentType=false
# a kernel is launched through Triton's own protocol, whose arguments no type checker knows

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from .strides import check_frames, rowwise

LOG2_E = 1.4426950408889634
SMALLEST_DOT = 16  # tensor cores take no side below


@dataclass(frozen=True)
class Tiling:
    """Tiling of the kernel: queries and keys a tile, warps a program, stages of the load pipeline."""

    queries: int
    keys: int
    warps: int
    stages: int

    def __str__(self) -> str:
        return f"{self.queries}x{self.keys}, {self.warps} warps, {self.stages} stages"


HALF_TILINGS = (Tiling(128, 64, 8, 3), Tiling(128, 128, 8, 2), Tiling(64, 64, 4, 2))
FLOAT_TILINGS = (Tiling(32, 32, 4, 2),)


def tilings(dtype: torch.dtype) -> tuple[Tiling, ...]:
    """Tilings to try, the best guess first. The last fits GPUs with little shared memory."""
    return FLOAT_TILINGS if dtype == torch.float32 else HALF_TILINGS


@triton.jit
def _attend_tile(q, keys, values, state, start, length, rows, columns, scale,
               MASKED: tl.constexpr, HEAD_DIM: tl.constexpr, WIDTH: tl.constexpr, PRECISION: tl.constexpr):  # fmt: skip
    """One online-softmax step: update `state` (sum, norm, peak) by keys start, start + 1, ... of a run of `length`."""
    out, norm, peak = state
    inside = start + rows < length
    places = (start + rows)[:, None] * HEAD_DIM + columns[None, :]
    if MASKED or HEAD_DIM != WIDTH:
        held = inside[:, None] & (columns < HEAD_DIM)[None, :]
        k = tl.load(keys + places, mask=held, other=0.0)
        v = tl.load(values + places, mask=held, other=0.0)
    else:
        k = tl.load(keys + places)
        v = tl.load(values + places)
    logits = tl.dot(q, tl.trans(k), input_precision=PRECISION) * scale
    if MASKED:
        logits = tl.where(inside[None, :], logits, float("-inf"))
    higher = tl.maximum(peak, tl.max(logits, 1))
    weights = tl.math.exp2(logits - higher[:, None])
    fade = tl.math.exp2(peak - higher)
    out = tl.dot(weights.to(v.dtype), v, out * fade[:, None], input_precision=PRECISION)
    return out, norm * fade + tl.sum(weights, 1), higher


@triton.jit(do_not_specialize=["queries", "chosen_frames", "memory", "window_keys", "chosen_batch", "chosen_head"])
def _topk_attention(q_at, keys, values, chosen, out_at, done_at, total_at,
                    q_batch, q_head, q_row, k_batch, k_head, v_batch, v_head, chosen_batch, chosen_head,
                    out_batch, out_head, out_row, done_batch, done_head, done_row, total_batch, total_head,
                    heads, queries, tokens, chosen_frames, memory, window_keys, scale,
                    QUERIES: tl.constexpr, KEYS: tl.constexpr, HEAD_DIM: tl.constexpr, WIDTH: tl.constexpr,
                    GOES_ON: tl.constexpr, PRECISION: tl.constexpr, LOG2_E: tl.constexpr):  # fmt: skip
    # in 64 bits: batch and head times their stride, and a frame times its size, may pass 2^31
    batch, head = (tl.program_id(1) // heads).to(tl.int64), (tl.program_id(1) % heads).to(tl.int64)
    lines = tl.program_id(0) * QUERIES + tl.arange(0, QUERIES)
    rows, columns = tl.arange(0, KEYS), tl.arange(0, WIDTH)
    held = (lines < queries)[:, None] & (columns < HEAD_DIM)[None, :]
    asked = q_at + batch * q_batch + head * q_head + lines[:, None] * q_row + columns[None, :]
    q = tl.load(asked, mask=held, other=0.0)
    if GOES_ON:
        done = done_at + batch * done_batch + head * done_head + lines[:, None] * done_row + columns[None, :]
        total = total_at + batch * total_batch + head * total_head + lines
        out = tl.load(done, mask=held, other=0.0).to(tl.float32)
        norm = tl.full([QUERIES], 1.0, tl.float32)
        peak = tl.load(total, mask=lines < queries, other=0.0) * LOG2_E
    else:
        out = tl.zeros([QUERIES, WIDTH], tl.float32)
        norm = tl.zeros([QUERIES], tl.float32)
        peak = tl.full([QUERIES], float("-inf"), tl.float32)
    state = out, norm, peak
    keys += batch * k_batch + head * k_head
    values += batch * v_batch + head * v_head
    chosen += batch * chosen_batch + head * chosen_head
    frame_size = tokens * HEAD_DIM
    # the chosen frames one by one, then the window: whole tiles first, then what is left at the edge
    for run in range(0, chosen_frames + 1):
        is_frame = run < chosen_frames
        first = tl.load(chosen + run, mask=is_frame, other=memory).to(tl.int64) * frame_size
        length = tl.where(is_frame, tokens, window_keys)
        whole = length // KEYS * KEYS
        for start in range(0, whole, KEYS):
            state = _attend_tile(q, keys + first, values + first, state, start, length, rows, columns, scale,
                               False, HEAD_DIM, WIDTH, PRECISION)  # fmt: skip
        if whole < length:
            state = _attend_tile(q, keys + first, values + first, state, whole, length, rows, columns, scale,
                               True, HEAD_DIM, WIDTH, PRECISION)  # fmt: skip
    out, norm, peak = state
    to = out_at + batch * out_batch + head * out_head + lines[:, None] * out_row + columns[None, :]
    tl.store(to, (out / norm[:, None]).to(out_at.dtype.element_ty), mask=held)


def topk_attention(
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    chosen: Tensor,
    memory: int,
    partial: tuple[Tensor, Tensor] | None = None,
    tiling: Tiling | None = None,
) -> Tensor:
    """As `topk_naive.topk_attention`, with keys and values read in place.

    q, keys, values  float16, bfloat16 or float32, all of one dtype.

    keys, values  any view whose frames lie side by side, each [tokens, head_dim] in one piece with the next.
    tiling        None: the first of `tilings`.

    Returns [B, heads, L, head_dim], in memory [B, L, heads, head_dim], so that merging the heads copies nothing.
    """
    for name, x in (("keys", keys), ("values", values)):
        check_frames(name, x)
    batch, heads, length, head_dim = q.shape
    frames, tokens = keys.shape[2:4]
    q, chosen = rowwise(q), rowwise(chosen)
    out = q.new_empty(batch, length, heads, head_dim).transpose(1, 2)
    done, total = (q, q) if partial is None else (rowwise(partial[0]), rowwise(partial[1]))
    tiling = tiling or tilings(q.dtype)[0]
    width = max(triton.next_power_of_2(head_dim), SMALLEST_DOT)
    grid = (triton.cdiv(length, tiling.queries), batch * heads)
    # Triton launches on the current device, whichever that is
    with torch.cuda.device_of(q):
        _topk_attention[grid](
            q, keys, values, chosen, out, done, total,
            *q.stride()[:3], *keys.stride()[:2], *values.stride()[:2], *chosen.stride()[:2],
            *out.stride()[:3], *done.stride()[:3], *total.stride()[:2],
            heads, length, tokens, chosen.shape[-1], memory, (frames - memory) * tokens, LOG2_E / head_dim**0.5,
            QUERIES=tiling.queries, KEYS=tiling.keys, HEAD_DIM=head_dim, WIDTH=width, GOES_ON=partial is not None,
            PRECISION=precision_of(q.dtype), LOG2_E=LOG2_E,
            num_warps=tiling.warps, num_stages=tiling.stages, enable_fp_fusion=True,
        )  # fmt: skip
    return out


def precision_of(dtype: torch.dtype) -> str:
    """How the kernel multiplies: half precision needs no rounding first, and AMD's compiler knows no tf32."""
    return "tf32x3" if dtype == torch.float32 and torch.version.hip is None else "ieee"
