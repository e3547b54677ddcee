"""One story under each policy, side by side, as a picture.

    python -m benchmarks.recall.pictures FILE.png [--story N] [--seed S] [--policies NAME ...]

Left of the line is what every stream was given; right of it what each made of the return.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from memflow_core.weights import ASSETS
from training.cartoons.story import start_frame
from training.cartoons.world import SIZE

from .run import PrefilledReturns
from .stories import CHUNK, PLANS, Case, cases
from .stream import Models, policies

SHOWN = ("none", "sink", "fifo", "reference", "prompt", "similarity", "attention", "full", "swapped")
SCALE, GAP, LABEL, HEADER = 2, 4, 96, 34
_INK, _PAPER = (30, 30, 30), (255, 255, 255)


def columns(case: Case) -> list[tuple[str, int]]:
    """(label, video frame): the end of each segment before the return, then three moments of it."""
    before = [(segment.prompt, start_frame(segment.end_chunk) - 1) for segment in case.story.segments[:-1]]
    back = case.back
    return before + [(back.prompt, start_frame(chunk + 1) - 1) for chunk in range(back.start_chunk, back.end_chunk)]


def sheet(returns: PrefilledReturns, story: int, names: list[str]) -> Image.Image:
    """A row a policy. The first row is how the story should go on."""
    case = returns.part[story]
    shown = columns(case)
    latents = {"as told": returns.teller.truth}
    for name in names:
        latents[name] = returns.teller.tell(
            policies(returns.teller.truth.shape[1])[name], given_chunks=case.back.start_chunk
        ).latents
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
            picture.paste(_frame(returns.teller.models, made[story : story + 1], frame), (LABEL + column * cell, top))
    line = LABEL + (len(shown) - (case.back.end_chunk - case.back.start_chunk)) * cell - GAP // 2 - 1
    draw.line((line, 0, line, picture.height), _INK)
    return picture


def _frame(models: Models, latents: torch.Tensor, frame: int) -> Image.Image:
    chunk = (frame + CHUNK) // 12
    pixels = models.codec.decode_part(latents, CHUNK * chunk, CHUNK * (chunk + 1))[0]
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
