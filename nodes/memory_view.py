"""MemFlow Memory View: what the memory of a run did, as a picture to share and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import av
import numpy as np
import torch
from comfy_api.latest import io
from PIL import Image
from torch import Tensor

from .io_types import CATEGORY
from .report import MOST_ROWS, MemoryReport, Row, draw_sheet, picture_of, read_report

ROWS = ("auto", "chunks", "prompts")
MOST_CHUNK_ROWS = 40  # with more, `auto` draws a row for each prompt


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
        told = read_report(report)
        lines = _rows(told, rows)
        wanted = {moment.frame for row in lines[:MOST_ROWS] for moment in row.moments()}
        pictures = {} if images is None else _pictures(images, wanted, told.first_px)
        sheet = draw_sheet(lines, pictures, "what the memory bank held")
        picture = torch.from_numpy(np.asarray(sheet, dtype=np.float32) / 255)[None]
        return io.NodeOutput(picture, json.dumps(told.to_dict()))


def _rows(told: MemoryReport, rows: str) -> list[Row]:
    by_chunk = told.by_chunk()
    every_chunk = len(by_chunk) <= MOST_CHUNK_ROWS if rows == ROWS[0] else rows == "chunks"
    return by_chunk if every_chunk else told.by_segment()


def _pictures(images: Any, wanted: Iterable[int], first_px: int) -> dict[int, Image.Image]:
    """Pictures of video frames of the story, from an `IMAGE` or a `VIDEO` that starts with frame `first_px`."""
    places = {frame - first_px: frame for frame in wanted if frame >= first_px}
    if isinstance(images, Tensor):
        return {places[place]: picture_of(images[place][..., :3]) for place in places if place < len(images)}
    return {places[place]: picture for place, picture in _decoded(images, set(places))}


def _decoded(video: Any, places: set[int]) -> Iterable[tuple[int, Image.Image]]:
    """Frames of a video by their number, without ever holding more than one."""
    if not places:
        return
    with av.open(video.get_stream_source()) as file:
        for place, frame in enumerate(file.decode(video=0)):
            if place in places:
                yield place, frame.to_image()
            if place >= max(places):
                return
