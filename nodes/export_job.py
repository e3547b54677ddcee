"""MemFlow Export Job: write the graph to a file that `memflow render` makes, here or on other machines."""

from __future__ import annotations

import json

from comfy_api.latest import io

from ..memflow_core.render import JOB_FORMAT
from . import host
from .io_types import CATEGORY


class MemFlowExportJob(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MemFlowExportJob",
            display_name="MemFlow Export Job",
            category=CATEGORY,
            description="Writes this workflow as a job file, to be rendered without a browser: python -m "
            "memflow_core.render FILE. Run this node alone, by the play button above it, to write the file and make "
            "nothing.",
            search_aliases=["batch render", "headless", "queue", "cluster", "render farm", "save api"],
            inputs=[
                io.String.Input(
                    "filename_prefix",
                    default="jobs/story",
                    tooltip="Name of the file, jobs/story (default), in ComfyUI's output folder. Subfolders and "
                    "%date:yyyy-MM-dd% work. A number is added; no file is ever replaced.",
                ),
            ],
            outputs=[
                io.String.Output(
                    display_name="file", tooltip="Where the job file is, as a whole path: for a note, or for a log."
                ),
            ],
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo, io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    def fingerprint_inputs(cls, filename_prefix: str) -> float:  # noqa: ARG003
        # the graph around it may have changed, though its own inputs have not; NaN is equal to nothing
        return float("nan")

    @classmethod
    def execute(cls, filename_prefix: str) -> io.NodeOutput:
        file = host.new_output_file(filename_prefix, "json", width=0, height=0, keep=True)
        graph = {id: node for id, node in (cls.hidden.prompt or {}).items() if id != cls.hidden.unique_id}
        workflow = (cls.hidden.extra_pnginfo or {}).get("workflow")
        job = {"format": JOB_FORMAT, "version": 1, "name": file.path.stem, "prompt": graph, "workflow": workflow}
        file.path.write_text(json.dumps(job, ensure_ascii=False, indent=1), encoding="utf-8")
        return io.NodeOutput(str(file.path), ui={"text": (str(file.path),)})
