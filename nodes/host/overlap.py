"""What may run beside the sampling, on this machine, and how."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import comfy.model_management
import torch
from torch import Tensor

from ...memflow_core.config import LatentShape
from ...memflow_core.footprint import Decode
from .taehv import is_light

IN_STREAM, IN_THREAD = "stream", "thread"


@dataclass(frozen=True)
class Overlap:
    """What runs beside the sampling of the next chunk.

    decode  `stream`: launched on a CUDA stream of its own. `thread`: in a thread. None: before the next chunk.
    encode  in a thread, or before the next chunk.
    why     the reason for the first, a sentence.
    """

    decode: str | None
    encode: bool
    why: str


OFF = Overlap(None, False, "it is switched off.")


def overlap_of(device: torch.device, vae_device: torch.device) -> Overlap:
    """For a model and a VAE on their devices."""
    if device.type == vae_device.type == "cuda":
        return Overlap(IN_STREAM, True, "the VAE decodes on a CUDA stream of its own.")
    if vae_device.type != "cpu":
        return Overlap(None, True, f"on {vae_device.type} there is no second stream to decode on.")
    if device.type != "cpu":
        return Overlap(IN_THREAD, True, f"the VAE decodes on the CPU while the model samples on {device.type}.")
    threads, cores = torch.get_num_threads(), _cores()
    # a core may count twice, for its two threads, and a decode takes as many as the sampling
    if 4 * threads > cores:
        return Overlap(None, True, f"torch computes in {threads} of {cores} threads of the CPU: too few are left over.")
    return Overlap(
        IN_THREAD, True, f"torch computes in {threads} of {cores} threads of the CPU, so that others can decode."
    )


def usual_overlap() -> Overlap:
    """For a model and a VAE where this machine usually has them."""
    return overlap_of(comfy.model_management.get_torch_device(), comfy.model_management.vae_device())


def decode_of(model, vae, shape: LatentShape) -> Decode:
    """What a streaming decode takes."""
    beside = overlap_of(model.load_device, vae.device).decode is not None
    return Decode.of(shape, vae.patcher.model_size(), vae.vae_dtype.itemsize, is_light(vae), beside)


class SideStream:
    """A CUDA stream for the decode, beside the one that is current when the sampler runs. For the sampler's thread.

    Only launches happen beside one another in the end, so ComfyUI's model management sees one thread as ever. What is
    allocated here is used here; of what crosses over, latents are recorded and frames leave through pinned memory.
    """

    def __init__(self, model, vae):
        self._patchers, self._device = (model, vae.patcher), model.load_device
        self._stream = torch.cuda.Stream(vae.device)
        self.beside = 0  # how many decodes the sampling did not wait for

    @contextmanager
    def current(self) -> Iterator[None]:
        """What is launched in the context runs here, behind what the sampler launched so far."""
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            yield

    def run(self, work: Callable[[Tensor], Any], latents: Tensor) -> Any:
        """work(latents), behind what the sampler launched so far.

        The sampler goes on beside it if model and VAE are on their devices as a whole. Weights that come and go with
        use do so in the order of one stream: then it waits.
        """
        sampler = torch.cuda.current_stream(self._device)
        with self.current():
            if latents.device == self._stream.device:
                latents.record_stream(self._stream)
            result = work(latents)
        if all(patcher.loaded_size() >= patcher.model_size() for patcher in self._patchers):
            self.beside += 1
        else:
            sampler.wait_stream(self._stream)
        return result

    def wait(self) -> None:
        """Until nothing runs here, and weights may go."""
        self._stream.synchronize()


@contextmanager
def threads_stopped() -> Iterator[None]:
    """For as long as the context lasts, ComfyUI's operations raise in all threads, as on a cancel."""
    comfy.model_management.interrupt_current_processing(True)
    try:
        yield
    finally:
        comfy.model_management.interrupt_current_processing(False)


def _cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
