"""The headline of memory, by one command: characters who return again and again, under every rule, on the same stories.

    python -m benchmarks.recall.headline [--stories 20] [--seed S] [--policies NAME ...] [--json FILE] [--markdown FILE]

Stories are the `trio` of `tales`, two and two alike but for the looks. So for the default and for the archive the last
return can be made with the twin's bank, too: own minus swapped is what the bank was the cause of.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import torch

from memflow_core.memory import ARCHIVE_RULE
from memflow_core.weights import ASSETS
from training.cartoons import CHUNK_LATENTS

from ..machine import conditions
from .resumed import Rows
from .stream import Models, policies
from .table import SWAPPED, headline
from .tales import BATCH, measure_returns, summary_of_returns, tales, with_twins

SHOWN = (
    "default",
    "none",
    "fifo",
    "prompt",
    "similarity",
    "attention",
    "prompt+alone",
    "prompt+novelty",
    "prompt+ahead",
    "prompt+ahead+novelty",
    "archive+words",
    "archive+similarity",
    "archive+keys",
    "archive+attention",
    "made+words",
    "full",
    *SWAPPED.values(),
)


def main() -> None:
    arguments = _arguments()
    torch.set_num_threads(1)
    models = Models.read(arguments.assets)
    drawn = with_twins(tales("trio", arguments.stories // 2, arguments.seed), arguments.seed)
    settings = {"plan": "trio with twins", "stories": arguments.stories, "seed": arguments.seed, "rule": ARCHIVE_RULE}
    try:
        kept = Rows(arguments.json, settings, {"conditions": conditions(torch.device("cpu"))})
    except ValueError as error:
        sys.exit(str(error))
    known = policies(CHUNK_LATENTS * drawn[0].story.chunks)
    for name in arguments.policies:

        def measure(name: str = name) -> dict[str, Any]:
            records = []
            for first in range(0, len(drawn), BATCH):
                records += measure_returns(models, known[name], drawn[first : first + BATCH], arguments.seed + first)
            return summary_of_returns(records)

        row = kept.take(name, measure)
        cells = (f"{key} {value:.2f}" for key, value in row.items() if value is not None)
        print(f"{name:22}" + "  ".join(cells), flush=True)
    table = headline({name: kept.rows[name] for name in arguments.policies})
    print(table)
    if arguments.markdown:
        arguments.markdown.write_text(table)


def _arguments() -> argparse.Namespace:
    names = list(policies(frames=CHUNK_LATENTS))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stories", type=int, default=20, help="twins included, an even number (20)")
    parser.add_argument("--seed", type=int, default=0, help="of the stories and their noise (0)")
    parser.add_argument("--policies", nargs="+", choices=names, default=list(SHOWN), metavar="NAME")
    parser.add_argument("--assets", type=Path, default=ASSETS, help="folder of the model (the pack's own)")
    parser.add_argument("--json", type=Path, help="write all numbers there, and go on from what it has")
    parser.add_argument("--markdown", type=Path, help="also write the table there")
    arguments = parser.parse_args()
    if arguments.stories < 2 or arguments.stories % 2:
        parser.error(f"--stories is {arguments.stories}, but must be even, and at least 2.")
    return arguments


if __name__ == "__main__":
    main()
