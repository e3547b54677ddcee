"""Choose what runs beside the sampling on this machine, and decode on a CUDA stream of its own."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import comfy.model_management
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ...memflow_core.config import LatentShape
from ...memflow_core.estimate import Decode
from .control import ControlUse
from .taehv import is_light

IN_STREAM, IN_THREAD = "stream", "thread"
# of the VAEs: what a decode does not use
ENCODER = ("encoder.", "conv1.")


@dataclass(frozen=True)
class Overlap:
    """What runs beside the sampling of the next chunk.

    decode  IN_STREAM: on a CUDA stream of its own. IN_THREAD: in a thread. None: before the next chunk is sampled.
    encode  whether frames are encoded in a thread; else before the next chunk is sampled.
    why     the reason for `decode`, a sentence.
    """

    decode: str | None
    encode: bool
    why: str


OFF = Overlap(None, False, "it is switched off.")


def overlap_of(device: torch.device, vae_device: torch.device) -> Overlap:
    """What a model and a VAE on these devices are fit for."""
    if device.type == vae_device.type == "cuda":
        where = "a CUDA stream of its own" if same_device(device, vae_device) else "a GPU of its own"
        return Overlap(IN_STREAM, True, f"the VAE decodes on {where}.")
    if vae_device.type != device.type == "cpu":
        return Overlap(None, True, f"the model samples on the CPU, and waits for the VAE on {vae_device.type}.")
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
    """What a model and a VAE are fit for on the devices that this machine usually gives them."""
    return overlap_of(comfy.model_management.get_torch_device(), comfy.model_management.vae_device())


def same_device(one: torch.device, other: torch.device) -> bool:
    """Whether two devices are one; without an index it is the first."""
    return one.type == other.type and (one.index or 0) == (other.index or 0)


def decode_of(model: Any, vae: Any, shape: LatentShape) -> Decode:
    """Memory that decoding chunk by chunk takes."""
    beside = overlap_of(model.load_device, vae.device).decode is not None
    apart = not same_device(model.load_device, vae.device)
    return Decode.of(shape, vae.patcher.model_size(), vae.vae_dtype.itemsize, is_light(vae), beside, apart=apart)


class SideStream:
    """A CUDA stream for the decode, beside the one on which the model samples. Only for the sampler's thread.

    One thread launches all work, so ComfyUI's model management is used from one thread, as ever. What is allocated on
    this stream is used on it; of what crosses over, latents are recorded and frames leave through pinned memory. To
    another GPU latents go by a third stream, since a copy between two waits for the decode before it.

    control     what is used of control, which encodes pictures before each chunk.
    overlapped  how many decodes the sampling did not wait for.
    """

    def __init__(self, model: Any, vae: Any, control: ControlUse | None = None):
        used = [model, vae.patcher, *([] if control is None else control.patchers(model))]
        self._patchers = list({id(patcher): patcher for patcher in used}.values())
        self._encodes = None if control is None else control.vae.patcher
        self._device = model.load_device
        self._apart = not same_device(model.load_device, vae.device)
        self._stream = torch.cuda.Stream(vae.device)
        self._sender = torch.cuda.Stream(model.load_device) if self._apart else None
        self.overlapped = 0

    @contextmanager
    def current(self) -> Iterator[None]:
        """Launch on this stream for as long as the context lasts, behind what the sampler launched so far."""
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            yield

    def run(self, work: Callable[[Tensor], Any], latents: Tensor) -> Any:
        """Run `work(latents)` on this stream, behind what the sampler launched so far. latents: [1, C, F, h, w].

        The sampler continues beside it on two GPUs, or if model and VAE are on one as a whole. Offloaded weights are
        copied in the order of one stream for each GPU, so else the sampler waits.
        """
        sampler = torch.cuda.current_stream(self._device)
        if self._sender is not None:
            latents = self._sent(latents, self._sender)
        with self.current():
            if latents.device == self._stream.device:
                latents.record_stream(self._stream)
            result = work(latents)
        if self._apart or all(_is_resident(one, whole=one is self._encodes) for one in self._patchers):
            self.overlapped += 1
        else:
            sampler.wait_stream(self._stream)
        return result

    def _sent(self, latents: Tensor, sender: torch.cuda.Stream) -> Tensor:
        """A copy of latents [1, C, F, h, w] on the VAE's GPU, for which this stream waits and the sampler does not."""
        sender.wait_stream(torch.cuda.current_stream(self._device))
        # a copy runs on the current stream of the GPU it comes from, and both GPUs' current streams wait for it
        with torch.cuda.stream(sender), torch.cuda.stream(self._stream):
            sent = latents.to(self._stream.device, non_blocking=True)
        latents.record_stream(sender)
        return sent

    def wait(self) -> None:
        """Wait until nothing runs on this stream, so that weights may be moved."""
        self._stream.synchronize()


def _is_resident(patcher: Any, whole: bool = False) -> bool:
    """Whether all weights that a run uses are on their device, so that none is copied there in the run.

    With dynamic VRAM a weight comes when it is first used, and a VAE's encoder may never be. whole: all are used.
    """
    part = patcher.is_dynamic() and not whole
    return patcher.loaded_size() >= (_used_bytes(patcher) if part else patcher.model_size())


def _used_bytes(patcher: Any) -> int:
    """Bytes of a patcher's weights but for those that only an encode of pictures uses."""
    tensors = patcher.model.state_dict(keep_vars=True).items()
    return sum(weight.nbytes for name, weight in tensors if not name.startswith(ENCODER))


class Stopped(BaseException):
    """Work in a thread was given up. Like a cancel it is no error of the work."""


class Stop:
    """A way to end torch's work in one thread at its next operation.

    ComfyUI's own flag for a cancel would do it too, but it is one for all: it belongs to whichever prompt runs, and to
    set or clear it could stop another one, or lose its cancel.
    """

    def __init__(self) -> None:
        self._asked = threading.Event()

    def ask(self) -> None:
        """Let the work raise Stopped. From any thread."""
        self._asked.set()

    @contextmanager
    def heeded(self) -> Iterator[None]:
        """Heed the request on this thread, for as long as the context lasts."""
        with _Heeding(self._asked):
            yield


class _Heeding(TorchFunctionMode):
    def __init__(self, asked: threading.Event) -> None:
        super().__init__()
        self._asked = asked

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if self._asked.is_set():
            raise Stopped
        return function(*args, **(kwargs or {}))


def _cores() -> int:
    """How many CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
