"""Measure what keeping a moment of a real size costs the sampling: python -m benchmarks.keep [--gb N] [--folder DIR]

A moment of the 1.3B model at 832 x 480 is about 4 GB in bfloat16. Its numbers are random here; copy, checksum, write
and sync are those of a run. Printed are the seconds that the sampler's thread is held up (the copy to RAM, which on a
GPU runs in the stream's own order), the seconds that the writing takes beside it, and how much a steady load of small
torch calls, as the sampler's thread makes them, slows down meanwhile.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import torch

from memflow_core.keep import Library, SideWriter
from memflow_core.state import EXACT, StreamState

from .machine import conditions

GB = 2**30
# what an H200 was predicted to need for a chunk of 0.75 s at 832 x 480, and chunks of a prompt of 10 s
CHUNK_S, PROMPT_CHUNKS = 0.33, 13
LOAD_S = 3.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gb", type=float, default=4.0, help="size of a moment (4)")
    parser.add_argument("--folder", type=Path, help="on the disk to measure (a temporary one)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        print(json.dumps({"conditions": conditions(torch.device("cpu")), **measure(given.gb, Path(folder))}, indent=1))


def measure(gb: float, folder: Path) -> dict[str, float]:
    """Keep one moment of so many GB; returns seconds, and shares of a run on an H200."""
    source = torch.randint(-128, 127, (int(gb * GB),), dtype=torch.int8)
    alone = _calls_per_s(LOAD_S)
    start = time.perf_counter()
    copy = source.clone()
    copy_s = time.perf_counter() - start
    del source
    state = StreamState({"k": copy}, {"content": EXACT, "chunk": 1})
    told: list[str] = []
    library, wrote = Library(folder, int(4 * gb * GB), told.append), []

    def write() -> None:
        begun = time.perf_counter()
        library.keep_moment("0" * 32, 1, state)
        wrote.append(time.perf_counter() - begun)

    with SideWriter(GB, told.append) as writer:
        if not writer.reserve(copy.nbytes):
            raise RuntimeError("a writer that is idle takes a moment of any size")
        writer.put(copy.nbytes, write)
        beside = _calls_per_s(LOAD_S)
    if told:
        raise RuntimeError(told[0])
    run_s = CHUNK_S * PROMPT_CHUNKS
    return {
        "gb": gb,
        "copy_s": round(copy_s, 3),
        "write_s": round(wrote[0], 3),
        "write_gb_per_s": round(gb / wrote[0], 3),
        "calls_beside_over_alone": round(beside / alone, 3),
        "seconds_between_moments_on_h200": round(run_s, 2),
        "writes_that_keep_up": bool(wrote[0] < run_s),
        "copy_share_of_run": round(copy_s / run_s, 4),
    }


def _calls_per_s(seconds: float) -> float:
    """Small calls of torch in a second, on this thread: what launching a chunk is made of."""
    x, calls = torch.zeros(64), 0
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        for _ in range(200):
            x = x + 1
        calls += 200
    return calls / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
