"""Which layers read the bank? Attention on it, layer by layer, and what is left when fewer layers read it.

    python -m benchmarks.recall.layers [--stories N] [--seed S] [--plan trio] [--policy archive+words] [--counts 1 2 3]

Stories and scores are those of `benchmarks.recall.returns`. First all layers read the bank, and each layer's share of
attention on it is measured in the first chunk of every return for which each layer's bank shows the character that the
prompt asks for. Layers are then ranked by that share, and the stories made again with the first few of them alone
(`MemoryConfig.bank_layers`): whole looks, and seconds a chunk on this machine.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from memflow_core.weights import ASSETS
from training.cartoons import CHUNK_LATENTS

from ..machine import conditions
from .layer_meter import LayerMeter
from .stream import Models, Policy, policies
from .tales import BATCH, PLANS, Tale, measure_returns, summary_of_returns, tales


def shares_of_layers(models: Models, policy: Policy, drawn: Sequence[Tale], seed: int) -> Tensor:
    """Mean share of attention on the bank, [layers] float32, over returns whose bank shows the character."""
    found = []
    for first in range(0, len(drawn), BATCH):
        part, meter = drawn[first : first + BATCH], LayerMeter()
        records = measure_returns(models, policy, part, seed + first, meter=meter)
        starts = [back.segment for back in part[0].returns]
        for place, record in enumerate(records):
            story, turn = divmod(place, len(starts))
            if record["bank"] == 1.0:
                found.append(meter.shares[starts[turn]][:, story])
    return torch.stack(found).mean(0)


def main() -> None:
    names = [name for name, policy in policies(CHUNK_LATENTS).items() if policy.memory.bank_slots]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.recall.layers", description="Find the layers that read the bank."
    )
    parser.add_argument("--stories", type=int, default=20, help="(20)")
    parser.add_argument("--seed", type=int, default=0, help="of the stories and their noise (0)")
    parser.add_argument("--plan", choices=PLANS, default=PLANS[0], help=f"({PLANS[0]})")
    parser.add_argument("--policy", choices=names, default="archive+words", help="(archive+words)")
    parser.add_argument("--counts", nargs="+", type=int, help="of layers to try (all numbers)")
    parser.add_argument("--assets", type=Path, default=ASSETS, help="folder of the model (the pack's own)")
    parser.add_argument("--json", type=Path, help="also write all numbers there")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    models = Models.read(arguments.assets)
    drawn = tales(arguments.plan, arguments.stories, arguments.seed)
    policy = policies(CHUNK_LATENTS)[arguments.policy]
    shares = shares_of_layers(models, policy, drawn, arguments.seed)
    ranked = shares.argsort(descending=True).tolist()
    print("share of attention on the bank, by layer:", "  ".join(f"{n}: {share:.3f}" for n, share in enumerate(shares)))
    result: dict[str, Any] = {"shares": shares.tolist(), "ranked": ranked, "counts": {}}
    result |= {name: getattr(arguments, name) for name in ("stories", "seed", "plan", "policy")}
    result["machine"] = conditions(torch.device("cpu"))
    for count in arguments.counts or range(1, len(ranked) + 1):
        layers = tuple(sorted(ranked[:count]))
        fewer = replace(policy, memory=replace(policy.memory, bank_layers=layers))
        begin, records = time.perf_counter(), []
        for first in range(0, len(drawn), BATCH):
            records += measure_returns(models, fewer, drawn[first : first + BATCH], arguments.seed + first)
        chunks = drawn[0].story.chunks * len(drawn)
        row = {"layers": layers, "s_a_chunk": (time.perf_counter() - begin) / chunks, **summary_of_returns(records)}
        result["counts"][count] = row
        cells = (f"{name} {row[name]:.3f}" for name in ("whole", "present", "all", "s_a_chunk"))
        print(f"{count} layers {layers}:  " + "  ".join(cells), flush=True)
        if arguments.json:
            arguments.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
