"""MemFlow Sampler: sample a story as one latent."""

from __future__ import annotations

import torch
from comfy_api.latest import io

from . import host
from .inputs import (
    MODEL,
    REPORT,
    SCHEDULE,
    STATE,
    check_steps,
    expert_inputs,
    live_input,
    played_output,
    story_inputs,
    story_sockets,
)
from .io_types import CATEGORY, ScheduleType, StateType
from .run import Request, open_run, prepare

ALIASES = ["long video", "streaming", "self forcing", "longlive", "causal", "autoregressive", "infinite video"]


class MemFlowSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MemFlowSampler",
            display_name="MemFlow Sampler",
            category=CATEGORY,
            description="Samples a scheduled story chunk by chunk from a KV cache with memory, and returns all of it "
            "as a latent. For stories of minutes use MemFlow Stream to Video, whose memory use does not grow.",
            search_aliases=ALIASES,
            inputs=[
                io.Model.Input("model", tooltip=MODEL),
                ScheduleType.Input("schedule", tooltip=SCHEDULE),
                *story_inputs(),
                *expert_inputs(),
                *story_sockets(),
                live_input(),
            ],
            outputs=[
                io.Latent.Output(
                    display_name="latent",
                    tooltip="All that this run made, as one latent: connect to VAE Decode, which gives its pictures.",
                ),
                StateType.Output(display_name="state", tooltip=STATE),
                io.String.Output(display_name="report", tooltip=REPORT),
                played_output(),
            ],
        )

    @classmethod
    def validate_inputs(cls, steps=None) -> bool | str:
        # ComfyUI checks the range of no widget that is named here
        return check_steps(steps)

    @classmethod
    def execute(cls, model, schedule, **settings) -> io.NodeOutput:
        """settings: the other fields of Request."""
        request = Request(model, schedule, **settings)
        plan = prepare(request)
        latents = []
        with open_run(request, plan) as run:
            for chunk in run:
                latents.append(host.to_latent(model, chunk.latents))
                run.announce(chunk)
            latent = {"samples": torch.cat(latents, dim=2)}
            return io.NodeOutput(latent, run.state(), run.report(), run.played(), ui=run.ui())
