"""Is every way to attend right on this device, and to write what is attended to?

Each way to attend against float64, at every fill of memory and window; RoPE and cache write in one kernel against its
definition.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from memflow_core.attention import fused_rope_write, memory_readers, naive_rope_write, rope_write_trial, take_frames
from memflow_core.model import sdpa

from .bench import Bench, relative_error
from .record import MissError, sentence_of

FILLS = (3, 6, 7, 9, 12, 14, 15)  # latent frames that a stream reads as it grows
SAMPLED = 97  # queries that are compared
TOLERANCE = {torch.float32: 1e-4, torch.float16: 4e-3, torch.bfloat16: 1e-2}
ROUNDED = ("sage",)  # of 8 bits on purpose
FUSED_WRITE = "RoPE and write in one"
AROUND = (4, 1)  # slots before and behind those that are read, which hold NaN


@torch.inference_mode()
def attention_errors(bench: Bench) -> dict[str, Any]:
    """Relative error of each attention backend, the worst of all fills, of each sparse reader, and of the fused write.

    A way that this device cannot run is told, and is none of those that a stream would choose. Raises MissError for one
    that runs and is wrong.
    """
    drawn = _drawn(bench)
    errors: dict[str, float] = {}
    left_out: dict[str, str] = {}
    for name, attend in _ways(bench, drawn).items():
        try:
            errors[name] = max((attend(frames) for frames in _fills(name)), key=_nan_last)
        except Exception as error:
            left_out[name] = sentence_of(error)
    found = {"relative_error": errors, "left_out": left_out, "tolerance": TOLERANCE[bench.dtype]}
    wrong = [name for name, error in errors.items() if not error <= TOLERANCE[bench.dtype] and not _rounds(name)]
    if wrong or "dense torch" in left_out:
        raise MissError(f"{', '.join(wrong) or 'dense torch'} is wrong on this device.", found)
    return found


def _nan_last(error: float) -> float:
    return error if error == error else float("inf")


def _rounds(name: str) -> bool:
    return any(word in name for word in ROUNDED)


def _fills(name: str) -> tuple[int, ...]:
    return FILLS if name.startswith("dense") else (FILLS[-1],)


def _drawn(bench: Bench) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """q, keys, values and chosen frames of a layer, laid out as a stream's: the cache's slots, tokens before heads."""
    read = bench.read
    q, keys, values, chosen = read.draw(bench.dtype, bench.device)
    q = q.transpose(1, 2).contiguous().transpose(1, 2)
    before, behind = AROUND
    padded = []
    for x in (keys, values):
        slots = x.new_empty(*x.shape[:2], before + x.shape[2] + behind, *x.shape[3:]).fill_(torch.nan)
        slots[:, :, before : before + x.shape[2]] = x
        padded.append(slots[:, :, before : before + x.shape[2]])
    return q, *padded, chosen


def _ways(bench: Bench, drawn: tuple[Tensor, Tensor, Tensor, Tensor]) -> dict[str, Callable[[int], float]]:
    """By name, the error of a way to attend to the newest so many frames."""
    q, keys, values, chosen = drawn
    memory = bench.read.memory
    picked = torch.arange(0, q.shape[2], max(1, q.shape[2] // SAMPLED), device=q.device)

    def error(out: Tensor, k: Tensor, v: Tensor) -> float:
        return relative_error(out[:, :, picked], _truth(q[:, :, picked], k.flatten(2, 3), v.flatten(2, 3)))

    def dense(attend: Callable[..., Tensor]) -> Callable[[int], float]:
        def at(frames: int) -> float:
            k, v = (x[:, :, x.shape[2] - frames :] for x in (keys, values))
            return error(attend(q, k.flatten(2, 3), v.flatten(2, 3)), k, v)

        return at

    def sparse(reader: Callable[..., Tensor]) -> Callable[[int], float]:
        def at(_: int) -> float:
            near = (torch.cat((take_frames(x[:, :, :memory], chosen), x[:, :, memory:]), dim=2) for x in (keys, values))
            return error(reader(q, keys, values, chosen, memory), *near)

        return at

    ways = {f"dense {name}": dense(attend) for name, attend in bench.backends.items()}
    readers = memory_readers(bench.device, bench.dtype, sdpa)
    ways |= {f"sparse {name}": sparse(reader) for name, reader in readers.items() if name not in bench.without}
    return ways | ({FUSED_WRITE: partial(write_error, bench)} if bench.fuses_write else {})


def write_error(bench: Bench, _: int = 0) -> float:
    """Relative error of a chunk's rotated queries and of all slots, keys turned and as they are: the worst."""
    read = bench.read
    size = read.batch, read.heads, read.queries // read.tokens, 1, read.tokens, read.head_dim
    errors = []
    for turn_keys in (True, False):
        written = rope_write_trial(size, bench.dtype, bench.device, turn_keys)
        errors.append(relative_error(written(fused_rope_write), written(naive_rope_write)))
    return max(errors, key=_nan_last)


def _truth(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention in float64, head by head: q [B, heads, n, head_dim], k and v [B, heads, L, head_dim] -> as q."""
    heads = []
    for head in range(q.shape[1]):
        query, key, value = (x[:, head].double() for x in (q, k, v))
        heads.append(torch.softmax(query @ key.mT / q.shape[-1] ** 0.5, dim=-1) @ value)
    return torch.stack(heads, dim=1)
