"""What the archive and reading alone cost the tiny story model's generator: CPU time of a story with them and without.

    python -m benchmarks.recall.cost [--seconds 120] [--every 10] [--pairs 6]

A story with a new prompt every few seconds is streamed with the model's own memory, and with the same but for the
archive and reading alone, so that its bank is filled as the policy does. Both are streamed chunk by chunk in turns, on
one thread, so that what else the machine does falls on both alike. Nothing is decoded.
"""

from __future__ import annotations

import argparse
import json
import statistics

import torch

from benchmarks.machine import conditions
from memflow_core.weights import ASSETS

from .story_cost import cost_of_recall
from .stream import Models


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120, help="of the story (120)")
    parser.add_argument("--every", type=float, default=10, help="seconds of a prompt (10)")
    parser.add_argument("--pairs", type=int, default=6, help="stories, each streamed both ways (6)")
    arguments = parser.parse_args()
    if min(arguments.seconds, arguments.every, arguments.pairs) <= 0:
        parser.error("--seconds, --every and --pairs must be above 0.")
    torch.set_num_threads(1)
    found = cost_of_recall(Models.read(ASSETS), arguments.seconds, arguments.every, arguments.pairs)
    print(json.dumps(conditions(torch.device("cpu")) | found, indent=1))
    ratios = found["ratios"]
    print(f"with over without: median {statistics.median(ratios):.3f}, {min(ratios):.3f} to {max(ratios):.3f}")


if __name__ == "__main__":
    main()
