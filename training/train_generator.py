"""Train the tiny story model's generator and text encoder on drawn cartoons, with memory in the loop.

    python -m training.train_generator --folder DIR --vae FILE [--steps N] [--preset large] [--device cuda] [--fuse]
    python -m training.train_generator --folder DIR --export DIR

Training goes on from DIR/generator.pt where there is one, which is written once a minute. Every step draws from its
own seed, so an interrupted run sees the samples that an uninterrupted one would have seen. The learning rate falls to
nothing over the last 45 % of --steps, and the last 35 % are spent on the model's own roll-outs; a run may be prolonged
by a higher number. Another VAE, or a better checkpoint of the same one, may be given later: the latents are made anew.

Stories are drawn and encoded as training goes on, a few at a time, and kept under --latents: about 0.7 CPU-seconds
each at first, fewer later.

Measured on one CPU core with AMX, shared with other work: preset small, 8 samples of 3 noisy copies a step, 0.8 s a
step, 0.5 s with --fuse (which first compiles for 4 minutes, once); a step with roll-outs 2 times that. 40000 steps,
0.3 million samples, so take 8 to 10 CPU-hours with --fuse. Guess for a GPU, not measured: --preset large --batch 128
--fuse, 20 steps a second, 20000 steps in half an hour with the drawing and encoding of 2000 stories.

One thread per process: on shared CPU cores a second one makes it slower.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import defaultdict
from dataclasses import asdict, fields
from pathlib import Path

import torch
from safetensors.torch import save_file

from memflow_core import tiny_story

from . import generator_run
from .codec import Codec
from .generator_model import PRESETS, Generator
from .generator_run import Settings, Shelf, Training
from .library import Library

CHECKPOINT = "generator.pt"
SAVE_EVERY, REPORT_EVERY = 60.0, 60.0  # seconds


def train(folder: Path, settings: Settings, vae: Path, latents: Path, device: str, pause: int | None) -> None:
    """Train until `settings.steps` (or `pause`), from the folder's checkpoint where there is one."""
    run, path = Training(settings, device), folder / CHECKPOINT
    if path.exists():
        run.load(path)
    library = Library(Codec(vae, device), settings.seed, latents)
    shelf, seen = Shelf(library, run.device), defaultdict(list)
    saved = reported = time.monotonic()
    since, end = run.step, min(settings.steps, pause or settings.steps)
    while run.step < end:
        run.prepare(library, shelf)
        for name, value in run.learn(shelf).items():
            seen[name].append(value)
        now = time.monotonic()
        if now - reported > REPORT_EVERY or run.step == end:
            rate = (run.step - since) / max(now - reported, 1e-9)
            print(f"step {run.step} {rate:.2f}/s {len(library.tales)} stories {_line(seen)}", flush=True)
            reported, since = now, run.step
            seen.clear()
        if now - saved > SAVE_EVERY or run.step == end:
            run.save(path)
            saved = now


def _line(seen: dict[str, list[float]]) -> str:
    return ", ".join(f"{name} {sum(values) / len(values):.3f}" for name, values in sorted(seen.items()))


def export(generator: Generator, folder: Path) -> list[Path]:
    """Write generator and text encoder as float16, as ComfyUI's loaders and `read_text_encoder` want them."""
    folder.mkdir(parents=True, exist_ok=True)
    sizes = {"text_dim": generator.config.text_dim, "freq_dim": generator.config.freq_dim}
    written = []
    for name, module, metadata in (
        # the width of the text shows in no other way to ComfyUI's loader
        (tiny_story.GENERATOR, generator.tree, {"config": json.dumps({"transformer": sizes})}),
        (tiny_story.TEXT, generator.text, generator.text.config.to_metadata()),
    ):
        weights = {key: value.detach().half().cpu().contiguous() for key, value in module.state_dict().items()}
        path = folder / name
        save_file(weights, path.with_suffix(".new"), metadata)
        os.replace(path.with_suffix(".new"), path)
        written.append(path)
    return written


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the tiny story model's generator and text encoder.")
    parser.add_argument("--folder", type=Path, default=Path(".train/generator"), help="where the checkpoint is kept")
    parser.add_argument("--vae", type=Path, default=tiny_story.ASSETS / tiny_story.VAE, help="the VAE to train with")
    parser.add_argument("--latents", type=Path, default=Path(".train/latents"), help="where encoded stories are kept")
    parser.add_argument("--preset", choices=PRESETS, help=f"size of the model ({Settings.preset})")
    for name in ("steps", "batch", "copies", "stories", "first_stories", "steps_a_story", "seed"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, help=f"({getattr(Settings, name)})")
    for name in ("lr", "lr_rest", "align", "calm", "own"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, help=f"({getattr(Settings, name)})")
    parser.add_argument("--pause", type=int, metavar="STEP", help="stop there, with the schedule of --steps")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--fuse", action="store_true", help="compile the forward; a CPU needs a C++ compiler")
    parser.add_argument("--export", type=Path, metavar="DIR", help="write the averaged model there, do not train")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    settings = _settings(arguments)
    if arguments.export:
        run = Training(settings, "cpu")
        run.load(arguments.folder / CHECKPOINT)
        for path in export(run.average, arguments.export):
            print(f"step {run.step}: {path}, {path.stat().st_size / 1e6:.1f} MB")
        return
    torch.set_float32_matmul_precision("high")
    if arguments.fuse:
        generator_run.fuse()
    train(arguments.folder, settings, arguments.vae, arguments.latents, arguments.device, arguments.pause)


def _settings(arguments: argparse.Namespace) -> Settings:
    """The checkpoint's, or else the defaults, where the command line says nothing else."""
    path = arguments.folder / CHECKPOINT
    known = asdict(Settings()) | (torch.load(path, weights_only=True)["settings"] if path.exists() else {})
    given = {field.name: getattr(arguments, field.name) for field in fields(Settings)}
    return Settings(**known | {name: value for name, value in given.items() if value is not None})


if __name__ == "__main__":
    main()
