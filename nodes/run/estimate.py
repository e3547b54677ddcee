"""Estimate passes and bytes of a run, with its own model or, before that is loaded, with a usual one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from ...memflow_core.config import check_fit
from ...memflow_core.estimate import Decode, Estimate, Footprint, estimate
from ...memflow_core.model import ModelSize, fp8_bytes_of, weights_of
from ...memflow_core.schedule import Plan
from ...memflow_core.weights import ASSETS, TINY_GENERATOR, TINY_TEXT, TINY_VAE, read_generator, read_text_encoder
from .. import host
from .messages import Message, message
from .request import PlanRequest, Request
from .start_state import forwards_before

USUAL, TINY = "1.3B", "tiny"
MODELS = (USUAL, TINY)
VAE_NUMBERS = 126_892_531  # in the weights of the Wan 2.1 VAE


@dataclass(frozen=True)
class UsualModel:
    """Sizes that stand for a model which is not loaded yet.

    weights      bytes of its weights.
    vae_numbers  numbers in the weights of its VAE.
    """

    name: Message
    size: ModelSize
    weights: int
    vae_numbers: int


def estimate_run(request: Request, plan: Plan, vae: Any) -> Footprint:
    """Estimate a run of its own model. vae: None where the run ends in a latent.

    Raises ValueError for settings that name layers which the model has not.
    """
    size = host.size_of(request.model, request.schedule.embeddings)
    check_fit(request.settings, request.sampling, size.layers)
    decode = None if vae is None else host.decode_of(request.model, vae, request.shape)
    footprint = Footprint(
        _estimate(size, request, plan),
        request.shape,
        weights=host.weight_bytes_of(request.model),
        decode=decode,
        before=forwards_before(request.state, request.sampling.chunk_frames),
        open_end=request.open_end,
    )
    return footprint.within(host.room(request.model))


def estimate_usual(request: PlanRequest, plan: Plan, model: UsualModel, streamed: bool) -> Footprint:
    """Estimate a run on this machine. streamed: whether pictures go to a file."""
    decode = None
    if streamed:
        dtype = host.usual_vae_dtype()
        beside = host.usual_overlap().decode is not None
        decode = Decode.of(request.shape, model.vae_numbers * dtype.itemsize, dtype.itemsize, beside=beside)
    return Footprint(
        _estimate(model.size, request, plan),
        request.shape,
        weights=model.weights,
        decode=decode,
        model=str(model.name),
        open_end=request.open_end,
    )


def usual_model(name: str, in_fp8: bool) -> UsualModel:
    """Return the sizes of one of MODELS, in the precision that this machine computes in.

    in_fp8  whether the 1.3B model's weights are in FP8; the tiny model's never are.
    """
    dtype = host.usual_dtype()
    if name == TINY:
        size, weights, vae_numbers = _tiny(dtype.itemsize)
        return UsualModel(message("the tiny story model"), size, weights, vae_numbers)
    size = ModelSize(layers=30, dim=1536, heads=12, ffn_dim=8960, dtype_bytes=dtype.itemsize)
    weights = fp8_bytes_of(size) if in_fp8 else weights_of(size) * dtype.itemsize
    precision = "FP8" if in_fp8 else str(dtype).removeprefix("torch.")
    return UsualModel(message("a 1.3B model in {0}", precision), size, weights, VAE_NUMBERS)


def _estimate(size: ModelSize, request: PlanRequest, plan: Plan) -> Estimate:
    return estimate(
        size,
        request.shape,
        memory=request.settings,
        plan=plan,
        sampling=request.sampling,
        done=request.done,
        open_end=request.open_end,
        processes=host.rank_count(),
    )


@cache
def _tiny(dtype_bytes: int) -> tuple[ModelSize, int, int]:
    """Read the bundled model: its size, bytes of its weights, and how many numbers its VAE holds."""
    generator = read_generator(ASSETS / TINY_GENERATOR)
    text_length = read_text_encoder(ASSETS / TINY_TEXT).config.length
    vae = host.vae_from_file(ASSETS / TINY_VAE)
    weights = sum(tensor.numel() for tensor in generator.state_dict.values())
    return ModelSize.of(generator.config, dtype_bytes, text_length), weights * dtype_bytes, host.count_vae_numbers(vae)
