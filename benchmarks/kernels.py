"""Do our kernels fit on every card? `python -m benchmarks.kernels [--capabilities 80 86 ...] [--first]`

Compiles them ahead of time, for NVIDIA cards by compute capability: the fused reader in every tiling and both ways of
use, and RoPE with cache write in its three forms. No GPU is needed. Prints shared memory against the card's limit,
registers and spills of a thread, and seconds. Exits with 1 where a card has not a single form of a kernel that fits.
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
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

# bytes of shared memory that a block may have
SHARED_LIMITS = {75: 64, 80: 163, 86: 99, 89: 99, 90: 227, 120: 99}
SHARED_LIMITS = {capability: 1024 * kib for capability, kib in SHARED_LIMITS.items()}
CAPABILITIES = (80, 86, 89, 90, 120)
HEAD_DIM = 128
STAGES = 3  # Triton's own choice, where a kernel has no loop


@dataclass(frozen=True)
class Build:
    """A kernel in one form.

    kernel     the module that it is of, in the room of attention, which imports it where there is a GPU alone.
    function   its name there.
    form       what tells it from the kernel's other forms, in words.
    constants  what is fixed as it is compiled.
    kinds      types of arguments that are not 32-bit integers.
    """

    kernel: str
    function: str
    form: str
    constants: dict[str, Any]
    kinds: dict[str, str]
    warps: int
    stages: int


def reader_builds() -> list[Build]:
    """The fused reader, the first tiling first."""
    import torch

    module = attention_module("topk_triton")
    halves = dict.fromkeys(("q_at", "keys", "values", "out_at", "done_at"), "*bf16")
    ways = {False: "alone", True: "after another's window"}
    builds = []
    for tiling in module.HALF_TILINGS:
        for goes_on in ways:
            constants = {
                "QUERIES": tiling.queries,
                "KEYS": tiling.keys,
                "HEAD_DIM": HEAD_DIM,
                "WIDTH": HEAD_DIM,
                "GOES_ON": goes_on,
                "PRECISION": module.precision_of(torch.bfloat16),
                "LOG2_E": module.LOG2_E,
            }
            kinds = {"chosen": "*i64", "total_at": "*fp32" if goes_on else "*bf16", "scale": "fp32", **halves}
            form = f"{tiling}, {ways[goes_on]}"
            builds.append(Build("topk_triton", "_topk_attention", form, constants, kinds, tiling.warps, tiling.stages))
    return builds


def write_builds() -> list[Build]:
    """RoPE with cache write: of absolute positions, of a pass without queries, of relative positions."""
    module = attention_module("rope_write_triton")
    halves = dict.fromkeys(("q_at", "turned_at", "k_at", "v_at", "keys_at", "values_at"), "*bf16")
    forms = {"absolute": (True, True), "absolute, keys alone": (False, True), "relative": (True, False)}
    return [
        Build(
            "rope_write_triton",
            "_rope_write",
            form,
            {"HAS_Q": has_q, "TURN_KEYS": turns, "ROWS": module.ROWS, "HEAD_DIM": HEAD_DIM, "WIDTH": HEAD_DIM},
            {"table_at": "*fp32", **halves},
            module.WARPS,
            STAGES,
        )
        for form, (has_q, turns) in forms.items()
    ]


def attention_module(name: str) -> ModuleType:
    """A module of the room of attention."""
    return import_module(f"memflow_core.attention.{name}")


def build(capability: int, one: Build) -> dict[str, Any]:
    """Compile a kernel in bfloat16 for one card. Returns what it takes."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, compile

    kernel = getattr(attention_module(one.kernel), one.function)
    names = kernel.arg_names
    kinds = one.kinds | dict.fromkeys(one.constants, "constexpr")
    signature = {name: kinds.get(name, "i32") for name in names}
    # what Triton finds out of a cache: pointers and strides that 16 divides
    known = ("_batch", "_head", "_row")
    aligned = [at for at, name in enumerate(names) if signature[name][0] == "*" or name.endswith(known)]
    source = ASTSource(
        kernel,
        signature,
        {(names.index(name),): value for name, value in one.constants.items()},
        {(at,): [["tt.divisibility", 16]] for at in aligned},
    )
    began = time.perf_counter()
    made = compile(source, GPUTarget("cuda", capability, 32), {"num_warps": one.warps, "num_stages": one.stages})
    ptx = made.asm["ptx"]
    return {
        "capability": capability,
        "kernel": one.kernel,
        "form": one.form,
        "seconds": round(time.perf_counter() - began, 1),
        "shared_bytes": made.metadata.shared,
        "shared_limit": SHARED_LIMITS[capability],
        "products": ptx.count("wgmma.mma_async") + ptx.count("mma.sync"),
        "loads_ahead": ptx.count("cp.async"),
        "wide_loads": len(re.findall(r"ld\.global[.\w:]*\.v4\.b32", ptx)),
        **resources(ptx),
    }


def resources(ptx: str) -> dict[str, int]:
    """Registers and spilled bytes of a thread, by the assembler that Triton brings; nothing where it brings none."""
    from triton import knobs

    target = re.search(r"\.target (\w+)", ptx)
    told = ""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "kernel.ptx"
        file.write_text(ptx)
        # two of them come with Triton, of which only the newer one knows the newest PTX
        for assembler in (knobs.nvidia.ptxas, knobs.nvidia.ptxas_blackwell) if target else ():
            command = [assembler.path, "-v", f"-arch={target[1]}", str(file), "-o", os.devnull]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            told = done.stderr + done.stdout if done.returncode == 0 else told
    used, spilled = re.search(r"Used (\d+) registers", told), re.search(r"(\d+) bytes spill stores", told)
    found = {"registers": used, "spilled_bytes": spilled}
    return {name: int(match[1]) for name, match in found.items() if match}


def report(built: dict[str, Any]) -> str:
    """Return a result of `build` as a line."""
    kib = f"{built['shared_bytes'] / 1024:.0f} of {built['shared_limit'] / 1024:.0f} KB"
    numbers = f"{built.get('registers', '?')} registers, {built.get('spilled_bytes', '?')} B spilled"
    name = f"sm_{built['capability']}  {built['kernel']:18} {built['form']:50}"
    return f"{name} {kib:16} {numbers}, {built['seconds']} s"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kernels", description=__doc__)
    parser.add_argument("--capabilities", nargs="+", type=int, choices=SHARED_LIMITS, default=CAPABILITIES)
    parser.add_argument("--first", action="store_true", help="only the first form of each kernel")
    parser.add_argument("--json", type=Path, help="write the numbers to this file too")
    arguments = parser.parse_args()
    if os.environ.get("TRITON_INTERPRET") == "1":
        parser.error("TRITON_INTERPRET is 1, with which nothing is compiled: unset it.")
    readers, writes = reader_builds(), write_builds()
    made = []
    for capability in arguments.capabilities:
        for one in [readers[0], writes[0]] if arguments.first else readers + writes:
            made.append(build(capability, one))
            print(report(made[-1]), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(made, indent=1) + "\n")
    fits = {(one["capability"], one["kernel"]) for one in made if one["shared_bytes"] <= one["shared_limit"]}
    tried = {(one["capability"], one["kernel"]) for one in made}
    sys.exit(0 if fits == tried else 1)


if __name__ == "__main__":
    main()
