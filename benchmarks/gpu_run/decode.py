"""How fast does a chunk decode? By the pack's own decoders in ComfyUI, with VAEs of true size and random weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

import torch

from memflow_core.attention import time_ms

from ..in_comfyui import random_light_decoder, random_vae
from ..machine import peak_bytes, spread
from .bench import CHUNK, Bench
from .record import sentence_of
from .speed import GIB

MEASURED = 8  # chunks
TINY_WIDTH = 8


def decode(bench: Bench, nodes: ModuleType) -> dict[str, Any]:
    """Milliseconds of a chunk and peak memory of each way to decode: as it is, laid out by channel, compiled, light."""
    import comfy.model_management as management

    found: dict[str, Any] = {}
    ways: dict[str, Callable[[Any], None]] = {"as it is": lambda _: None, "channels last": _channels_last}
    if bench.on_gpu:
        ways["channels last, compiled"] = _compiled
    vae = random_vae(TINY_WIDTH) if bench.tiny else random_vae()
    for name, change in ways.items():
        management.load_models_gpu([vae.patcher])
        found[name] = _attempt(bench, nodes, vae, change)
    light = random_light_decoder()
    management.load_models_gpu([light.patcher])
    found["light decoder"] = _attempt(bench, nodes, light, lambda _: None)
    return found


def _attempt(bench: Bench, nodes: ModuleType, vae: Any, change: Callable[[Any], None]) -> Any:
    try:
        change(vae)
        return _measured(bench, nodes, vae)
    except Exception as error:
        return sentence_of(error)


@torch.inference_mode()
def _measured(bench: Bench, nodes: ModuleType, vae: Any) -> dict[str, Any]:
    bench.clean()
    decoder, shape = nodes.host.chunk_decoder(vae), bench.size.shape
    z = torch.randn(1, vae.latent_channels, CHUNK, shape.rows, shape.columns, device=vae.device)
    for _ in range(2):
        decoder.decode_on_device(z)
    taken = [time_ms(bench.device, partial(decoder.decode_on_device, z)) for _ in range(1 if bench.tiny else MEASURED)]
    return {"ms": spread(taken), "peak_gib": peak_bytes(bench.device) / GIB, "dtype": str(vae.vae_dtype)}


def _channels_last(vae: Any) -> None:
    for module in vae.first_stage_model.decoder.modules():
        if isinstance(module, torch.nn.Conv3d):
            module.weight.data = module.weight.data.to(memory_format=torch.channels_last_3d)
        elif isinstance(module, torch.nn.Conv2d):
            module.weight.data = module.weight.data.to(memory_format=torch.channels_last)


def _compiled(vae: Any) -> None:
    vae.first_stage_model.decoder.compile(dynamic=False)
