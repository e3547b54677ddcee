"""Read malformed files in a process of its own, in little memory: python -m tests.cases.read_malformed KIND FILE...

Prints a line of JSON for each file: `kind` (honoured, refused or broken), what was said, and megabytes that it took.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from memflow_core.model import Backbone
from memflow_core.state import StreamState, resume
from memflow_core.weights import load_generator, read_lora
from tools.malformed import small_backbone

MOST_MB = 600  # beside what the process needs to start


def read_state(path: Path, backbone: Backbone) -> None:
    """Load a state, and make the next chunk of its stream."""
    stream = resume(StreamState.load(path), backbone)
    if not bool(torch.isfinite(next(stream).latents).all()):
        raise AssertionError("the stream made NaN")


def read_weights(path: Path) -> None:
    """Load a file as a generator; one that is none, as a LoRA."""
    try:
        load_generator(path, num_heads=2)
    except ValueError as error:
        try:
            read_lora(path)
        except ValueError:
            raise error from None


def outcome(read: Callable[[Path], None], path: Path) -> dict[str, object]:
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    try:
        read(path)
        said = {"kind": "honoured", "said": ""}
    except (ValueError, OSError) as error:
        said = {"kind": "refused", "said": str(error), "error": type(error).__name__}
    except Exception as error:
        said = {"kind": "broken", "said": str(error), "error": type(error).__name__}
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"file": path.name, **said, "mb": (after - before) // 1024, "cpu_s": round(time.process_time() - start, 2)}


def main() -> None:
    kind, *files = sys.argv[1:]
    backbone = small_backbone()
    # a first pass through what every file needs, so that it counts for none
    torch.set_num_threads(1)
    read: Callable[[Path], None] = read_weights
    if kind == "states":
        read = lambda path: read_state(path, backbone)  # noqa: E731
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MOST_MB * 2**20,) * 2)
    for file in files:
        print(json.dumps(outcome(read, Path(file))), flush=True)


if __name__ == "__main__":
    main()
