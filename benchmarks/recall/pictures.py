"""Draw a picture of one story under each policy, side by side.

    python -m benchmarks.recall.pictures FILE.png [--story N] [--seed S] [--policies NAME ...]

Left of the line is the ground truth that every stream starts with; right of it the return that each made.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from memflow_core.weights import ASSETS
from training.cartoons import CHUNK_FRAMES, CHUNK_LATENTS, HIDDEN_FRAMES, SIZE, start_frame

from .run import PrefilledReturns
from .stories import PLANS, Case, cases
from .stream import Models

SHOWN = ("default", "none", "sink", "fifo", "reference", "prompt", "similarity", "attention", "full", "swapped")
SCALE, GAP, LABEL, HEADER = 2, 4, 96, 34
_INK, _PAPER = (30, 30, 30), (255, 255, 255)


def columns(case: Case) -> list[tuple[str, int]]:
    """Return (label, video frame) of each column: the end of each segment before the return, then its three chunks."""
    before = [(segment.prompt, start_frame(segment.end_chunk) - 1) for segment in case.story.segments[:-1]]
    back = case.back
    return before + [(back.prompt, start_frame(chunk + 1) - 1) for chunk in range(back.start_chunk, back.end_chunk)]


def sheet(returns: PrefilledReturns, story: int, names: list[str]) -> Image.Image:
    """Draw a row for each policy. The first row is how the story should go on."""
    case = returns.cases[story]
    shown = columns(case)
    latents = {"ground truth": returns.streamer.truth} | {name: returns.generate(name).latents for name in names}
    cell = SCALE * SIZE + GAP
    picture = Image.new("RGB", (LABEL + len(shown) * cell, HEADER + len(latents) * cell), _PAPER)
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(12)
    for column, (label, _) in enumerate(shown):
        draw.multiline_text((LABEL + column * cell, 2), _wrap(label), _INK, font, spacing=1)
    for row, (name, made) in enumerate(latents.items()):
        top = HEADER + row * cell
        draw.text((4, top + cell // 2 - 8), name, _INK, font)
        for column, (_, frame) in enumerate(shown):
            picture.paste(_frame(returns.models, made[story : story + 1], frame), (LABEL + column * cell, top))
    line = LABEL + (len(shown) - (case.back.end_chunk - case.back.start_chunk)) * cell - GAP // 2 - 1
    draw.line((line, 0, line, picture.height), _INK)
    return picture


def _frame(models: Models, latents: torch.Tensor, frame: int) -> Image.Image:
    """Decode one video frame of one story's latents, enlarged."""
    chunk = (frame + HIDDEN_FRAMES) // CHUNK_FRAMES
    pixels = models.codec.decode_part(latents, CHUNK_LATENTS * chunk, CHUNK_LATENTS * (chunk + 1))[0]
    return Image.fromarray(np.kron(pixels[frame - start_frame(chunk)], np.ones((SCALE, SCALE, 1), np.uint8)))


def _wrap(label: str, width: int = 21) -> str:
    lines = [""]
    for word in label.split():
        if len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw one story under each policy.")
    parser.add_argument("file", type=Path, help="the PNG to write")
    parser.add_argument("--story", type=int, default=0, help="number of the story (0)")
    parser.add_argument("--seed", type=int, default=0, help="as of benchmarks.recall (0)")
    parser.add_argument("--plan", choices=PLANS, default=PLANS[0], help=f"({PLANS[0]})")
    parser.add_argument("--assets", type=Path, default=ASSETS, help="folder of the model (the pack's own)")
    parser.add_argument("--policies", nargs="+", default=list(SHOWN), metavar="NAME", help=", ".join(SHOWN))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    pair = arguments.story // 2 * 2
    part = cases(pair + 2, arguments.seed, arguments.plan)[pair:]
    returns = PrefilledReturns(Models.read(arguments.assets), part, arguments.seed)
    arguments.file.parent.mkdir(parents=True, exist_ok=True)
    sheet(returns, arguments.story - pair, arguments.policies).save(arguments.file, optimize=True)
    print(arguments.file)


if __name__ == "__main__":
    main()
