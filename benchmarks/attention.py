"""Does sparse memory pay? `python -m benchmarks.attention [--device cuda] [--size tiny|medium|1.3b] [--json FILE]`

Times one layer's self-attention over memory and window: dense, in every backend the device has, and sparse (SMA), in
every reader. All take turns in one process. The ratio of the fastest two is printed beside what frame counts predict.
"""

from __future__ import annotations

import argparse
import json
import statistics
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from memflow_core.attention import (
    ReadShape,
    Variants,
    attention_backends,
    failures,
    memory_readers,
    take_frames,
    times_ms,
)
from memflow_core.model import sdpa

from .machine import conditions, spread
from .sizes import SIZES

CHUNK, MEMORY, WINDOW, TOP_K = 3, 6, 9, 3  # latent frames
KINDS = ("dense", "sparse")


def shape_of(size: str, heads: int | None) -> ReadShape:
    """Return the shape of a chunk of 3 latent frames over sink 3, bank 3 and window 9, of which SMA reads 3 and 9."""
    model, tokens = SIZES[size].model, SIZES[size].shape.tokens
    return ReadShape(
        batch=1,
        heads=heads or model.num_heads,
        head_dim=model.head_dim,
        queries=CHUNK * tokens,
        tokens=tokens,
        memory=MEMORY,
        window=WINDOW,
        top_k=TOP_K,
    )


def variants_of(shape: ReadShape, device: torch.device, dtype: torch.dtype) -> Variants:
    """Return the calls to time, by name.

    Names start with `dense` or `sparse`, or with `not offered`: the pack offers these on no device, since they lost.
    """
    q, keys, values, chosen = shape.draw(dtype, device)
    whole, read = (q, keys.flatten(2, 3), values.flatten(2, 3)), (q, keys, values, chosen, shape.memory)
    variants = {f"dense: {name}": partial(call, *whole) for name, call in attention_backends(device, dtype).items()}
    variants |= {f"sparse: {name}": partial(call, *read) for name, call in memory_readers(device, dtype, sdpa).items()}
    variants["not offered: gather into new memory"] = partial(gather_anew, *read)
    if device.type == "cpu":
        variants["not offered: split, memory copied"] = partial(split_on_cpu, *read)
    return variants


def gather_anew(q: Tensor, keys: Tensor, values: Tensor, chosen: Tensor, memory: int) -> Tensor:
    """Attend to the chosen frames and the window, joined in new memory.

    q             [B, heads, L, head_dim].
    keys, values  [B, heads, frames, tokens, head_dim], the first `memory` frames sink and bank, the others the window.
    chosen        int64 [B, heads, top_k]: frames to read of sink and bank.

    Returns [B, heads, L, head_dim].
    """
    k, v = (torch.cat((take_frames(x[:, :, :memory], chosen), x[:, :, memory:]), dim=2) for x in (keys, values))
    return sdpa(q, k.flatten(2, 3), v.flatten(2, 3))


def split_on_cpu(q: Tensor, keys: Tensor, values: Tensor, chosen: Tensor, memory: int) -> Tensor:
    """Attend to the window in place and to a copy of the chosen frames, merged by log-sum-exp.

    Arguments and result are those of `gather_anew`.
    """
    attend = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    near, near_total = attend(q, *(x[:, :, memory:].flatten(2, 3) for x in (keys, values)))
    far, far_total = attend(q, *(take_frames(x, chosen).flatten(2, 3) for x in (keys, values)))
    return torch.lerp(far, near, torch.sigmoid(near_total - far_total)[..., None].to(near.dtype))


def measure(size: str, shape: ReadShape, device: torch.device, dtype: torch.dtype, rounds: int) -> dict:
    """Time all variants in turn. Returns the numbers for `report`."""
    variants = variants_of(shape, device, dtype)
    left_out: dict[str, str] = {}
    for dense in (True, False):  # a sparse result is not the dense one: each kind is compared with its own first
        kind = {name: call for name, call in variants.items() if name.startswith("dense") == dense}
        left_out |= failures(kind, next(iter(kind.values()))())
    running = {name: call for name, call in variants.items() if name not in left_out}
    ms = times_ms(running, device, rounds)
    best = {kind: min(statistics.median(ms[name]) for name in ms if name.startswith(kind)) for kind in KINDS}
    return {
        **conditions(device),
        "dtype": str(dtype).removeprefix("torch."),
        "size": size,
        "shape": str(shape),
        "rounds": rounds,
        "ms": {name: spread(times) for name, times in ms.items()},
        "left_out": left_out,
        "sparse_to_dense": best["sparse"] / best["dense"],
        "predicted": (shape.top_k + shape.window) / (shape.memory + shape.window),
    }


def report(result: dict) -> str:
    """Return a result of `measure` as lines of text."""
    on, ratio = "{device}, {clock}, {threads} CPU threads, torch {torch}, {dtype}".format(**result), result["predicted"]
    lines = [
        on,
        f"{result['size']}: {result['shape']}; {result['rounds']} rounds, milliseconds, median and quartiles",
        *(f"{name:42} {ms['median']:9.3f}   {ms['q1']:.3f} to {ms['q3']:.3f}" for name, ms in result["ms"].items()),
        *(f"{name:42} left out: {reason}" for name, reason in result["left_out"].items()),
        f"fastest sparse / fastest dense: {result['sparse_to_dense']:.3f}; frames read predict {ratio:.3f}",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="as torch names it")
    parser.add_argument("--size", choices=SIZES, help="default: 1.3b on a GPU, else medium")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), help="default: bfloat16 on a GPU")
    parser.add_argument("--heads", type=int, help="fewer than the model has, for a slow device; default: all")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--json", type=Path, help="write the numbers to this file too")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    gpu = device.type == "cuda"
    torch.set_num_threads(1)
    dtype = getattr(torch, arguments.dtype or ("bfloat16" if gpu else "float32"))
    size = arguments.size or ("1.3b" if gpu else "medium")
    result = measure(size, shape_of(size, arguments.heads), device, dtype, arguments.rounds)
    print(report(result))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
