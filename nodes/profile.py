"""MemFlow Model Profile: say what a model was trained with."""

from __future__ import annotations

from comfy_api.latest import io

from ..memflow_core.profiles import AUTO, Picked, pick
from . import host
from .inputs import profile_input
from .io_types import CATEGORY
from .run import parse_steps, profile_lines

AS_PROFILE = 0


class MemFlowProfile(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MemFlowProfile",
            display_name="MemFlow Model Profile",
            category=CATEGORY,
            description="Says what a model from any loader was trained with, where its file's name does not, and "
            "changes single values: latent frames (4 video frames each) of a chunk, and steps of the first one.",
            search_aliases=["chunk size", "frame-wise", "causal forcing", "num_frame_per_block", "longlive 2", "krea"],
            inputs=[
                io.Model.Input("model", tooltip="A model for streaming, from any loader, with LoRAs if you like."),
                profile_input(),
                io.Int.Input(
                    "chunk_frames",
                    default=AS_PROFILE,
                    min=AS_PROFILE,
                    max=64,
                    optional=True,
                    tooltip="Latent frames (4 video frames each) that are made together, up to 64. 0 (default): as "
                    "the profile says. Weights make what they were trained with: 1, 3 or 8.",
                ),
                io.String.Input(
                    "first_steps",
                    default="",
                    optional=True,
                    tooltip="Denoising steps of the first chunk alone, as on the sampler: 1000, 750, 500, 250. Empty "
                    "(default): as the profile says. Models of one or two steps begin better with more.",
                ),
            ],
            outputs=[
                io.Model.Output(
                    display_name="model", tooltip="The same model, with its profile: connect to a MemFlow sampler."
                )
            ],
        )

    @classmethod
    def validate_inputs(cls, first_steps=None) -> bool | str:
        try:
            if first_steps and first_steps.strip():
                parse_steps(first_steps)
        except ValueError as error:
            return host.refused(str(error))
        return True

    @classmethod
    def execute(cls, model, profile=AUTO, chunk_frames=AS_PROFILE, first_steps="") -> io.NodeOutput:
        picked = host.profile_of(model) if profile == AUTO else pick(host.signs_of(model), profile)
        changed = picked.profile.changed(
            chunk_frames=chunk_frames or None,
            first_steps=parse_steps(first_steps) if first_steps.strip() else None,
        )
        picked = Picked(changed, picked.why)
        host.show_on_node("\n".join(map(str, profile_lines(picked))))
        return io.NodeOutput(host.with_profile(model, picked))
