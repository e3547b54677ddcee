"""What a run will come to, told before it starts: with the very model where there is one, else with its usual sizes."""

from __future__ import annotations

from functools import cache
from typing import Any

from ...memflow_core.estimate import ModelSize, estimate
from ...memflow_core.footprint import Decode, Footprint, fp8_bytes_of, weights_of
from ...memflow_core.said import Said, say
from ...memflow_core.schedule import Plan
from ...memflow_core.weights import ASSETS, TINY_GENERATOR, TINY_TEXT, TINY_VAE, read_generator, read_text_encoder
from .. import host
from .request import Request, foreseeable
from .start_state import forwards_before

USUAL, TINY = "1.3B", "tiny"
MODELS = (USUAL, TINY)
VAE_NUMBERS = 126_892_531  # in the weights of the Wan 2.1 VAE


def estimate_run(request: Request, plan: Plan, vae: Any) -> Footprint:
    """Of a run of a real model. vae: None where the run ends in a latent."""
    tree, dtype = host.wan_tree(request.model), host.dtype_of(request.model)
    embeddings = request.schedule.embeddings
    size = ModelSize(
        layers=len(tree.blocks),
        dim=tree.dim,
        heads=tree.num_heads,
        ffn_dim=tree.blocks[0].ffn[0].out_features,
        text_dim=embeddings[0].shape[-1],
        text_length=max(embedding.shape[1] for embedding in embeddings),
        channels=tree.out_dim,
        dtype_bytes=dtype.itemsize,
    )
    decode = None
    if vae is not None:
        decode = host.decode_of(request.model, vae, request.shape)
    before = forwards_before(request.state, request.sampling.chunk_frames)
    told = _footprint(request, plan, size, host.weight_bytes_of(request.model), decode, before=before)
    return told.within(host.room(request.model))


def estimate_usual(request: Request, plan: Plan, model: str, in_fp8: bool, streamed: bool) -> Footprint:
    """Of a run of one of MODELS, as this machine would run it.

    in_fp8    whether the 1.3B model's weights are in FP8.
    streamed  whether pictures go to a file.
    """
    usual, dtype = model == USUAL, host.usual_dtype()
    size, numbers, vae_weights = _usual(dtype.itemsize) if usual else _tiny(dtype.itemsize)
    vae_dtype = host.usual_vae_dtype()
    decode = None
    if streamed:
        vae_bytes = vae_weights * vae_dtype.itemsize
        beside = host.usual_overlap().decode is not None
        decode = Decode.of(request.shape, vae_bytes, vae_dtype.itemsize, beside=beside)
    in_fp8 = in_fp8 and usual
    weights = fp8_bytes_of(size) if in_fp8 else numbers * dtype.itemsize
    precision = "FP8" if in_fp8 else str(dtype).removeprefix("torch.")
    words = say("a 1.3B model in {0}", precision) if usual else say("the tiny story model")
    return _footprint(request, plan, size, weights, decode, words)


def _footprint(
    request: Request,
    plan: Plan,
    size: ModelSize,
    weights: int,
    decode: Decode | None,
    words: Said | None = None,
    before: int = 0,
) -> Footprint:
    foreseen = foreseeable(request, plan)
    told = estimate(size, request.shape, request.settings, foreseen, request.sampling, request.done)
    return Footprint(told, request.shape, weights, decode, words, before, request.open_end)


def _usual(dtype_bytes: int) -> tuple[ModelSize, int, int]:
    size = ModelSize(layers=30, dim=1536, heads=12, ffn_dim=8960, dtype_bytes=dtype_bytes)
    return size, weights_of(size), VAE_NUMBERS


@cache
def _tiny(dtype_bytes: int) -> tuple[ModelSize, int, int]:
    """The bundled model: its size, and how many numbers it and its VAE hold."""
    generator = read_generator(ASSETS / TINY_GENERATOR)
    length = read_text_encoder(ASSETS / TINY_TEXT).config.length
    vae = host.vae_from_file(ASSETS / TINY_VAE)
    weights = sum(tensor.numel() for tensor in generator.state_dict.values())
    return ModelSize.of(generator.config, dtype_bytes, length), weights, host.count_vae_numbers(vae)
