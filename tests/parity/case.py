"""A recording, the settings it was made with, and the comparison of our results with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from memflow_core.config import LatentShape, MemoryConfig, ModelConfig, SamplingConfig
from memflow_core.model import Backbone, Compiler, WanModel
from memflow_core.parallel import Group, ParallelBackbone

TOLERANCE = 2e-5
# without a window limit the published program still attends to 21 latent frames at most
UNLIMITED_WINDOW = 21
SMA_FRAMES = 3  # a literal in the published code


@dataclass
class Check:
    """Largest errors of one case with their tolerances, and decisions that differ.

    least_tolerance  every tolerance is at least this.
    """

    errors: list[tuple[str, float, float]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    least_tolerance: float = 0.0

    def close(self, name: str, ours: Tensor, golden: Tensor, tolerance: float = TOLERANCE) -> None:
        if ours.shape != golden.shape:
            self.wrong.append(f"{name} has shape {list(ours.shape)}, recorded {list(golden.shape)}")
            return
        error = (ours.cpu().double() - golden.cpu().double()).abs().max().item() if golden.numel() else 0.0
        self.errors.append((name, error, max(tolerance, self.least_tolerance)))

    def equal(self, name: str, ours: object, golden: object) -> None:
        if ours != golden:
            self.wrong.append(f"{name} is {ours}, recorded {golden}")

    @property
    def worst(self) -> tuple[str, float, float]:
        return max(self.errors, key=lambda entry: entry[1] / entry[2], default=("nothing compared", float("nan"), 0.0))

    @property
    def passed(self) -> bool:
        # written so that NaN fails
        return not self.wrong and bool(self.errors) and all(error <= limit for _, error, limit in self.errors)


@dataclass(frozen=True)
class Way:
    """How the forward pass is run.

    reader    reads the frames that SMA chooses.
    compiler  compiles the steps around attention; None: they run as they are.
    group     shares every pass with other processes, each of which replays the case; None: with none.
    """

    reader: str = "gather"
    compiler: Compiler | None = None
    group: Group | None = None


CPU = torch.device("cpu")
# other devices add up in another order
DEVICE_TOLERANCE = 1e-4
WAYS = {
    "plain": Way(),
    "fused": Way(reader="fused"),
    # compiled, except for the machine code, which needs a C++ compiler
    "traced": Way(compiler=partial(torch.compile, backend="aot_eager", dynamic=False)),
    "compiled": Way(compiler=partial(torch.compile, dynamic=False)),
}


@dataclass(frozen=True)
class Case:
    """One recording: its description, its tensors, and the files it shares with others.

    device  where models and streams of it compute. The recording itself is read on the CPU.
    """

    path: Path
    way: Way = WAYS["plain"]
    device: torch.device = CPU

    @cached_property
    def info(self) -> dict:
        return json.loads(self.path.read_text())

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        return self.load(self.path.stem)

    def load(self, name: str) -> dict[str, Tensor]:
        return load_file(self.path.with_name(f"{name}.safetensors"))

    def file(self, role: str) -> Path:
        return self.path.with_name(self.info["files"][role])

    @cached_property
    def model(self) -> ModelConfig:
        sizes = self.info["model"]
        return ModelConfig(
            dim=sizes["dim"],
            num_heads=sizes["num_heads"],
            num_layers=sizes["num_layers"],
            ffn_dim=sizes["ffn_dim"],
            text_dim=sizes["text_dim"],
            freq_dim=sizes["freq_dim"],
            in_channels=sizes["in_dim"],
            out_channels=sizes["out_dim"],
            eps=sizes.get("eps", 1e-6),
        )

    @cached_property
    def memory(self) -> MemoryConfig:
        kwargs = self.info["model_kwargs"]
        attended = UNLIMITED_WINDOW if kwargs["local_attn_size"] == -1 else kwargs["local_attn_size"]
        return MemoryConfig(
            retrieval="reference",
            positions="absolute",
            sink_frames=kwargs["sink_size"],
            window_frames=attended - kwargs["sink_size"],
            bank_frames=kwargs["bank_size"],
            record_every=kwargs["record_interval"],
            global_sink=self.info.get("global_sink", True),
            top_k=(min(SMA_FRAMES, kwargs["sink_size"] + kwargs["bank_size"]) or None) if kwargs["SMA"] else None,
            record="latest" if self.info["case"] == "pipeline_single" else "interval",
        )

    @cached_property
    def sampling(self) -> SamplingConfig:
        return SamplingConfig(
            steps=tuple(self.info["denoising_step_list"]),
            shift=self.info["model_kwargs"]["timestep_shift"],
            warp=self.info["warp_denoising_step"],
            context_noise=self.info["context_noise"],
            chunk_frames=self.info["model"]["num_frame_per_block"],
        )

    def shape(self, batch: int) -> LatentShape:
        return LatentShape(self.info["model"]["latent_h"], self.info["model"]["latent_w"], batch)

    def backbone(self, state_dict: dict[str, Tensor], dtype: torch.dtype = torch.float32) -> Backbone:
        tree = WanModel(self.model)
        tree.load_state_dict(state_dict)
        tree = tree.to(self.device, dtype).requires_grad_(False)
        options: dict[str, Any] = {"reader": self.way.reader, "compiler": self.way.compiler}
        if self.way.group is not None:
            return ParallelBackbone(tree, dtype, group=self.way.group, **options)
        return Backbone(tree, dtype, **options)


class RecordedNoise:
    """Noise of a recording.

    noise    of each chunk's start, [B, frames, C, h, w].
    renoise  of the later steps, [blocks, step, B * F, C, h, w].
    """

    def __init__(self, noise: Tensor, renoise: Tensor):
        self.noise, self.renoise = noise, renoise

    def chunk(self, index: int) -> Callable[[tuple[int, ...]], Tensor]:
        def draws() -> Iterator[Tensor]:
            frames = self.renoise.shape[2] // self.noise.shape[0]
            yield self.noise[:, index * frames : (index + 1) * frames].transpose(1, 2)
            for step in self.renoise[index]:
                yield step.unflatten(0, (self.noise.shape[0], frames)).transpose(1, 2)

        drawn = draws()
        return lambda shape: next(drawn).reshape(shape)
