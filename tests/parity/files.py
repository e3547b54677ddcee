"""Compare the recorded scheduler, and checkpoint files in the published dialects."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from memflow_core.memory import FrameSpan
from memflow_core.stream import FlowSchedule, Stream
from memflow_core.weights import read_generator, read_lora
from memflow_core.weights.files import cast

from .case import TOLERANCE, Case, Check

MERGED_LORA_TOLERANCE = 1e-5
BF16_TOLERANCE = 6e-2


def compare_scheduler(case: Case, check: Check) -> None:
    tensors, flow = case.tensors, FlowSchedule(case.info["shift"])
    check.close("sigmas", flow.sigmas, tensors["sigmas"])
    check.close("timesteps", flow.timesteps, tensors["timesteps"], 1e-3)
    for name in (name for name in tensors if name.startswith("denoise_in_")):
        warped = tensors[name.replace("in", "warped")]
        check.close(name, torch.tensor(flow.warp(tuple(tensors[name].tolist()))), warped, 1e-3)
    for item, t in enumerate(tensors["an_t"].tolist()):
        noised = flow.add_noise(tensors["an_x0"][item], tensors["an_noise"][item], t)
        check.close("add_noise", noised, tensors["an_out"][item])
    for item, t in enumerate(tensors["cv_t"].tolist()):
        check.close("x0", flow.x0(tensors["cv_xt"][item], tensors["cv_flow"][item], t), tensors["cv_x0"][item])


def compare_checkpoints(case: Case, check: Check) -> None:
    tensors = case.tensors
    x, t, text = (tensors[name].to(case.device) for name in ("x", "t", "text"))
    x, t = x.transpose(1, 2), t[0]
    schedule = FlowSchedule(case.info["model_kwargs"]["timestep_shift"])

    def compare(name: str, state_dict: dict[str, Tensor], tolerance: float, dtype: torch.dtype = torch.float32) -> None:
        stream = Stream(case.backbone(state_dict, dtype), case.shape(x.shape[0]), memory=case.memory)
        stream.cache.layout.end = x.shape[2]
        attend = stream.attention.begin(FrameSpan(0, x.shape[2]))
        kv = stream.backbone.embed_text(text)
        flow = stream.backbone(x.to(dtype), t, kv, attend)
        check.close(f"flow_{name}", flow.transpose(1, 2).float(), tensors[f"flow_{name}"], tolerance)
        if f"x0_{name}" in tensors:
            x0 = schedule.x0(x.to(dtype), flow, t[0].item())
            check.close(f"x0_{name}", x0.transpose(1, 2).float(), tensors[f"x0_{name}"], tolerance)

    def read(role: str, which: str) -> dict[str, Tensor]:
        """Read the weights in float32, as the recorded program does whatever the file's precision."""
        generator = read_generator(case.file(role), which, case.model.num_heads)
        check.equal("sizes", replace(generator.config, eps=case.model.eps), case.model)
        return cast(generator.state_dict, torch.float32)

    base, alpha = read("base", "auto"), case.info["lora_alpha"]
    compare("base", base, TOLERANCE)
    compare("base_bf16", base, BF16_TOLERANCE, torch.bfloat16)
    compare("ema", read("base_ema", "generator_ema"), TOLERANCE)
    merged = read_lora(case.file("lora")).merge(base, alpha=alpha)
    compare("lora", merged, MERGED_LORA_TOLERANCE)
    compare("lora_merged", merged, MERGED_LORA_TOLERANCE)
    for name in (name for name in tensors if name.startswith("merged.")):
        check.close(name, merged[name.removeprefix("merged.")], tensors[name], MERGED_LORA_TOLERANCE)
    # the same LoRA in lower precision
    compare("lora", read_lora(case.file("lora_raw")).merge(base, alpha=alpha), BF16_TOLERANCE)
