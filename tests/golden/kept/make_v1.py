"""Made the kept states of version 1, in a checkout of commit 31b158c, the last that wrote them.

    OMP_NUM_THREADS=1 python PATH/TO/make_v1.py

was run once, on a CPU, in the root of such a checkout, after `make.py` had made its files. As with those, these are NOT
to be made anew by later code. The states are of the small model of `make.py`; `core/v1_CASE.after.safetensors` holds
the latents of the chunks that the old code made next, and what it told of them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path.cwd()))

import torch
from memflow_core.backbone import Backbone
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from memflow_core.config import MemoryConfig, ModelConfig, SamplingConfig
from memflow_core.model import WanModel
from memflow_core.state import VERSION, StreamState, capture, resume
from memflow_core.stream import LatentShape, Stream

KEPT = Path(__file__).resolve().parent / "core"
SMALLER = {"sink_frames": 3, "window_frames": 6}
CASES = {
    "prompt": {"retrieval": "prompt", "record_every": 1, "bank_frames": 3, "pins": (7,)},
    "reference": {"retrieval": "reference", "top_k": 3},
    "early": {"retrieval": "attention", "record_every": 1, "bank_frames": 4},
}


def small_model() -> Backbone:
    with safe_open(KEPT / "model.safetensors", framework="pt") as file:
        config = json.loads(file.metadata()["config"])
    tree = WanModel(ModelConfig(**config))
    tree.load_state_dict(load_file(KEPT / "model.safetensors"))
    return Backbone(tree.requires_grad_(False))


def embedding(number: int) -> torch.Tensor:
    text = torch.randn(1, 6, 8, generator=torch.Generator().manual_seed(100 + number))
    text[:, 4:] = 0
    return text


def make(stream: Stream, chunks: int) -> list:
    return [next(stream) for _ in range(chunks)]


def tell(case: str, backbone: Backbone) -> Stream:
    """Eight chunks with a change of prompt, in one case with another that waits; or the first two chunks alone."""
    memory = MemoryConfig(**SMALLER | CASES[case])
    stream = Stream(backbone, LatentShape(2, 4), memory, SamplingConfig(steps=(1000, 500)), 5, frames=100)
    stream.set_prompt(embedding(0))
    make(stream, 2)
    if case == "early":
        return stream
    make(stream, 2)
    stream.set_prompt(embedding(1), "recache")
    make(stream, 4)
    if case == "prompt":
        stream.pin(21)
        stream.set_prompt(embedding(2), "recache", 77)
    return stream


def main() -> None:
    assert VERSION == 1
    backbone = small_model()
    for case in CASES:
        path = KEPT / f"v1_{case}.safetensors"
        if path.exists():
            print(f"{path.name} is kept already, and is not to be made anew.")
            continue
        capture(tell(case, backbone)).save(path)
        stream = resume(StreamState.load(path), backbone)
        chunks = make(stream, 2)
        stream.set_prompt(embedding(3), "recache")
        chunks += make(stream, 1)
        told = [{"forwards": [one.kind for one in chunk.forwards], "trace": chunk.trace} for chunk in chunks]
        latents = torch.cat([chunk.latents for chunk in chunks], dim=2)
        after = {"latents": latents, "text": embedding(3)}
        save_file(after, KEPT / f"v1_{case}.after.safetensors", {"chunks": json.dumps(told)})


if __name__ == "__main__":
    main()
