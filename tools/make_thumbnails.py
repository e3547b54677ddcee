"""Draw the pictures that ComfyUI's template browser shows of the files in `workflows/`.

    .venv/bin/python -m tools.make_thumbnails [NAME ...]

Each shows moments of the videos that its workflow makes with the tiny story model. For a workflow that needs real
weights they are moments of the tiny story, as a line in the picture explains. COMFYUI_PATH names another ComfyUI than
the one of `make setup`.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
from PIL import Image, ImageDraw, ImageFont

from memflow_core.render import failure

from .comfy_host import ROOT, SetupError
from .comfy_server import Server, ServerError, output_files
from .command_line import comfyui_folder, names_to_make

FOLDER = ROOT / "workflows"
SIDE = 384
GAP = 6
BAND = 44
BACKGROUND, INK = "#1f2328", "#f0f0f0"
MOST_BYTES = 30_000
BORROWED = ("tiny_story", 7.0), ("tiny_story", 14.0), ("tiny_story", 23.0), ("tiny_story", 27.0)
# prompts that are requested while the live story plays: (first chunk, prompt)
LIVE_PROMPTS = ((8, "a cat walks into the city"), (16, "the robot and the cat meet in the city"))
LIVE_CHUNKS = 24


@dataclass(frozen=True)
class Thumbnail:
    """Caption and four moments of a thumbnail, row by row.

    moments  (start of a video's name, seconds).
    of       workflow that makes the videos; None: the thumbnail's own.
    """

    caption: str
    moments: tuple[tuple[str, float], ...]
    of: str | None = None


THUMBNAILS = {
    "tiny_story": Thumbnail(
        "robot - away - the same robot",
        (("tiny_story", 6.0), ("tiny_story", 14.0), ("tiny_story", 19.0), ("tiny_story", 27.0)),
    ),
    "node_by_node": Thumbnail(
        "each prompt a node",
        (("node_by_node", 2.0), ("node_by_node", 5.0), ("node_by_node", 8.0), ("node_by_node", 12.5)),
    ),
    "continue_and_branch": Thumbnail(
        "one beginning, two endings",
        (("beginning", 5.0), ("beginning", 10.0), ("ending_one", 6.0), ("ending_two", 6.5)),
    ),
    "picture_to_story": Thumbnail(
        "from pictures to a story",
        (("picture_to_story", 0.5), ("picture_to_story", 7.5), ("picture_to_story", 13.0), ("picture_to_story", 22.0)),
    ),
    "live_story": Thumbnail(
        "what happens next?", (("live_story", 3.0), ("live_story", 5.5), ("live_story", 10.0), ("live_story", 16.0))
    ),
    "control_story": Thumbnail(
        "it walks where a mark is drawn",
        (("control_story", 4.0), ("control_story", 11.0), ("control_story", 15.0), ("control_story", 18.0)),
    ),
    "official_story": Thumbnail("needs MemFlow's weights\n(shown: the tiny model)", BORROWED, "tiny_story"),
    "causal_framewise": Thumbnail("needs Causal Forcing's weights\n(shown: the tiny model)", BORROWED, "tiny_story"),
    "longlive2_story": Thumbnail("needs LongLive 2's weights\n(shown: the tiny model)", BORROWED, "tiny_story"),
    "second_device": Thumbnail("needs MemFlow's weights, 2 GPUs\n(shown: the tiny model)", BORROWED, "tiny_story"),
    "low_vram": Thumbnail("needs MemFlow's weights, 8 GB\n(shown: the tiny model)", BORROWED, "tiny_story"),
}


def direct(server: Server) -> Callable[[dict[str, Any]], None]:
    """Return an event handler that requests LIVE_PROMPTS of a live story, and ends it."""

    def on_event(event: dict[str, Any]) -> None:
        if event["type"] != "memflow.chunk":
            return
        data = event["data"]
        path = f"/memflow/live/{data['prompt_id']}/{data['node']}"
        if data["chunk"] == 0:
            for chunk, prompt in LIVE_PROMPTS:
                server.post(path, {"prompt": prompt, "at": f"{chunk}c"})
        if data["chunk"] == LIVE_CHUNKS - 2:
            server.post(path, {"action": "finish"})

    return on_event


def videos_of(server: Server, name: str) -> list[Path]:
    """Run a workflow. Returns its video files. Raises ServerError if it fails."""
    workflow = json.loads((FOLDER / f"{name}.json").read_text())
    print(f"running {name}", file=sys.stderr, flush=True)
    history = server.run(server.convert(workflow), direct(server) if name == "live_story" else None).history
    if problem := failure(history):
        raise ServerError(f"{name} failed at {problem}")
    return [server.path_of(file) for file in output_files(history, ".mp4")]


def picture_at(video: Path, seconds: float) -> Image.Image:
    """Return the frame of a video that is shown at a time, or the last one."""
    with av.open(video) as file:
        for frame in file.decode(video=0):
            picture = frame
            if frame.time >= seconds:
                break
        return picture.to_image()


def draw(thumbnail: Thumbnail, videos: list[Path]) -> Image.Image:
    """Draw a thumbnail of frames of the videos, SIDE x SIDE pixels."""
    sheet = Image.new("RGB", (SIDE, SIDE), BACKGROUND)
    lines = thumbnail.caption.splitlines()
    band = BAND if len(lines) == 1 else BAND + 22
    size = ((SIDE - 3 * GAP) // 2, (SIDE - band - 2 * GAP) // 2)
    for place, (start, seconds) in enumerate(thumbnail.moments):
        (video,) = [path for path in videos if path.name.startswith(f"{start}_")]
        picture = _fill(picture_at(video, seconds), size)
        sheet.paste(picture, (GAP + place % 2 * (size[0] + GAP), GAP + place // 2 * (size[1] + GAP)))
    font = ImageFont.load_default(21)
    middle = SIDE - band / 2
    ImageDraw.Draw(sheet).multiline_text(
        (SIDE / 2, middle), thumbnail.caption, INK, font, anchor="mm", align="center", spacing=4
    )
    return sheet


def _fill(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Enlarge a picture to fill a size, cropped evenly at the top and bottom."""
    width, height = size
    grown = picture.resize((width, width * picture.height // picture.width), Image.Resampling.LANCZOS)
    above = (grown.height - height) // 2
    return grown.crop((0, above, width, above + height))


def jpeg(picture: Image.Image) -> bytes:
    """Encode a picture as JPEG, at the best quality that fits into MOST_BYTES."""
    for quality in range(88, 20, -6):
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=quality, optimize=True)
        if file.tell() <= MOST_BYTES:
            break
    return file.getvalue()


def main() -> None:
    names = names_to_make("Draw the pictures of the workflow files.", THUMBNAILS, "workflow")
    videos: dict[str, list[Path]] = {}
    try:
        with tempfile.TemporaryDirectory() as base, Server(comfyui_folder(), Path(base)) as server:
            for name in names:
                source = THUMBNAILS[name].of or name
                if source not in videos:
                    videos[source] = videos_of(server, source)
                path = FOLDER / f"{name}.jpg"
                path.write_bytes(jpeg(draw(THUMBNAILS[name], videos[source])))
                print(path)
    except (ServerError, SetupError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
