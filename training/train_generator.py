"""Train the tiny story model's generator and text encoder on drawn cartoons, with memory in the loop.

    python -m training.train_generator --folder DIR --vae FILE [--steps N] [--preset large] [--device cuda] [--fuse]
    python -m training.train_generator --folder DIR --export DIR

With --minutes M a run takes as many steps as fit into that time, its schedule with it, as where a GPU is lent for a
while: --device cuda --fuse --minutes 9 --batch 48 --streams 16. Nothing of this has run on a GPU yet.

A run may start from the finished model: --start-from memflow_core/assets, in a new folder. Where two runs started from
the same model, the mean of their weights is often better than either: --start-from DIR DIR --export DIR.

Training goes on from DIR/generator.pt where there is one, which is written once a minute. Every step draws from its
own seed, so an interrupted run sees the samples that an uninterrupted one would have seen. The learning rate falls to
zero over the last 45 % of --steps, and the last 35 % are spent on the model's own roll-outs; a run may be prolonged
by a higher number. Another VAE, or a better checkpoint of the same one, may be given later: the latents are made anew.

Stories are drawn and encoded while training goes on, a few at a time, and kept under --latents: about 0.7 CPU-seconds
each at first, fewer later.

Every --steps-a-stream steps one more story of random ones is streamed, as `plan_memory` lays it out; each step trains
on chunks of the last --streams of them.

Measured on one CPU core with AMX, little else running: preset small, 12 samples of 3 noisy copies a step, 0.8 s to
1.3 s a step, of which the story takes 0.3 s; a step with roll-outs 2 times that. On two cores without AMX two processes
with --fuse took 0.7 s a step of 24 samples, stories of every other step included. On one without AVX-512, which
trains in float32, a step took 1.9 s, with roll-outs 3.2 s, and a story 2.5 s.

The bundled model was made by an earlier form of this (nearly always a sink and a bank of three, whose frames were read
alone or with the sink; window frames with what the target saw; all looks) so, in two processes, each run from the files
before it, all but the first with --calm 0:

1. --steps 5370 --focus 0 --marks 0; 1.5 hours
2. --steps 3600 --marks 0 --own 0.5 --lr 0.0025 --lr-rest 0.0008; 1 hour; till here jumps drawn as often as anything
3. --steps 4000 --own 0.4, then --steps 2000 --marks 12 --lr 0.002 --lr-rest 0.0006, then --steps 1700 --marks 12; each
   half an hour to an hour; the mean of the last two
4. cat's collar and robot's antenna drawn larger: --steps 1600 --marks 12 --own 0.45 --lr 0.002 --lr-rest 0.0006, then
   --steps 2400 --marks 12 --own 0.5 --lr 0.0025 --lr-rest 0.0008; 50 minutes both; the mean of the two
5. some segments longer, some characters doing something else where they stand, --unknown 0.3 (1 until then): --steps
   5500 --marks 12 --own 0.4 --lr 0.002 --lr-rest 0.0007; 68 minutes beside other work; the mean of this and 4

Use one thread per process: on shared CPU cores a second one makes it slower.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from memflow_core.weights import ASSETS, END, TINY_GENERATOR, TINY_TEXT, TINY_VAE, read_text_encoder

from .generator import (
    PRESETS,
    TEXT,
    DeviceLatents,
    Generator,
    GeneratorSettings,
    GeneratorTrainer,
    LatentStore,
    StepBudget,
)
from .trainer import Pace, init_distributed, read_settings
from .vae import Codec

CHECKPOINT = "generator.pt"
REPORT_EVERY_S = 60.0
STORIES_APART = 1_000_000  # between the first stories of two processes


def train(
    run: GeneratorTrainer,
    folder: Path,
    *,
    vae: Path,
    latents: Path,
    pause: int | None = None,
    budget: StepBudget | None = None,
) -> None:
    """Train until the settings' last step, or `pause`; report and save as `Pace` says.

    folder   keeps the checkpoint.
    latents  keeps the encoded stories.
    budget   decides in the place of the settings how many steps there are.
    """
    # every process draws its own stories
    store = LatentStore(Codec(vae, run.device), run.settings.seed + run.rank * STORIES_APART, latents)
    on_device = DeviceLatents(store, run.device)

    def is_over() -> bool:
        return run.step >= min(run.settings.steps, pause or run.settings.steps)

    def report(rate: str, means: str) -> None:
        if not run.rank:
            print(f"step {run.step} of {run.settings.steps} {rate} {len(store.stories)} stories {means}", flush=True)

    def save() -> None:
        if not run.rank:
            run.save(folder / CHECKPOINT)

    pace = Pace(REPORT_EVERY_S, save, report)
    while not is_over():
        run.prepare(store, on_device)
        found = run.train_step(on_device)
        if budget is not None:
            budget.tick(run.on_own_work(run.step - 1))
            run.settings.steps = budget.steps(run.step) or run.settings.steps
        pace.tick(found, last=is_over())


def export(generator: Generator, folder: Path) -> list[Path]:
    """Write generator and text encoder as float16, for ComfyUI's loaders and `read_text_encoder`. Returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    sizes = {"text_dim": generator.config.text_dim, "freq_dim": generator.config.freq_dim}
    written = []
    for name, module, metadata in (
        # ComfyUI's loader learns the width of the text only from here
        (TINY_GENERATOR, generator.tree, {"config": json.dumps({"transformer": sizes})}),
        (TINY_TEXT, generator.text, generator.text.config.to_metadata()),
    ):
        weights = {key: value.detach().half().cpu().contiguous() for key, value in module.state_dict().items()}
        path = folder / name
        save_file(weights, path.with_suffix(".new"), metadata)
        os.replace(path.with_suffix(".new"), path)
        written.append(path)
    return written


