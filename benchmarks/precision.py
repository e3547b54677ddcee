"""How much does lower precision cost? `python -m benchmarks.precision [--stories N] [--only NAME ...] [--json FILE]`

Two models, each in every precision against float32:

medium  random weights (dim 384, 6 heads of 64, ffn 1536, 6 layers, 120 tokens a latent frame): relative error of the
        latents of the first chunk and of the tenth, after one prompt switch.
tiny    the tiny story model: the same over its own stories, and recall: how often a character that was long away comes
        back with its own body, and with body, accessory and pattern (`benchmarks.recall`, prefilled, bank by prompt).

FP8 weights are the matrices of the blocks, as `tools.quantise` makes them, with one scale for each matrix or, for
comparison, for each row. They are multiplied in the precision of the activations, as ComfyUI does with such files.
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
from .recall import BATCH, PLANS, Models, PrefilledReturns, StoryStreamer, cases, policies, summary
from .sizes import SIZES

CHUNKS = 10
CPU = torch.device("cpu")
MEDIUM = SIZES["medium"]
TINY_STORIES = 4  # side by side, for the error of their latents


@dataclass(frozen=True)
class Precision:
    """Precision of a model and its cache.

    dtype    of activations, and of weights that are not in FP8.
    weights  None, or what shares an FP8 scale: "matrix" or "row".
    cache    as in `MemoryConfig`.
    """

    name: str
    dtype: torch.dtype = torch.float32
    weights: str | None = None
    cache: str = "model"

    def apply_to(self, tree: WanModel) -> WanModel:
        """Return a copy of the model in this precision."""
        tree = copy.deepcopy(tree).to(self.dtype)
        for layer in tree.blocks.modules():
            if self.weights is not None and isinstance(layer, nn.Linear):
                layer.weight.data = round_to_fp8(layer.weight.data, by_row=self.weights == "row")
        return tree

    @property
    def policy(self) -> str:
        """Name of the recall policy with this cache."""
        return "prompt" if self.cache == "model" else "prompt+fp8"


EXACT = Precision("float32")
PRECISIONS = (
    Precision("bfloat16", torch.bfloat16),
    Precision("FP8 cache", cache="fp8"),
    Precision("FP8 weights", weights="matrix"),
    Precision("FP8 weights, by row", weights="row"),
    Precision("FP8 weights and cache", weights="matrix", cache="fp8"),
    Precision("bfloat16, FP8 weights and cache", torch.bfloat16, weights="matrix", cache="fp8"),
)


def round_to_fp8(weight: Tensor, by_row: bool) -> Tensor:
    """Round a weight, [out, in], to FP8 with one scale or one for each row. Returns it in its own dtype."""
    grouped = weight[:, None] if by_row else weight
    codes, scale = fp8.encode(grouped.float())
    return fp8.decode(codes, scale, weight.dtype).view_as(weight)


def latent_errors(
    precisions: Sequence[Precision], generate: Callable[[Precision], list[Tensor]]
) -> dict[str, list[float]]:
    """Measure the relative errors of the first and the last chunk against float32, by precision.

    generate  makes the latents of each chunk, any shape, float32, in a precision.
    """
    exact, errors = generate(EXACT), {}
    for precision in precisions:
        latents = generate(precision)
        errors[precision.name] = [float((latents[n] - exact[n]).norm() / exact[n].norm()) for n in (0, -1)]
    return errors


def medium_errors(precisions: Sequence[Precision], seed: int) -> dict[str, list[float]]:
    """Measure `latent_errors` of a medium random model over one prompt switch."""
    torch.manual_seed(seed)
    tree = WanModel(MEDIUM.model).requires_grad_(False)
    texts = torch.randn(2, 1, MEDIUM.text_length, MEDIUM.model.text_dim)

    def generate(precision: Precision) -> list[Tensor]:
        backbone = Backbone(precision.apply_to(tree), precision.dtype)
        memory = MemoryConfig(cache=precision.cache)
        stream = Stream(backbone, MEDIUM.shape, memory=memory, seed=seed, frames=3 * CHUNKS)
        latents = []
        for chunk in range(CHUNKS):
            if chunk % (CHUNKS // 2) == 0:
                stream.set_prompt(texts[chunk // (CHUNKS // 2)])
            latents.append(next(stream).latents.float())
        return latents

    return latent_errors(precisions, generate)


def tiny_errors(models: Models, precisions: Sequence[Precision], seed: int) -> dict[str, list[float]]:
    """Measure `latent_errors` of the tiny story model over its own stories."""
    stories = [case.story for case in cases(TINY_STORIES, seed, PLANS[0])]

    def generate(precision: Precision) -> list[Tensor]:
        changed = replace(models, tree=precision.apply_to(models.tree), dtype=precision.dtype)
        policy = policies(3 * CHUNKS)[precision.policy]
        generated = StoryStreamer(changed, stories, seed).generate(policy, end_chunk=CHUNKS)
        return list(generated.latents.float().split(3, dim=1))

    return latent_errors(precisions, generate)


def tiny_recall(
    models: Models, precisions: Sequence[Precision], stories: int, seed: int
) -> dict[str, dict[str, list[float]]]:
    """Measure recall of bodies and of whole characters, as [share, binomial error], by precision."""
    by_story: dict[str, list[dict]] = {precision.name: [] for precision in (EXACT, *precisions)}
    all_cases = cases(stories, seed, PLANS[0])
    for first in range(0, stories, BATCH):
        for precision in (EXACT, *precisions):
            changed = replace(models, tree=precision.apply_to(models.tree), dtype=precision.dtype)
            part = all_cases[first : first + BATCH]
            by_story[precision.name] += PrefilledReturns(changed, part, seed + first).measure(precision.policy)
    scores = {name: summary(found) for name, found in by_story.items()}
    return {
        name: {part: [score["recall"][part], score["recall_error"][part]] for part in ("body", "all")}
        for name, score in scores.items()
    }


def table(title: str, head: tuple[str, str], rows: dict[str, list[str]]) -> str:
    """Return a Markdown table with a row of two cells for each name."""
    lines = [f"| {title} | {head[0]} | {head[1]} |", "| --- | --- | --- |"]
    return "\n".join([*lines, *(f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items())])


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what lower precision costs.")
    parser.add_argument("--stories", type=int, default=80, help="for recall, an even number (80)")
    parser.add_argument("--seed", type=int, default=0, help="of weights, stories and noise (0)")
    names = [precision.name for precision in PRECISIONS]
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME", help="; ".join(names))
    parser.add_argument("--json", type=Path, help="also write all numbers there")
    arguments = parser.parse_args()
    if arguments.stories < 2 or arguments.stories % 2:
        parser.error(f"--stories is {arguments.stories}, but must be an even number of at least 2.")
    torch.set_num_threads(1)
    on = conditions(CPU)
    print(f"{on['device']}, 1 thread, torch {on['torch']}, seed {arguments.seed}, {arguments.stories} stories\n")
    chosen = [precision for precision in PRECISIONS if precision.name in arguments.only]
    models, result = Models.read(ASSETS), {"stories": arguments.stories, "seed": arguments.seed}
    measures = {"medium": medium_errors, "tiny": partial(tiny_errors, models)}
    for name, measure in measures.items():
        errors = result[name] = measure(chosen, arguments.seed)
        rows = {precision: [f"{error:.2e}" for error in pair] for precision, pair in errors.items()}
        print(table(f"{name}, relative error", ("chunk 1", f"chunk {CHUNKS}"), rows), flush=True, end="\n\n")
    result["recall"] = tiny_recall(models, chosen, arguments.stories, arguments.seed)
    rows = {
        name: [f"{share:.3f} ± {error:.3f}" for share, error in (score["body"], score["all"])]
        for name, score in result["recall"].items()
    }
    print(table("tiny, recall", ("body", "body, accessory and pattern"), rows))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
