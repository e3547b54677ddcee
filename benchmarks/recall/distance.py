"""How far back does a memory reach, and past how many others? Measured on the tiny story model.

    python -m benchmarks.recall.distance [--away 11 30 60 150 320] [--others 2] [--turns 1] [--stories N] [--seed S]
        [--policies NAME ...] [--json FILE] [--plot FILE.png]

A character is met after another one has opened the story, so that the sink does not show it. It is away for so many
chunks in which so many others are seen, and comes back; later again, as often as asked, each time after 11 chunks more.
All up to the first return is given, so that distance alone is varied. Others are of other kinds; of one kind there may
be several, each in a scene of its own.
"""

from __future__ import annotations

import argparse
import sys
from itertools import product
from pathlib import Path
from typing import Any

import torch

from memflow_core.memory import ARCHIVE_RULE
from memflow_core.weights import ASSETS
from training.cartoons import CHUNK_LATENTS

from ..machine import conditions
from .far import AWAY, curves, distant, measured
from .plot import line_plot
from .resumed import Rows
from .stream import Models, policies

DEFAULT = ("default", "prompt", "none")


def main() -> None:
    arguments = _arguments()
    torch.set_num_threads(1)
    models = Models.read(arguments.assets)
    settings = {name: getattr(arguments, name) for name in ("stories", "seed", "turns")} | {"rule": ARCHIVE_RULE}
    try:
        kept = Rows(arguments.json, settings, {"conditions": conditions(torch.device("cpu"))})
        rows = [
            _row(models, kept, arguments, *one) for one in product(arguments.away, arguments.others, arguments.policies)
        ]
    except ValueError as error:
        sys.exit(str(error))
    if arguments.plot:
        along, words = ("away", "chunks away") if len(arguments.away) > 1 else ("others", "other characters")
        line_plot(curves(rows, along), words, "whole looks").save(arguments.plot, optimize=True)


def _row(
    models: Models, kept: Rows, arguments: argparse.Namespace, away: int, others: int, name: str
) -> dict[str, Any]:
    """Measure a policy at a distance, or take what was measured."""

    def measure() -> dict[str, Any]:
        drawn = distant(away, others, arguments.turns, arguments.stories, arguments.seed)
        return {"away": away, "others": others, **measured(models, name, drawn, arguments.seed)}

    row = kept.take(f"{name}, {away} chunks, {others} others", measure)
    cells = "  ".join(f"{key} {value:.2f}" for key, value in row.items() if isinstance(value, float))
    print(f"{name:16} away {away:4} others {others}  {cells}", flush=True)
    return row


def _arguments() -> argparse.Namespace:
    names = list(policies(frames=CHUNK_LATENTS))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--away", type=int, nargs="+", default=list(AWAY), help=f"chunks ({AWAY})")
    parser.add_argument("--others", type=int, nargs="+", default=[2], help="characters seen meanwhile, 1 to 6 (2)")
    parser.add_argument("--turns", type=int, default=1, help="how often the character comes back (1)")
    parser.add_argument("--stories", type=int, default=20, help="(20)")
    parser.add_argument("--seed", type=int, default=0, help="(0)")
    parser.add_argument("--policies", nargs="+", choices=names, default=list(DEFAULT), metavar="NAME")
    parser.add_argument("--assets", type=Path, default=ASSETS, help="folder of the model (the pack's own)")
    parser.add_argument("--json", type=Path, help="write all numbers there, and go on from what it has")
    parser.add_argument("--plot", type=Path, help="draw them there, a PNG")
    arguments = parser.parse_args()
    if arguments.stories < 1 or arguments.turns < 1:
        parser.error(f"--stories is {arguments.stories} and --turns {arguments.turns}, but both must be at least 1.")
    return arguments


if __name__ == "__main__":
    main()
