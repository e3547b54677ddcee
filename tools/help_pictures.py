"""Take the pictures of the help pages: the nodes as ComfyUI shows them, in a headless Chromium.

    .venv/bin/python -m tools.help_pictures [NAME ...]

NAME is a node's id. Writes web/docs/NAME.png, cropped to the node and its neighbours, at the size in which the front
end draws them. COMFYUI_PATH names another ComfyUI than the one of `make setup`.
"""

from __future__ import annotations

import io
import sys
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from . import front_end
from .comfy_host import ROOT, SetupError
from .comfy_server import Server, ServerError
from .command_line import comfyui_folder, names_to_make

DOCS = ROOT / "web" / "docs"
COLOURS = 128
# files that the lists of the nodes show, as for a user of the published weights
FILES = (
    "models/diffusion_models/memflow_base.pt",
    "models/diffusion_models/vace_module_1.3B.safetensors",
    "models/loras/memflow_lora.pt",
    "output/memflow_states/story_00001_.safetensors",
)
STORY = "0s: a robot walks in the meadow\n2.5s: an empty beach\n4s: the robot returns to the meadow"
TINY = {"width": 64, "height": 64, "seed": 7, "control_after_generate": "fixed"}

# nodes are [name, type, x, y, size (0: as it comes), values], links are [from, output, to, input]
BUILD = """async ([nodes, links]) => {
    app.graph.clear();
    const made = {};
    for (const [name, type, x, y, [width, height], values] of nodes) {
        const node = LiteGraph.createNode(type);
        app.graph.add(node);
        node.pos = [x, y];
        for (const [widget, value] of Object.entries(values)) {
            const found = node.widgets.find(w => w.name === widget);
            if (!found) throw Error(`${type} has no widget ${widget}`);
            found.value = value;
        }
        node.setSize([width || node.size[0], height || node.computeSize()[1]]);
        made[name] = node;
    }
    for (const [from, output, to, input] of links) {
        const slot = made[to].inputs.findIndex(i => i.name === input);
        made[from].connect(made[from].outputs.findIndex(o => o.name === output), made[to], slot);
    }
    window.made = made;
    app.canvas.ds.scale = 1;
    app.canvas.ds.offset = [200, 200];
    app.canvas.setDirty(true, true);
}"""
RUN = "() => { app.queuePrompt(0, 1); }"
DONE = """() => {
    const video = document.querySelector("video");
    return video?.readyState > 1 && window.made.preview.imgs?.length > 0;
}"""
# the video came after the node had its size
GROWN = """() => {
    const {stream} = window.made;
    stream.setSize([stream.size[0], Math.max(stream.size[1], stream.computeSize()[1])]);
    app.canvas.setDirty(true, true);
}"""
# in pixels of the page
FRAME = """names => {
    const sides = [Infinity, Infinity, -Infinity, -Infinity];
    for (const name of names) {
        const [x, y, width, height] = window.made[name].getBounding();
        sides[0] = Math.min(sides[0], x), sides[1] = Math.min(sides[1], y);
        sides[2] = Math.max(sides[2], x + width), sides[3] = Math.max(sides[3], y + height);
    }
    const {left, top} = app.canvasEl.getBoundingClientRect();
    const [dx, dy] = app.canvas.ds.offset;
    return [sides[0] + dx + left, sides[1] + dy + top, sides[2] + dx + left, sides[3] + dy + top];
}"""
MARGIN = 14
SETTINGS = {"Comfy.Graph.CanvasMenu": False, "Comfy.NodeBadge.NodeSourceBadgeMode": "None"}


@dataclass(frozen=True)
class Picture:
    """Graph of a picture.

    nodes  as BUILD takes them.
    links  as BUILD takes them.
    shown  names of the nodes that the picture shows; none: all.
    run    queue the graph first, and wait for its video.
    """

    nodes: list[tuple]
    links: list[tuple] = field(default_factory=list)
    shown: tuple[str, ...] = ()
    run: bool = False


