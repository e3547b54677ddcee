"""Does the fused reader's kernel fit on every card? `python -m benchmarks.kernels [--capabilities 80 86 ...] [--first]`

Compiles it ahead of time, for NVIDIA cards by compute capability, in every tiling and both ways of use. No GPU is
needed. Prints shared memory against the card's limit, registers and spills of a thread, and seconds. Exits with 1 where
a card has not a single tiling that fits.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

# bytes of shared memory that a block may have
SHARED_LIMITS = {75: 64, 80: 163, 86: 99, 89: 99, 90: 227, 120: 99}
SHARED_LIMITS = {capability: 1024 * kib for capability, kib in SHARED_LIMITS.items()}
CAPABILITIES = (80, 86, 89, 90, 120)
HEAD_DIM = 128


def the_kernel() -> ModuleType:
    """The module of the kernel, which the room of attention imports where there is a GPU alone."""
    return import_module("memflow_core.attention.topk_triton")


def build(capability: int, tiling: Any, goes_on: bool) -> dict[str, Any]:
    """Compile the kernel in bfloat16 for one card. Returns what it takes."""
    import torch
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, compile

    topk_triton = the_kernel()
    kernel = topk_triton._topk_attention
    names = kernel.arg_names
    constants = {
        "QUERIES": tiling.queries,
        "KEYS": tiling.keys,
        "HEAD_DIM": HEAD_DIM,
        "WIDTH": HEAD_DIM,
        "GOES_ON": goes_on,
        "PRECISION": topk_triton.precision_of(torch.bfloat16),
        "LOG2_E": topk_triton.LOG2_E,
    }
    kinds = {"chosen": "*i64", "total_at": "*fp32" if goes_on else "*bf16", "scale": "fp32"}
    kinds |= dict.fromkeys(constants, "constexpr")
    kinds |= dict.fromkeys(("q_at", "keys", "values", "out_at", "done_at"), "*bf16")
    signature = {name: kinds.get(name, "i32") for name in names}
    # what Triton finds out of a cache: pointers and strides that 16 divides
    known = ("_batch", "_head", "_row")
    aligned = [at for at, name in enumerate(names) if signature[name][0] == "*" or name.endswith(known)]
    source = ASTSource(
        kernel,
        signature,
        {(names.index(name),): value for name, value in constants.items()},
        {(at,): [["tt.divisibility", 16]] for at in aligned},
    )
    began = time.perf_counter()
    made = compile(source, GPUTarget("cuda", capability, 32), {"num_warps": tiling.warps, "num_stages": tiling.stages})
    ptx = made.asm["ptx"]
    return {
        "capability": capability,
        "tiling": str(tiling),
        "goes_on": goes_on,
        "seconds": round(time.perf_counter() - began, 1),
        "shared_bytes": made.metadata.shared,
        "shared_limit": SHARED_LIMITS[capability],
        "products": ptx.count("wgmma.mma_async") + ptx.count("mma.sync"),
        "loads_ahead": ptx.count("cp.async"),
        **resources(ptx),
    }


def resources(ptx: str) -> dict[str, int]:
    """Registers and spilled bytes of a thread, by the assembler that Triton brings; nothing where it brings none."""
    from triton import knobs

    target = re.search(r"\.target (\w+)", ptx)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "kernel.ptx"
        file.write_text(ptx)
        command = [knobs.nvidia.ptxas.path, "-v", f"-arch={target[1]}", str(file), "-o", os.devnull] if target else []
        done = subprocess.run(command, capture_output=True, text=True, check=False) if command else None
    told = done.stderr + done.stdout if done is not None and done.returncode == 0 else ""
    used, spilled = re.search(r"Used (\d+) registers", told), re.search(r"(\d+) bytes spill stores", told)
    found = {"registers": used, "spilled_bytes": spilled}
    return {name: int(match[1]) for name, match in found.items() if match}


def report(built: dict[str, Any]) -> str:
    """Return a result of `build` as a line."""
    kib = f"{built['shared_bytes'] / 1024:.0f} of {built['shared_limit'] / 1024:.0f} KB"
    numbers = f"{built.get('registers', '?')} registers, {built.get('spilled_bytes', '?')} B spilled"
    way = "after another's window" if built["goes_on"] else "alone"
    return f"sm_{built['capability']}  {built['tiling']:30} {way:22} {kib:16} {numbers}, {built['seconds']} s"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kernels", description=__doc__)
    parser.add_argument("--capabilities", nargs="+", type=int, choices=SHARED_LIMITS, default=CAPABILITIES)
    parser.add_argument("--first", action="store_true", help="only the first tiling, alone")
    parser.add_argument("--json", type=Path, help="write the numbers to this file too")
    arguments = parser.parse_args()
    if os.environ.get("TRITON_INTERPRET") == "1":
        parser.error("TRITON_INTERPRET is 1, with which nothing is compiled: unset it.")
    tilings = the_kernel().HALF_TILINGS
    ways = [(tilings[0], False)] if arguments.first else [(one, on) for one in tilings for on in (False, True)]
    made = []
    for capability in arguments.capabilities:
        for tiling, goes_on in ways:
            made.append(build(capability, tiling, goes_on))
            print(report(made[-1]), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(made, indent=1) + "\n")
    fits = {one["capability"] for one in made if one["shared_bytes"] <= one["shared_limit"]}
    sys.exit(0 if fits == set(arguments.capabilities) else 1)


if __name__ == "__main__":
    main()
