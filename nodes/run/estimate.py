"""Estimate passes and bytes of a run, with its own model or, before that is loaded, with a usual one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from ...memflow_core.config import check_fit
from ...memflow_core.estimate import ControlWork, Decode, Estimate, Footprint, estimate
from ...memflow_core.model import ModelSize, control_weights_of, fp8_bytes_of, weights_of
from ...memflow_core.schedule import Plan
from ...memflow_core.weights import ASSETS, TINY_GENERATOR, TINY_TEXT, TINY_VAE, read_generator, read_text_encoder
from .. import host
from .control_plan import REMAKE, Steers, work_of
from .controls import control_work
from .messages import Message, message
from .request import PlanRequest, Request
from .start_state import forwards_before

USUAL, TINY = "1.3B", "tiny"
MODELS = (USUAL, TINY)
# numbers in the weights of a VAE, by latent channels: of Wan 2.1's and of Wan 2.2's
VAE_NUMBERS = {16: 126_892_531, 48: 704_688_668}
# by width of the transformer: control blocks of the published weights; of other models, one for every second block
_CONTROL_BLOCKS = {1536: 15, 5120: 8}
# by width of the transformer: sizes, and the text that names them
_SIZES = {
    1536: (ModelSize(layers=30, dim=1536, heads=12, ffn_dim=8960), "a 1.3B model in {0}"),
    3072: (ModelSize(layers=30, dim=3072, heads=24, ffn_dim=14336, channels=48), "a 5B model in {0}"),
    5120: (ModelSize(layers=40, dim=5120, heads=40, ffn_dim=13824), "a 14B model in {0}"),
}


@dataclass(frozen=True)
class UsualModel:
    """Sizes that stand for a model which is not loaded yet.

    weights      bytes of its weights.
    vae_numbers  numbers in the weights of its VAE.
    computes     the precision that it computes in here, such as float32.
    """

    name: Message
    size: ModelSize
    weights: int
    vae_numbers: int
    computes: str


def estimate_run(request: Request, plan: Plan, vae: Any) -> Footprint:
    """Estimate a run of its own model. vae: None where the run ends in a latent.

    Raises ValueError for settings that name layers which the model has not.
    """
    size = host.size_of(request.model, request.schedule.embeddings)
    check_fit(request.settings, request.sampling, size.layers)
    decode = None if vae is None else host.decode_of(request.model, vae, request.shape)
    footprint = Footprint(
        _estimate(size, request, plan, _control(request, plan, vae)),
        request.shape,
        weights=host.weight_bytes_of(request.model),
        decode=decode,
        before=forwards_before(request.state, request.sampling.chunk_frames),
        open_end=request.open_end,
    )
    return footprint.within(host.room(request.model))


def estimate_usual(
    request: PlanRequest, plan: Plan, model: UsualModel, streamed: bool, controls: Sequence[Steers] = ()
) -> Footprint:
    """Estimate a run on this machine.

    streamed  whether pictures go to a file.
    controls  what steers it, with control weights of the usual size.
    """
    decode = None
    if streamed:
        dtype = host.usual_vae_dtype()
        beside = host.usual_overlap().decode is not None
        decode = Decode.of(request.shape, model.vae_numbers * dtype.itemsize, dtype.itemsize, beside=beside)
    return Footprint(
        _estimate(model.size, request, plan, _usual_control(request, plan, model, streamed, controls)),
        request.shape,
        weights=model.weights,
        decode=decode,
        model=str(model.name),
        open_end=request.open_end,
    )


def usual_model(name: str, in_fp8: bool, dim: int = 1536) -> UsualModel:
    """Return the sizes of one of MODELS, in the precision that this machine computes in.

    in_fp8  whether the model's weights are in FP8; the tiny model's never are.
    dim     width of the transformer, for the USUAL model: 1536, 3072 or 5120.
    """
    dtype = host.usual_dtype()
    computes = str(dtype).removeprefix("torch.")
    if name == TINY:
        size, weights, vae_numbers = _tiny(dtype.itemsize)
        return UsualModel(message("the tiny story model"), size, weights, vae_numbers, computes)
    size, text = _SIZES[dim]
    size = replace(size, dtype_bytes=dtype.itemsize)
    weights = fp8_bytes_of(size) if in_fp8 else weights_of(size) * dtype.itemsize
    name_of = message(text, "FP8" if in_fp8 else computes)
    return UsualModel(name_of, size, weights, VAE_NUMBERS[size.channels], computes)


def _control(request: Request, plan: Plan, vae: Any) -> ControlWork | None:
    if request.control is None:
        return None
    return control_work(request.control, request.model, vae, plan.grid, request.control_chunks(plan))


def _usual_control(
    request: PlanRequest, plan: Plan, model: UsualModel, streamed: bool, controls: Sequence[Steers]
) -> ControlWork | None:
    if not controls:
        return None
    steers = any(control.use != REMAKE and control.strength for control in controls)
    blocks = _CONTROL_BLOCKS.get(model.size.dim, model.size.layers // 2)
    number_bytes = host.usual_vae_dtype().itemsize
    return work_of(
        controls,
        plan.grid,
        request.control_chunks(plan),
        blocks=blocks,
        weights=control_weights_of(model.size, blocks) * model.size.dtype_bytes if steers else 0,
        number_bytes=number_bytes,
        # a decode counts them
        vae_bytes=0 if streamed else model.vae_numbers * number_bytes,
    )


def _estimate(size: ModelSize, request: PlanRequest, plan: Plan, control: ControlWork | None = None) -> Estimate:
    return estimate(
        size,
        request.shape,
        memory=request.settings,
        plan=plan,
        sampling=request.sampling,
        done=request.done,
        open_end=request.open_end,
        processes=host.rank_count(),
        control=control,
    )


@cache
def _tiny(dtype_bytes: int) -> tuple[ModelSize, int, int]:
    """Read the bundled model: its size, bytes of its weights, and how many numbers its VAE holds."""
    generator = read_generator(ASSETS / TINY_GENERATOR)
    text_length = read_text_encoder(ASSETS / TINY_TEXT).config.length
    vae = host.vae_from_file(ASSETS / TINY_VAE)
    weights = sum(tensor.numel() for tensor in generator.state_dict.values())
    return ModelSize.of(generator.config, dtype_bytes, text_length), weights * dtype_bytes, host.count_vae_numbers(vae)