STORY_GRAPH = Picture(
    [
        ("tiny", "MemFlowTinyStory", 0, 0, (0, 0), {}),
        ("schedule", "MemFlowPromptSchedule", 0, 160, (0, 0), {"prompts": STORY}),
        # so that the bank is full after a few seconds
        ("memory", "MemFlowMemory", 0, 700, (0, 0), {"preset": "Custom", "preset.record_interval": 1}),
        ("stream", "MemFlowStreamToVideo", 620, 0, (440, 0), {**TINY, "length": 105}),
        ("view", "MemFlowMemoryView", 1100, 0, (250, 0), {"rows": "prompts"}),
        ("preview", "PreviewImage", 1100, 160, (680, 290), {}),
    ],
    [
        ("tiny", "clip", "schedule", "clip"),
        ("tiny", "model", "stream", "model"),
        ("tiny", "vae", "stream", "vae"),
        ("schedule", "schedule", "stream", "schedule"),
        ("memory", "memory", "stream", "memory"),
        ("stream", "report", "view", "report"),
        ("stream", "video", "view", "images"),
        ("view", "sheet", "preview", "images"),
    ],
    run=True,
)
# as narrow as the help panel, or a little wider: it shows a picture no larger than itself
PICTURES = {
    "MemFlowLoadModel": Picture([("load", "MemFlowLoadModel", 0, 0, (340, 0), {"lora_name": "memflow_lora.pt"})]),
    "MemFlowProfile": Picture([("profile", "MemFlowProfile", 0, 0, (320, 0), {"chunk_frames": 1})]),
    "MemFlowTinyStory": Picture([("tiny", "MemFlowTinyStory", 0, 0, (300, 0), {})]),
    "MemFlowPromptSegment": Picture(
        [
            ("one", "MemFlowPromptSegment", 0, 0, (280, 0), {}),
            ("two", "MemFlowPromptSegment", 40, 240, (280, 0), {"start": 4, "switch": "blend"}),
        ],
        [("one", "schedule", "two", "schedule")],
    ),
    "MemFlowMemory": Picture([("custom", "MemFlowMemory", 0, 0, (300, 0), {"preset": "Custom"})]),
    "MemFlowSampler": Picture([("sampler", "MemFlowSampler", 0, 0, (340, 0), {})]),
    "MemFlowSaveState": Picture([("save", "MemFlowSaveState", 0, 0, (340, 0), {})]),
    "MemFlowLoadState": Picture([("load", "MemFlowLoadState", 0, 0, (420, 0), {})]),
    "MemFlowStartImages": Picture([("start", "MemFlowStartImages", 0, 0, (320, 0), {})]),
    "MemFlowRememberImages": Picture(
        [
            ("hero", "MemFlowRememberImages", 0, 0, (290, 0), {}),
            ("place", "MemFlowRememberImages", 40, 210, (290, 0), {}),
        ],
        [("hero", "state", "place", "state")],
    ),
    "MemFlowLoadControl": Picture(
        [("control", "MemFlowLoadControl", 0, 0, (340, 0), {"control_name": "vace_module_1.3B.safetensors"})]
    ),
    "MemFlowControl": Picture(
        [
            ("one", "MemFlowControl", 0, 0, (290, 0), {"end": "10s"}),
            ("two", "MemFlowControl", 40, 260, (290, 0), {"start": "10s", "strength": 0.6}),
        ],
        [("one", "control", "two", "control")],
    ),
    "MemFlowExportJob": Picture([("job", "MemFlowExportJob", 0, 0, (340, 0), {})]),
    # last: the front end shows the result of a run on later nodes of the same number too
    "MemFlowStreamToVideo": replace(STORY_GRAPH, shown=("stream",)),
    "MemFlowMemoryView": replace(STORY_GRAPH, shown=("view", "preview")),
}


def build(page: Any, picture: Picture) -> None:
    """Put the picture's graph on the page, and run it if it asks for that."""
    page.evaluate(BUILD, [picture.nodes, picture.links])
    page.wait_for_timeout(1500)
    if picture.run:
        page.evaluate(RUN)
        page.wait_for_function(DONE, timeout=600_000)
        page.evaluate(GROWN)
        page.wait_for_timeout(2000)


def take(page: Any, picture: Picture) -> bytes:
    """Return a PNG of the picture's nodes, from the graph that is on the page."""
    names = picture.shown or [name for name, *_ in picture.nodes]
    left, top, right, bottom = page.evaluate(FRAME, list(names))
    page.mouse.move(5, 5)
    clip = {"x": left - MARGIN, "y": top - MARGIN}
    clip |= {"width": right - left + 2 * MARGIN, "height": bottom - top + 2 * MARGIN}
    return small(page.screenshot(clip=clip))


def small(png: bytes) -> bytes:
    """Return the same PNG with a palette, at a third of the size."""
    from PIL import Image

    made = io.BytesIO()
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(made, "PNG", optimize=True)
    return made.getvalue()


def main() -> None:
    names = names_to_make("Take the pictures of the help pages.", PICTURES, "picture of")
    try:
        with tempfile.TemporaryDirectory() as folder:
            _take_all(comfyui_folder(), Path(folder), names)
    except (ServerError, SetupError) as error:
        sys.exit(str(error))


def _take_all(comfyui: Path, folder: Path, names: list[str]) -> None:
    for name in FILES:
        (folder / "base" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "base" / name).touch()
    with (
        Server(comfyui, folder / "base") as server,
        front_end.chromium(server, folder, width=2050, height=1700) as context,
    ):
        server.post("/settings", SETTINGS)
        page = front_end.open_page(context, server)
        nodes = None
        for name in names:
            picture = PICTURES[name]
            if picture.nodes is not nodes:
                build(page, picture)
            nodes = picture.nodes
            file = DOCS / f"{name}.png"
            file.write_bytes(take(page, picture))
            print(f"{file}  {file.stat().st_size / 1000:.0f} KB", flush=True)


if __name__ == "__main__":
    main()
