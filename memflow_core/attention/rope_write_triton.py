"""RoPE of queries and keys, and keys and values into their cache slots, as one Triton kernel.

In torch these are seven kernels a layer: queries to float32, times the rotation, and back; keys to float32 and times
the rotation; keys, rounded, and values into the slots. Each moves a whole chunk's numbers through memory. Here every
query, key and value is read once and written once.

Numbers of rows and slots are run-time arguments: a stream compiles nothing anew as its ring turns, or as it recaches.
"""

# pyright: reportCallIssue=false, reportArgumentType=false
# a kernel is launched through Triton's own protocol, whose arguments no type checker knows

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from .rope_write import MOST_RUNS, Destination
from .strides import check_frames, rowwise

ROWS, WARPS = 32, 4


@triton.jit
def _turn(x, cos, sin, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    """Rotate interleaved pairs of x [ROWS, WIDTH] in float32."""
    even, odd = tl.split(tl.reshape(x.to(tl.float32), (ROWS, WIDTH // 2, 2)))
    return tl.reshape(tl.join(even * cos - odd * sin, even * sin + odd * cos), (ROWS, WIDTH))


@triton.jit(do_not_specialize=["length", "skip", "split", "first", "second"])
def _rope_write(q_at, turned_at, k_at, v_at, table_at, keys_at, values_at,
                q_batch, q_head, q_row, turned_batch, turned_head, turned_row,
                k_batch, k_head, k_row, v_batch, v_head, v_row,
                keys_batch, keys_head, values_batch, values_head,
                heads, length, skip, split, first, second,
                HAS_Q: tl.constexpr, TURN_KEYS: tl.constexpr,
                ROWS: tl.constexpr, HEAD_DIM: tl.constexpr, WIDTH: tl.constexpr):  # fmt: skip
    # in 64 bits: batch and head times their stride may pass 2^31
    batch, head = (tl.program_id(1) // heads).to(tl.int64), (tl.program_id(1) % heads).to(tl.int64)
    rows, columns = tl.program_id(0) * ROWS + tl.arange(0, ROWS), tl.arange(0, WIDTH)
    held = (rows < length)[:, None] & (columns < HEAD_DIM)[None, :]
    # rows before `skip` are asked alone; the others go to one run of slots, and from `split` on to a second
    written = rows - skip
    place = tl.where(written < split, first + written, second + written - split)
    to = place[:, None].to(tl.int64) * HEAD_DIM + columns[None, :]
    stored = held & (written >= 0)[:, None]
    # all is read before anything is written, since nothing tells the compiler that these never overlap
    turns = tl.load(table_at + rows[:, None] * HEAD_DIM + columns[None, :], mask=held, other=0.0)
    k_from = k_at + batch * k_batch + head * k_head + rows[:, None] * k_row + columns[None, :]
    v_from = v_at + batch * v_batch + head * v_head + rows[:, None] * v_row + columns[None, :]
    k = tl.load(k_from, mask=stored, other=0.0)
    v = tl.load(v_from, mask=stored, other=0.0)
    cos, sin = tl.split(tl.reshape(turns, (ROWS, WIDTH // 2, 2)))
    if HAS_Q:
        q_from = q_at + batch * q_batch + head * q_head + rows[:, None] * q_row + columns[None, :]
        turned = turned_at + batch * turned_batch + head * turned_head + rows[:, None] * turned_row + columns[None, :]
        q = _turn(tl.load(q_from, mask=held, other=0.0), cos, sin, ROWS, WIDTH)
        tl.store(turned, q.to(turned_at.dtype.element_ty), mask=held)
    if TURN_KEYS:
        k = _turn(k, cos, sin, ROWS, WIDTH)
    tl.store(keys_at + batch * keys_batch + head * keys_head + to, k.to(keys_at.dtype.element_ty), mask=stored)
    tl.store(values_at + batch * values_batch + head * values_head + to, v.to(values_at.dtype.element_ty), mask=stored)


def rope_write(q: Tensor, k: Tensor, v: Tensor, to: Destination) -> Tensor:
    """Rotate queries and keys, and write keys and values into their slots: a `RopeWrite`.

    to  its table in one piece, its slots side by side, and MOST_RUNS runs at most.

    Raises ValueError for other slots, for more runs, and for runs that do not take all rows.
    """
    runs, skip, tokens = to.runs, to.skip, to.tokens
    if not 0 < len(runs) <= MOST_RUNS:
        raise ValueError(f"keys are written into {len(runs)} runs of slots at once, but it must be 1 or {MOST_RUNS}.")
    rows = skip + sum(frames for *_, frames in runs) * tokens
    if rows != k.shape[2]:
        raise ValueError(f"the runs and {skip} rows before them take {rows} rows, but there are {k.shape[2]}.")
    for name, x in (("slots of keys", to.keys), ("slots of values", to.values)):
        check_frames(name, x)
    q, k, v = rowwise(q), rowwise(k), rowwise(v)
    # queries are overwritten, unless retrieval asks with them as they were
    turned = q if to.turn_keys else torch.empty_like(q)
    batch, heads, length, head_dim = k.shape
    if not k.numel():
        return turned
    (first, _, frames), second = runs[0], runs[-1][0]
    launch = _rope_write[(triton.cdiv(length, ROWS), batch * heads)]
    # Triton launches on the current device, whichever that is
    with torch.cuda.device_of(k):
        launch(
            q, turned, k, v, to.table.contiguous(), to.keys, to.values,
            *q.stride()[:3], *turned.stride()[:3], *k.stride()[:3], *v.stride()[:3],
            *to.keys.stride()[:2], *to.values.stride()[:2],
            heads, length, skip, frames * tokens, first * tokens, second * tokens,
            HAS_Q=q.shape[2] > 0, TURN_KEYS=to.turn_keys,
            ROWS=ROWS, HEAD_DIM=head_dim, WIDTH=triton.next_power_of_2(head_dim), num_warps=WARPS,
            enable_fp_fusion=True,
        )  # fmt: skip
    return turned
