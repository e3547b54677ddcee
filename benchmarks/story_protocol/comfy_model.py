"""Any streaming Wan model as the protocol needs it, through the pack's nodes and ComfyUI's own loaders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from memflow_core.config import LatentShape, MemoryConfig, SamplingConfig
from memflow_core.estimate import estimate
from memflow_core.model import Backbone
from memflow_core.profiles import Signs, pick
from memflow_core.schedule import ChunkGrid, Time, read_schedule
from memflow_core.weights import read_generator, read_lora


@dataclass(frozen=True)
class Files:
    """Files of a model: generator, text encoder, VAE, and a LoRA if there is one."""

    model: Path
    text: Path
    vae: Path
    lora: Path | None = None


class ComfyModel:
    """Implements `StoryModel`. Raises ValueError for files that are not such ones.

    width, height  of the picture; None: the profile's.
    memory         that stories are played with, for the room on the device.
    """

    def __init__(
        self,
        nodes: ModuleType,
        files: Files,
        *,
        memory: MemoryConfig,
        width: int | None = None,
        height: int | None = None,
        dtype: str = "default",
    ):
        import comfy.sd
        import comfy.utils

        self.name = files.model.name
        self._host, self._memory = nodes.host, memory
        generator = read_generator(files.model)
        lora = None if files.lora is None else read_lora(files.lora)
        sizes = generator.config
        signs = Signs(
            files.model.name, generator.metadata, sizes.dim, sizes.in_channels, files.lora.name if files.lora else ""
        )
        profile = pick(signs).profile
        self.sampling: SamplingConfig = profile.sampling
        self.grid = ChunkGrid(profile.sampling.chunk_frames, profile.fps)
        self.shape = LatentShape(
            (height or profile.height) // profile.pixels, (width or profile.width) // profile.pixels
        )
        self._model = self._host.wan_model(generator, dtype, lambda: read_generator(files.model))
        if lora is not None:
            lora.check_fits(generator.state_dict)
            self._model = self._host.with_lora(self._model, lora.to_comfy_keys(None), 1.0)
        self.device: torch.device | None = self._host.device_of(self._model)
        self._clip = comfy.sd.load_clip([str(files.text)], clip_type=comfy.sd.CLIPType.WAN)
        self._vae = comfy.sd.VAE(sd=comfy.utils.load_torch_file(str(files.vae)))
        self._host.check_stream_vae(self._vae, self._model)
        self._needed = 0

    def embed(self, prompts: Sequence[str]) -> list[Tensor]:
        """One embedding [1, length, text_dim] for each prompt."""
        found = [spoken.embedding for spoken in self._host.encode(self._clip, list(prompts))]
        self._host.check_text_width(self._model, found)
        plan = read_schedule("0s: a").place(self.grid, Time(20, "chunks"))
        size = self._host.size_of(self._model, found)
        needed = estimate(size, self.shape, memory=self._memory, plan=plan, sampling=self.sampling).device_bytes
        self._needed = max(self._needed, needed)
        return found

    @contextmanager
    def ready(self) -> Iterator[Backbone]:
        """The model on its device with its VAE. Prompts are embedded before."""
        latents = (
            1,
            self._host.latent_channels_of(self._model),
            self.sampling.chunk_frames,
            self.shape.rows,
            self.shape.columns,
        )
        with self._host.sampling(self._model, latents, self._needed, self._vae) as backbone:
            yield backbone

    def pictures(self) -> ComfyPictures:
        """A decoder at the start of a video."""
        return ComfyPictures(self._host, self._model, self._vae)


class ComfyPictures:
    """Implements `Pictures` by the pack's own decoder."""

    def __init__(self, host: Any, model: Any, vae: Any):
        self._host, self._model = host, model
        self._decoder = host.chunk_decoder(vae)

    def decode(self, latents: Tensor) -> Tensor:
        return self._decoder.decode(self._host.to_latent(self._model, latents))

    def state(self) -> object:
        return self._decoder.state()

    def restore(self, state: Any) -> None:
        self._decoder.restore(state)
