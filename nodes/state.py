"""MemFlow Save State and MemFlow Load State: keep where a story stands in a file."""

from __future__ import annotations

from pathlib import Path

from comfy_api.latest import io

from ..memflow_core.state import COMPACT, EXACT, read_meta
from . import host
from .io_types import CATEGORY, StateType
from .run import StoryState, load_state, save_state


class MemFlowSaveState(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MemFlowSaveState",
            display_name="MemFlow Save State",
            category=CATEGORY,
            description="Saves where a story stands, to go on from there another day: make it longer, try another "
            "ending, roll one segment again.",
            search_aliases=["checkpoint", "save story", "continue video", "resume", "extend video", "kv cache"],
            inputs=[
                StateType.Input(
                    "state", tooltip="Where a story stands, from MemFlow Sampler or MemFlow Stream to Video."
                ),
                io.String.Input(
                    "filename_prefix",
                    default="story",
                    tooltip="Name of the file, story (default), in memflow_states in ComfyUI's output folder. "
                    "Subfolders and %year%-%month%-%day% work. A number is added; no file is ever replaced.",
                ),
                io.Combo.Input(
                    "content",
                    options=[COMPACT, EXACT],
                    default=COMPACT,
                    tooltip="What is saved. compact (default): the remembered pictures and prompts, about 15 MB at 832 "
                    "x 480, which are read again when the story goes on: very near to going on at once, and each time "
                    "the same. exact: everything, about 4 GB at 832 x 480, for a continuation that is the same bit by "
                    "bit.",
                ),
            ],
            outputs=[
                io.String.Output(
                    display_name="file", tooltip="Name of the file as MemFlow Load State lists it, for a note or a log."
                )
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, state: StoryState, filename_prefix: str, content: str) -> io.NodeOutput:
        file = save_state(state, filename_prefix, content)
        name = f"{(Path(file.subfolder) / file.path.name).as_posix()} [output]"
        return io.NodeOutput(name, ui={"text": (f"{name}: {file.path.stat().st_size / 1e6:.1f} MB",)})


class MemFlowLoadState(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MemFlowLoadState",
            display_name="MemFlow Load State",
            category=CATEGORY,
            description="Loads where a story stood. Connect it to the state input of a sampler, with the model, size, "
            "steps and schedule of that story.",
            search_aliases=["checkpoint", "load story", "continue video", "resume", "extend video", "branch"],
            inputs=[
                io.Combo.Input(
                    "file",
                    options=host.state_files(),
                    tooltip="A file that MemFlow Save State wrote, in memflow_states in the output folder, or one that "
                    "you put into the input folder. Press R to refresh the list.",
                ),
            ],
            outputs=[
                StateType.Output(
                    display_name="state", tooltip="Connect to the state input of a MemFlow sampler to go on from here."
                ),
                io.String.Output(
                    display_name="info",
                    tooltip="What the state is of, and what the sampler must be set to: video frames made, size, "
                    "steps, shift. Connect to Preview as Text.",
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, file: str | None = None) -> bool | str:
        # named here, so that a file which was saved a moment ago need not be in the page's list
        try:
            if file is not None:
                read_meta(host.state_path(file))
        except (ValueError, OSError) as error:
            return host.refused(str(error))
        return True

    @classmethod
    def fingerprint_inputs(cls, file: str) -> str:
        found = host.state_path(file).stat()
        return f"{found.st_mtime_ns} {found.st_size}"

    @classmethod
    def execute(cls, file: str) -> io.NodeOutput:
        state, info = load_state(host.state_path(file))
        return io.NodeOutput(state, info)
