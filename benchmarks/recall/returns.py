"""Do several characters come back as themselves, again and again? What people write, measured on the tiny story model.

    python -m benchmarks.recall.returns [--stories N] [--seed S] [--plan trio] [--policies NAME ...] [--looks held-out]

Plans and scores are those of `tales`.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import torch

from memflow_core.weights import ASSETS
from training.cartoons import CHUNK_LATENTS

from .stream import CHUNK_HELP, Models, policies
from .tales import BATCH, LOOKS, PLANS, SHOWN, measure_returns, summary_of_returns, tales


def main() -> None:
    names = list(policies(frames=CHUNK_LATENTS))
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.recall.returns",
        description="Measure how several characters come back again and again.",
    )
    parser.add_argument("--stories", type=int, default=20, help="(20)")
    parser.add_argument("--seed", type=int, default=0, help="of the stories and their noise (0)")
    parser.add_argument("--plan", choices=PLANS, default=PLANS[0], help=f"({PLANS[0]})")
    parser.add_argument("--looks", choices=LOOKS, default="all", help="that characters have (all)")
    parser.add_argument(
        "--policies", nargs="+", choices=names, default=list(SHOWN), metavar="NAME", help=", ".join(names)
    )
    parser.add_argument("--assets", type=Path, default=ASSETS, help="folder of the model (the pack's own)")
    parser.add_argument("--chunk-frames", type=int, choices=(1, CHUNK_LATENTS), default=CHUNK_LATENTS, help=CHUNK_HELP)
    parser.add_argument("--json", type=Path, help="also write all numbers there")
    arguments = parser.parse_args()
    if arguments.stories < 1:
        parser.error(f"--stories is {arguments.stories}, but must be at least 1.")
    torch.set_num_threads(1)
    models = replace(Models.read(arguments.assets), chunk_frames=arguments.chunk_frames)
    drawn = tales(arguments.plan, arguments.stories, arguments.seed, LOOKS[arguments.looks])
    result: dict = {
        "stories": arguments.stories,
        "seed": arguments.seed,
        "chunk_frames": arguments.chunk_frames,
        "plan": arguments.plan,
        "looks": arguments.looks,
    }
    result["policies"] = {}
    for name in arguments.policies:
        policy, records = policies(CHUNK_LATENTS * drawn[0].story.chunks)[name], []
        for first in range(0, len(drawn), BATCH):
            records += measure_returns(models, policy, drawn[first : first + BATCH], arguments.seed + first)
        result["policies"][name] = summary_of_returns(records)
        cells = (f"{key} {value:.2f}" for key, value in result["policies"][name].items() if value is not None)
        print(f"{name:20}" + "  ".join(cells), flush=True)
        if arguments.json:
            arguments.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
