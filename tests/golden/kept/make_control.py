"""Made the kept states of streams under control, the first that there were.

    OMP_NUM_THREADS=1 .venv/bin/python tests/golden/kept/make_control.py

was run once, on a CPU. As of `make.py`, the files are not to be made anew, and this program refuses to replace one.

core/control_branch.safetensors  a control branch beside core/model.safetensors, of random numbers.
core/steered, core/remade        states of streams that pictures steer, and that are made from them: as the other cases.

Pictures and their encoder are those of `tests/core/controls.py`: `Ramps` and `LookingBack`.
"""

from __future__ import annotations

import torch
from make import KEPT, SMALL, embedding, keep, keep_what_followed, make, small_model
from safetensors.torch import save_file

from memflow_core.config import LatentShape, MemoryConfig, ModelConfig, SamplingConfig
from memflow_core.model import Backbone, WanControl, control_channels
from memflow_core.state import StreamState, capture, resume
from memflow_core.stream import Stream
from tests.core.controls import KEPT_CONTROLS

SAMPLING = SamplingConfig(steps=(1000, 500))


def small_branch() -> WanControl:
    config = ModelConfig(**SMALL)
    tree, generator = WanControl(config, 1, control_channels(config.in_channels)), torch.Generator().manual_seed(12)
    for name, weight in tree.named_parameters():
        if "norm" not in name:
            weight.data = torch.randn(weight.shape, generator=generator) * (0.2 if weight.ndim > 1 else 0.1)
    return tree.requires_grad_(False)


def keep_control() -> None:
    branch = small_branch()
    save_file(branch.state_dict(), keep("core/control_branch.safetensors"))
    model = Backbone(small_model().tree, control=branch)
    memory = MemoryConfig(retrieval="prompt", record_every=1, bank_frames=4, sink_frames=3, window_frames=6)
    for case, control in KEPT_CONTROLS.items():
        stream = Stream(model, LatentShape(2, 4), memory=memory, sampling=SAMPLING, seed=5, frames=100)
        stream.control = control()
        stream.set_prompt(embedding(0))
        make(stream, 4)
        state = capture(stream)
        whole = [*make(stream, 2)]
        stream.set_prompt(embedding(3), "recache")
        whole += make(stream, 1)
        for kept in (state, state.compact()):
            name = f"core/{case}.{kept.content}"
            kept.save(keep(f"{name}.safetensors"))
            again = resume(StreamState.load(KEPT / f"{name}.safetensors"), model)
            again.control = control()
            keep_what_followed(f"{name}.after.safetensors", kept, again, whole)


if __name__ == "__main__":
    keep_control()
