"""What users try first with the tiny story model, and how often it works.

    python -m benchmarks.recall.tries [--stories 40] [--seed S] [--policies NAME ...] [--json FILE]

walks  a character walks on for 12 chunks, longer than the window: at the end it looks as it did at the third chunk, or
       whenever it first was wholly in the picture.
told   a character stands, and then is told to wave, without a cut: it waves, and looks as before.
meet   two characters are shown, each alone, and meet elsewhere: one looks right, and both do. What comes before the
       meeting is given.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from memflow_core.weights import ASSETS
from training.cartoons import CHUNK_LATENTS

from .attempts import TRIES, first_tries, measure_tries
from .stream import Models, policies
from .tales import share_error

BATCH = 20


def main() -> None:
    names = list(policies(frames=CHUNK_LATENTS))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stories", type=int, default=40, help="of each kind (40)")
    parser.add_argument("--seed", type=int, default=0, help="of the stories and their noise (0)")
    parser.add_argument("--policies", nargs="+", choices=names, default=["default"], metavar="NAME")
    parser.add_argument("--assets", type=Path, default=ASSETS, help="folder of the model (the pack's own)")
    parser.add_argument("--json", type=Path, help="also write all numbers there")
    arguments = parser.parse_args()
    if arguments.stories < 1:
        parser.error(f"--stories is {arguments.stories}, but must be at least 1.")
    torch.set_num_threads(1)
    models, rows = Models.read(arguments.assets), {}
    for name in arguments.policies:
        for what in TRIES:
            stories = first_tries(what, arguments.stories, arguments.seed)
            policy, found = policies(CHUNK_LATENTS * stories[0].chunks)[name], []
            for first in range(0, len(stories), BATCH):
                found += measure_tries(models, what, policy, stories[first : first + BATCH], arguments.seed + first)
            row = {part: float(np.mean([one[part] for one in found])) for part in found[0]}
            rows[f"{name}, {what}"] = {**row, "right_error": share_error(row["right"], len(found))}
            print(f"{name:16} {what:6} " + "  ".join(f"{part} {value:.2f}" for part, value in row.items()), flush=True)
    if arguments.json:
        settings = {"stories": arguments.stories, "seed": arguments.seed}
        arguments.json.write_text(json.dumps({**settings, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