def read_exported(folder: Path) -> dict[str, Tensor]:
    """Read the weights of a `Generator`, float16, from the files that `export` wrote into a folder.

    Words that its text encoder did not know yet get zeros.
    """
    files = {"tree": TINY_GENERATOR, "text": TINY_TEXT}
    loaded = {part: load_file(folder / name) for part, name in files.items()}
    weights = {f"{part}.{key}": value for part, found in loaded.items() for key, value in found.items()}
    known, words = read_text_encoder(folder / TINY_TEXT).config.words, TEXT.words
    old = weights["text.embedding.weight"]
    rows = old.new_zeros(len(words) + 1, old.shape[1])
    rows[END] = old[END]
    for token, word in enumerate(words, start=END + 1):
        if word in known:
            rows[token] = old[known.index(word) + END + 1]
    return weights | {"text.embedding.weight": rows}


def mean_weights(models: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return the mean of the weights of models of one size, name by name, float32."""
    return {key: torch.stack([weights[key].float() for weights in models]).mean(0) for key in models[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the tiny story model's generator and text encoder.")
    parser.add_argument("--folder", type=Path, default=Path(".train/generator"), help="where the checkpoint is kept")
    parser.add_argument("--vae", type=Path, default=ASSETS / TINY_VAE, help="the VAE to train with")
    parser.add_argument("--latents", type=Path, default=Path(".train/latents"), help="where encoded stories are kept")
    parser.add_argument("--preset", choices=PRESETS, help=f"size of the model ({GeneratorSettings.preset})")
    of_stories = ("stories", "first_stories", "steps_a_story", "streams", "steps_a_stream")
    for name in ("steps", "batch", "copies", *of_stories, "seed"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, help=f"({getattr(GeneratorSettings, name)})")
    for name in ("lr", "lr_rest", "align", "focus", "marks", "unknown", "calm", "own"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, help=f"({getattr(GeneratorSettings, name)})")
    parser.add_argument("--pause", type=int, metavar="STEP", help="stop there, with the schedule of --steps")
    parser.add_argument("--minutes", type=float, metavar="M", help="take as many steps as fit, in the place of --steps")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--fuse", action="store_true", help="compile the forward; a CPU needs a C++ compiler")
    parser.add_argument("--export", type=Path, metavar="DIR", help="write the averaged model there, do not train")
    parser.add_argument(
        "--start-from",
        type=Path,
        nargs="+",
        metavar="DIR",
        help="in a new folder, begin with the mean of exported models",
    )
    arguments = parser.parse_args()
    if arguments.minutes is not None and (arguments.minutes <= 0 or "WORLD_SIZE" in os.environ):
        parser.error("--minutes must be above 0, and goes with one process alone.")
    arguments.folder.mkdir(parents=True, exist_ok=True)
    checkpoint = arguments.folder / CHECKPOINT
    device = "cpu" if arguments.export else arguments.device
    run = GeneratorTrainer(read_settings(GeneratorSettings, checkpoint, arguments), device, init_distributed())
    if checkpoint.exists():
        run.load(checkpoint)
    elif arguments.start_from:
        run.load_weights(mean_weights([read_exported(folder) for folder in arguments.start_from]))
    if arguments.export:
        for path in export(run.average, arguments.export):
            print(f"step {run.step}: {path}, {path.stat().st_size / 1e6:.1f} MB")
        return
    torch.set_float32_matmul_precision("high")
    if arguments.fuse:
        run.compile_forward()
    budget = None if arguments.minutes is None else StepBudget(60 * arguments.minutes, run.settings.own)
    train(run, arguments.folder, vae=arguments.vae, latents=arguments.latents, pause=arguments.pause, budget=budget)


if __name__ == "__main__":
    main()
