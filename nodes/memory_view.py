"""MemFlow Memory View: draw what the memory of a run did, and return it as JSON."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch
from comfy_api.latest import io

from .io_types import CATEGORY
from .report import MOST_CHUNK_ROWS, MOST_ROWS, ROWS, draw_sheet, frame_pictures, read_report


class MemFlowMemoryView(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MemFlowMemoryView",
            display_name="MemFlow Memory View",
            category=CATEGORY,
            description="What the memory of a run did, as a picture to share: which moments the bank held, their "
            "scores, what it let go and what was pinned, and how attention was shared out.",
            search_aliases=["memory bank", "debug", "report", "attention map", "visualize", "NAM"],
            inputs=[
                io.String.Input(
                    "report",
                    force_input=True,
                    tooltip="The output 'report' of MemFlow Sampler or MemFlow Stream to Video.",
                ),
                io.MultiType.Input(
                    "images",
                    types=[io.Image, io.Video],
                    optional=True,
                    tooltip="The video of the same run, or its decoded frames, for pictures of the moments. Without "
                    "it each moment shows its time.",
                ),
                io.Combo.Input(
                    "rows",
                    options=list(ROWS),
                    default=ROWS[0],
                    tooltip="What a row shows. chunks: every 0.75 s at 16 fps. prompts: each prompt from start to end, "
                    "with the bank as it was at its end and everything dropped on the way. auto (default): chunks, or "
                    f"prompts for a run of more than {MOST_CHUNK_ROWS} chunks. At most {MOST_ROWS} rows are drawn.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="sheet", tooltip="The picture of it all: connect to Preview Image or Save Image."
                ),
                io.String.Output(
                    display_name="json",
                    tooltip="The same as JSON, for every chunk, with times in seconds and frames of the video.",
                ),
            ],
        )

    @classmethod
    def execute(cls, report: str, rows: str = ROWS[0], images: Any = None) -> io.NodeOutput:
        memory = read_report(report)
        drawn = memory.rows(rows)
        frames = {moment.frame for row in drawn[:MOST_ROWS] for moment in row.moments()}
        pictures = {} if images is None else frame_pictures(images, frames, memory.first_px)
        sheet = draw_sheet(drawn, pictures, "what the memory bank held")
        picture = torch.from_numpy(np.asarray(sheet, dtype=np.float32) / 255)[None]
        return io.NodeOutput(picture, json.dumps(memory.to_dict()))
