"""What lower precision costs: `python -m benchmarks.precision [--stories N] [--only NAME ...] [--json FILE]`

Two models, each in every precision against float32:

medium  random weights (dim 384, 6 heads of 64, ffn 1536, 6 layers, 120 tokens a latent frame): relative error of the
        latents of the first chunk and of the tenth, after one prompt switch.
tiny    the tiny story model: the same over its own stories, and recall: how often a character that was long away comes
        back with its own body, and with body, accessory and pattern (`benchmarks.recall`, prefilled, bank by prompt).

FP8 weights are the matrices of the blocks, as `memflow_core.weights.fp8_export` makes them, with a scale a matrix
or, beside it, a scale a row. They are multiplied in the precision that activations have, as ComfyUI does with our
files.
"""

from __future__ import annotations

import argparse
import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from memflow_core.config import MemoryConfig
from memflow_core.model import Backbone, WanModel, fp8
from memflow_core.stream import Stream
from memflow_core.weights import ASSETS

from .machine import conditions
from .recall.run import BATCH, PrefilledReturns, summary
from .recall.stories import PLANS, cases
from .recall.stream import Models, StoryStreamer, policies
from .stream.sizes import SIZES

CHUNKS = 10
CPU = torch.device("cpu")
MEDIUM = SIZES["medium"]
TINY_STORIES = 4  # side by side, for the error of their latents


@dataclass(frozen=True)
class Precision:
    """dtype of activations and of what stays as it is; weights: None, "matrix" or "row", what shares an FP8 scale."""

    name: str
    dtype: torch.dtype = torch.float32
    weights: str | None = None
    cache: str = "model"

    def of(self, tree: WanModel) -> WanModel:
        """The model in this precision, in a copy."""
        made = copy.deepcopy(tree).to(self.dtype)
        for layer in made.blocks.modules():
            if self.weights is not None and isinstance(layer, nn.Linear):
                layer.weight.data = in_fp8(layer.weight.data, by_row=self.weights == "row")
        return made

    @property
    def policy(self) -> str:
        return "prompt" if self.cache == "model" else "prompt+fp8"


EXACT = Precision("float32")
PRECISIONS = (
    Precision("bfloat16", torch.bfloat16),
    Precision("FP8 cache", cache="fp8"),
    Precision("FP8 weights", weights="matrix"),
    Precision("FP8 weights, by row", weights="row"),
    Precision("FP8 weights and cache", weights="matrix", cache="fp8"),
    Precision("bfloat16, FP8 weights and cache", torch.bfloat16, "matrix", "fp8"),
)


def in_fp8(weight: Tensor, by_row: bool) -> Tensor:
    """[out, in] rounded to FP8 and back."""
    apart = weight[:, None] if by_row else weight
    return fp8.decode(*fp8.encode(apart.float()), weight.dtype).view_as(weight)


def latent_errors(precisions: Sequence[Precision], tell: Callable[[Precision], list[Tensor]]) -> dict[str, list[float]]:
    """Relative errors of the first and the last chunk against float32, by precision. tell: its chunks' latents."""
    exact, errors = tell(EXACT), {}
    for precision in precisions:
        told = tell(precision)
        errors[precision.name] = [float((told[n] - exact[n]).norm() / exact[n].norm()) for n in (0, -1)]
    return errors


def medium_errors(precisions: Sequence[Precision], seed: int) -> dict[str, list[float]]:
    torch.manual_seed(seed)
    tree, texts = (
        WanModel(MEDIUM.model).requires_grad_(False),
        torch.randn(2, 1, MEDIUM.text_length, MEDIUM.model.text_dim),
    )

    def tell(precision: Precision) -> list[Tensor]:
        backbone = Backbone(precision.of(tree), precision.dtype)
        memory = MemoryConfig(cache=precision.cache)
        stream = Stream(backbone, MEDIUM.shape, memory, noise=seed, frames=3 * CHUNKS)
        made = []
        for chunk in range(CHUNKS):
            if chunk % (CHUNKS // 2) == 0:
                stream.set_prompt(texts[chunk // (CHUNKS // 2)])
            made.append(next(stream).latents.float())
        return made

    return latent_errors(precisions, tell)


def tiny_errors(models: Models, precisions: Sequence[Precision], seed: int) -> dict[str, list[float]]:
    stories = [case.story for case in cases(TINY_STORIES, seed, PLANS[0])]

    def tell(precision: Precision) -> list[Tensor]:
        changed = replace(models, tree=precision.of(models.tree), dtype=precision.dtype)
        told = StoryStreamer(changed, stories, seed).tell(policies(3 * CHUNKS)[precision.policy], end_chunk=CHUNKS)
        return list(told.latents.float().split(3, dim=1))

    return latent_errors(precisions, tell)


def tiny_recall(
    models: Models, precisions: Sequence[Precision], stories: int, seed: int
) -> dict[str, dict[str, list[float]]]:
    """(share, binomial error) of bodies and of whole characters that came back right, by precision."""
    found: dict[str, list[dict]] = {precision.name: [] for precision in (EXACT, *precisions)}
    told_of = cases(stories, seed, PLANS[0])
    for first in range(0, stories, BATCH):
        for precision in (EXACT, *precisions):
            changed = replace(models, tree=precision.of(models.tree), dtype=precision.dtype)
            part = told_of[first : first + BATCH]
            found[precision.name] += PrefilledReturns(changed, part, seed + first).measure(precision.policy)
    scores = {name: summary(scores) for name, scores in found.items()}
    return {
        name: {part: [score["recall"][part], score["recall_error"][part]] for part in ("body", "all")}
        for name, score in scores.items()
    }


def table(title: str, head: tuple[str, str], rows: dict[str, list[str]]) -> str:
    lines = [f"| {title} | {head[0]} | {head[1]} |", "| --- | --- | --- |"]
    return "\n".join([*lines, *(f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items())])


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what lower precision costs.")
    parser.add_argument("--stories", type=int, default=80, help="for recall, an even number (80)")
    parser.add_argument("--seed", type=int, default=0, help="of weights, stories and noise (0)")
    names = [precision.name for precision in PRECISIONS]
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME", help="; ".join(names))
    parser.add_argument("--json", type=Path, help="also write all numbers there")
    asked = parser.parse_args()
    if asked.stories < 2 or asked.stories % 2:
        parser.error(f"--stories is {asked.stories}, but must be an even number of at least 2.")
    torch.set_num_threads(1)
    on = conditions(CPU)
    print(f"{on['device']}, 1 thread, torch {on['torch']}, seed {asked.seed}, {asked.stories} stories\n")
    chosen = [precision for precision in PRECISIONS if precision.name in asked.only]
    models, result = Models.read(ASSETS), {"stories": asked.stories, "seed": asked.seed}
    measures = {"medium": medium_errors, "tiny": partial(tiny_errors, models)}
    for name, measure in measures.items():
        errors = result[name] = measure(chosen, asked.seed)
        rows = {precision: [f"{error:.2e}" for error in pair] for precision, pair in errors.items()}
        print(table(f"{name}, relative error", ("chunk 1", f"chunk {CHUNKS}"), rows), flush=True, end="\n\n")
    result["recall"] = tiny_recall(models, chosen, asked.stories, asked.seed)
    rows = {
        name: [f"{share:.3f} ± {error:.3f}" for share, error in (score["body"], score["all"])]
        for name, score in result["recall"].items()
    }
    print(table("tiny, recall", ("body", "body, accessory and pattern"), rows))
    if asked.json:
        asked.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
