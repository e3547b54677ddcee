"""Does sparse memory pay? `python -m benchmarks.attention [--device cuda] [--size tiny|medium|1.3b] [--json FILE]`

Times one layer's self-attention over memory and window: dense, in every backend the device has, and sparse (SMA), in
every reader. All take turns in one process. Beside the ratio of the fastest two stands what operation counts predict.
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
from .stream.sizes import SIZES

CHUNK, MEMORY, WINDOW, TOP_K = 3, 6, 9, 3  # latent frames
KINDS = ("dense", "sparse")


def shape_of(size: str, heads: int | None) -> ReadShape:
    """A chunk of 3 latent frames over sink 3, bank 3 and window 9, of which SMA reads 3 and 9."""
    model, tokens = SIZES[size].model, SIZES[size].shape.tokens
    return ReadShape(1, heads or model.num_heads, model.head_dim, CHUNK * tokens, tokens, MEMORY, WINDOW, TOP_K)


def ways_of(shape: ReadShape, device: torch.device, dtype: torch.dtype) -> Variants:
    """Names start with `dense` or `sparse`; with `not offered` where the pack has it for no device, since it lost."""
    q, keys, values, chosen = shape.draw(dtype, device)
    whole, read = (q, keys.flatten(2, 3), values.flatten(2, 3)), (q, keys, values, chosen, shape.memory)
    ways = {f"dense: {name}": partial(way, *whole) for name, way in attention_backends(device, dtype).items()}
    ways |= {f"sparse: {name}": partial(way, *read) for name, way in memory_readers(device, dtype, sdpa).items()}
    ways["not offered: gather into new memory"] = partial(gather_anew, *read)
    if device.type == "cpu":
        ways["not offered: split, memory copied"] = partial(split_on_cpu, *read)
    return ways


def gather_anew(q: Tensor, keys: Tensor, values: Tensor, chosen: Tensor, memory: int) -> Tensor:
    k, v = (torch.cat((take_frames(x[:, :, :memory], chosen), x[:, :, memory:]), dim=2) for x in (keys, values))
    return sdpa(q, k.flatten(2, 3), v.flatten(2, 3))


def split_on_cpu(q: Tensor, keys: Tensor, values: Tensor, chosen: Tensor, memory: int) -> Tensor:
    """The window where it stands, the chosen frames copied, and both merged by log-sum-exp."""
    attend = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    near, near_total = attend(q, *(x[:, :, memory:].flatten(2, 3) for x in (keys, values)))
    far, far_total = attend(q, *(take_frames(x, chosen).flatten(2, 3) for x in (keys, values)))
    return torch.lerp(far, near, torch.sigmoid(near_total - far_total)[..., None].to(near.dtype))


def measure(size: str, shape: ReadShape, device: torch.device, dtype: torch.dtype, rounds: int) -> dict:
    ways = ways_of(shape, device, dtype)
    left_out: dict[str, str] = {}
    for dense in (True, False):  # a sparse result is not the dense one: each kind is held to its own
        kind = {name: way for name, way in ways.items() if name.startswith("dense") == dense}
        left_out |= failures(kind, next(iter(kind.values()))())
    running = {name: way for name, way in ways.items() if name not in left_out}
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


def report(told: dict) -> str:
    lines = [
        f"{told['device']}, {told['clock']}, {told['threads']} CPU threads, torch {told['torch']}, {told['dtype']}",
        f"{told['size']}: {told['shape']}; {told['rounds']} rounds, milliseconds, median and quartiles",
        *(f"{name:42} {ms['median']:9.3f}   {ms['q1']:.3f} to {ms['q3']:.3f}" for name, ms in told["ms"].items()),
        *(f"{name:42} left out: {reason}" for name, reason in told["left_out"].items()),
        f"fastest sparse / fastest dense: {told['sparse_to_dense']:.3f}; frames read predict {told['predicted']:.3f}",
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
    asked = parser.parse_args()
    device = torch.device(asked.device)
    gpu = device.type == "cuda"
    torch.set_num_threads(1)
    dtype = getattr(torch, asked.dtype or ("bfloat16" if gpu else "float32"))
    size = asked.size or ("1.3b" if gpu else "medium")
    told = measure(size, shape_of(size, asked.heads), device, dtype, asked.rounds)
    print(report(told))
    if asked.json:
        asked.json.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
