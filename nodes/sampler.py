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
    STATE_OUTPUT,
    control_input,
    expert_inputs,
    keep_input,
    live_input,
    played_output,
    story_inputs,
    story_sockets,
)
from .io_types import CATEGORY, ScheduleType, StateType
from .run import KeptStory, Request, known_by, open_run, prepare

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
                keep_input(),
                control_input(),
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
            # a page knows what is kept by its graph alone
            hidden=[io.Hidden.prompt],
        )

    @classmethod
    def validate_inputs(cls, schedule=None) -> bool | str:  # noqa: ARG003
        # ComfyUI says a fault once for each input that is named here, and checks no range of it: so it is the link
        return host.validated()

    @classmethod
    def fingerprint_inputs(cls, **_) -> str:
        # a state is captured where something is linked to it
        return host.output_token(STATE_OUTPUT)

    @classmethod
    def execute(cls, model, schedule, *, keep_moments_gb=-1.0, **settings) -> io.NodeOutput:
        """settings: the other fields of Request."""
        request = Request(model, schedule, **settings)
        plan = prepare(request)
        with KeptStory(request, plan, keep_moments_gb, known=known_by(cls.hidden, request)) as kept:
            request = kept.take_up()
            latents = [host.to_latent(model, part.latents) for part in kept.parts]
            with open_run(request, plan, more=kept.sentences(), before=kept.before) as run:
                for chunk in run:
                    latents.append(host.to_latent(model, chunk.latents))
                    thumbnail = run.small_picture(chunk)
                    kept.add(run.stream, run.live.prompts, chunk, thumbnail)
                    run.announce(chunk, thumbnail)
                shown = run.ui()
                state = run.state() if host.is_output_read(STATE_OUTPUT) else None
        host.note_output(state is not None)
        latent = {"samples": torch.cat(latents, dim=2)}
        return io.NodeOutput(latent, state, run.report(**kept.report()), run.played(), ui=shown)
