"""Take pictures of every template as it opens: a sheet for each, of both front ends, renderers and sizes of the window.

    .venv/bin/python -m tools.template_pictures [--language zh] [--into FOLDER] [NAME ...]

Writes docs/templates/NAME.webp, in another language NAME.LANGUAGE.webp, which needs a font that has it. COMFYUI_PATH as
for `tools.demo`. The newest front end is installed if it is not there yet: see `tools.front_end`.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image, ImageDraw, ImageFont

from . import front_end
from .comfy_host import ROOT, SetupError
from .comfy_server import Server, ServerError
from .command_line import comfyui_folder

WORKFLOWS = {path.stem: path for path in sorted((ROOT / "workflows").glob("*.json"))}
FOLDER = ROOT / "docs" / "templates"
SIZES = ((1600, 900), (1280, 720))
RENDERERS = {"classic": False, "vue": True}
TILE_PX, LABEL_PX, COLUMNS = 640, 20, 4
MOST_BYTES = 64_000
QUALITIES = (60, 50, 40, 30, 20, 10)
# as the template browser opens a workflow: fitted to the window
OPEN = """async graph => {
    await app.loadGraphData(graph);
    await app.extensionManager.command.execute("Comfy.Canvas.FitView");
}"""
VUE = "on => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', on)"
# what the front end says of missing files lies over the graph
CLOSE = "() => document.querySelectorAll('[data-testid=toast-close]').forEach(button => button.click())"
SETTLED_MS = 1500


class Tile(NamedTuple):
    """A screenshot of a template, and what it was taken in."""

    label: str
    picture: Image.Image


def sheet(tiles: Sequence[Tile]) -> bytes:
    """Tiles in rows of COLUMNS as a webp of at most MOST_BYTES. Raises ValueError where it does not get as small."""
    high = max(TILE_PX * tile.picture.height // tile.picture.width for tile in tiles)
    rows = -(-len(tiles) // COLUMNS)
    whole = Image.new("RGB", (COLUMNS * TILE_PX, rows * (high + LABEL_PX)), "white")
    draw, font = ImageDraw.Draw(whole), ImageFont.load_default(14)
    for number, (label, picture) in enumerate(tiles):
        left, top = number % COLUMNS * TILE_PX, number // COLUMNS * (high + LABEL_PX)
        small = picture.resize((TILE_PX, TILE_PX * picture.height // picture.width), Image.Resampling.LANCZOS)
        whole.paste(small, (left, top + LABEL_PX))
        draw.text((left + 6, top + 1), label, "black", font)
    for quality in QUALITIES:
        file = io.BytesIO()
        whole.save(file, "webp", quality=quality, method=6)
        if file.tell() <= MOST_BYTES:
            return file.getvalue()
    raise ValueError(f"a sheet takes {file.tell()} bytes at quality {QUALITIES[-1]}, more than {MOST_BYTES}")


def take_all(page: Any, front: str, names: Sequence[str]) -> Iterator[tuple[str, Tile]]:
    """Yield (name, tile) of each template in each renderer. front: what the front end is called."""
    width, height = page.viewport_size["width"], page.viewport_size["height"]
    for renderer, vue in RENDERERS.items():
        page.evaluate(VUE, vue)
        for name in names:
            page.evaluate(OPEN, json.loads(WORKFLOWS[name].read_text()))
            page.wait_for_timeout(SETTLED_MS)
            page.evaluate(CLOSE)
            picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
            yield name, Tile(f"{front}, {renderer}, {width} x {height}", picture)
    page.evaluate(VUE, False)


def take_everywhere(names: Sequence[str], language: str) -> dict[str, list[Tile]]:
    """Tiles by template. Raises ServerError and SetupError."""
    newest = front_end.served_from(front_end.provide(front_end.NEWEST))
    tiles: dict[str, list[Tile]] = {name: [] for name in names}
    for front, options in (("bundled front end", ()), (f"front end {front_end.NEWEST}", newest)):
        with tempfile.TemporaryDirectory() as base, Server(comfyui_folder(), Path(base), options=options) as server:
            server.post("/settings", {"Comfy.Locale": language})
            for width, height in SIZES:
                profile = Path(tempfile.mkdtemp(dir=base))
                with front_end.chromium(server, profile, width, height) as context:
                    for name, tile in take_all(front_end.open_page(context, server), front, names):
                        tiles[name].append(tile)
    return tiles


def main() -> None:
    parser = argparse.ArgumentParser(description="Take pictures of the templates.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(WORKFLOWS)}; none: all of them")
    parser.add_argument("--language", default="en", help="of the page, as the front end calls it: zh")
    parser.add_argument("--into", type=Path, default=FOLDER, help="the folder that sheets are written to")
    asked = parser.parse_args()
    if unknown := set(asked.names) - set(WORKFLOWS):
        parser.error(f"there is no template {', '.join(sorted(unknown))}: name some of {', '.join(WORKFLOWS)}.")
    try:
        taken = take_everywhere(asked.names or list(WORKFLOWS), asked.language)
    except (ServerError, SetupError) as error:
        sys.exit(str(error))
    asked.into.mkdir(parents=True, exist_ok=True)
    for name, tiles in taken.items():
        file = asked.into / (f"{name}.webp" if asked.language == "en" else f"{name}.{asked.language}.webp")
        file.write_bytes(sheet(tiles))
        print(file)


if __name__ == "__main__":
    main()
