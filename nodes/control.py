"""MemFlow Load Control and MemFlow Control: control weights beside a model, and pictures that steer a story."""

from __future__ import annotations

from comfy_api.latest import io

from ..memflow_core.schedule import ScheduleError, parse_time
from ..memflow_core.weights import ASSETS, TINY_CONTROL, read_control
from . import host
from .io_types import CATEGORY, ControlType
from .run import MOST_STRENGTH, USES, Controls, add_control

BUNDLED = f"{TINY_CONTROL} (comes with MemFlow)"


class MemFlowLoadControl(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MemFlowLoadControl",
            display_name="MemFlow Load Control",
            category=CATEGORY,
            description="Puts control weights (VACE) beside a streaming Wan model of the same size, so that MemFlow "
            "Control can steer it by pictures. The model itself stays as it is.",
            search_aliases=["vace", "controlnet", "depth", "pose", "scribble", "inpainting", "load control"],
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="A streaming Wan model of the Wan 2.1 VAE (1.3B or 14B), from any loader. LoRAs may come "
                    "before or behind this node.",
                ),
                io.Combo.Input(
                    "control_name",
                    options=[*host.model_files("diffusion_models"), BUNDLED],
                    tooltip="The control weights' file, from models/diffusion_models: a VACE module, or a whole VACE "
                    "model, of which its control part is taken. Of the model's size: 1.3B for 1.3B. Press R to refresh "
                    "the list. The last one is MemFlow Tiny Story Model's own: its characters walk where a mark is "
                    "drawn.",
                ),
            ],
            outputs=[
                io.Model.Output(
                    display_name="model",
                    tooltip="The model with control weights beside it: connect to a MemFlow sampler.",
                )
            ],
        )

    @classmethod
    def execute(cls, model, control_name) -> io.NodeOutput:
        bundled = control_name == BUNDLED
        path = ASSETS / TINY_CONTROL if bundled else host.model_path("diffusion_models", control_name)
        return io.NodeOutput(host.with_control(model, lambda: read_control(path)))


def _time_inputs() -> list[io.Input]:
    return [
        io.String.Input(
            "start",
            default="0s",
            tooltip="Where the first picture stands on the story's clock: 0s (default), 10s, 0:10, 160 (a video "
            "frame), 12c (a chunk) or 50%. With a state it is still counted from the story's start.",
        ),
        io.String.Input(
            "end",
            default="",
            tooltip="Where it ends, written as start. Empty (default): where its pictures end, or the next control "
            "starts. From there on nothing steers; no picture is used again.",
        ),
    ]


class MemFlowControl(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MemFlowControl",
            display_name="MemFlow Control",
            category=CATEGORY,
            description="Steers a stretch of a story by pictures, frame for frame: depth, pose, scribble, lineart, "
            "optical flow, inpainting and outpainting masks, a first and last picture, or a video to remake. Several "
            "of these nodes follow one another.",
            search_aliases=["vace", "controlnet", "depth", "pose", "inpaint", "outpaint", "first last frame", "v2v"],
            inputs=[
                io.Vae.Input("vae", tooltip="The Wan 2.1 VAE, by Load VAE, which reads the pictures chunk by chunk."),
                io.MultiType.Input(
                    "pictures",
                    types=[io.Image, io.Video],
                    tooltip="IMAGE or VIDEO: a picture for each video frame of the story. A VIDEO from a file is read "
                    "while the story is made, at the sampler's fps, and never held in memory. They are resized to fill "
                    "the story's size, and cropped evenly.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=MOST_STRENGTH,
                    step=0.01,
                    tooltip="How strongly the pictures steer, from 0 to 10. 1 (default) is what the weights were "
                    "trained for; 0 is as if the control were not there.",
                ),
                *_time_inputs(),
                io.Combo.Input(
                    "use",
                    options=list(USES),
                    default=USES[0],
                    tooltip="steer (default): the pictures are depth, pose, lines or the like, which the story "
                    "follows. show: they are to be seen as they are, such as a first or a last picture. With a mask "
                    "connected, the mask says which parts are kept. remake: chunks that the pictures fill are made "
                    "from them (video to video), without control weights; the strength, up to 1, is how much of them "
                    "stays.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="White is made anew, black keeps the picture: for inpainting and outpainting. One mask for "
                    "all pictures, or one for each; pictures without one are made anew.",
                ),
                ControlType.Input(
                    "control",
                    optional=True,
                    tooltip="Another MemFlow Control, before or after this one on the story's clock. Two must not "
                    "overlap.",
                ),
            ],
            outputs=[
                ControlType.Output(
                    display_name="control",
                    tooltip="Connect to a MemFlow sampler, or to the next MemFlow Control.",
                )
            ],
        )

    @classmethod
    def validate_inputs(cls, start=None, end=None) -> bool | str:
        # None where a link feeds the widget
        for name, text in (("start", start), ("end", end)):
            try:
                if text is not None and text.strip():
                    parse_time(text)
            except ScheduleError as error:
                return host.refused(f"{name}: {error}")
        return True

    @classmethod
    def execute(
        cls, vae, pictures, strength: float, start: str, end: str, use: str, mask=None, control: Controls | None = None
    ) -> io.NodeOutput:
        more = {"mask": mask, "strength": strength, "use": use, "start": start, "end": end}
        return io.NodeOutput(add_control(control, pictures, vae, **more))
