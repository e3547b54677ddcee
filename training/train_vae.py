"""Train the tiny story model's video autoencoder on drawn cartoons.

    python -m training.train_vae --folder DIR [--steps N] [--device cuda] [--fuse]
    python -m training.train_vae --folder DIR --evaluate
    python -m training.train_vae --folder DIR --export DIR

Training goes on from DIR/vae.pt where there is one, which is written once a minute; the learning rate falls to
nothing at --steps, so a run may be prolonged by a higher number. The same seed draws the same
clips. Base width 16 has 1.3 million weights that are not zero, 3.6 million (7.2 MB) in the file.

One thread per process: on shared CPU cores a second one makes it slower.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch.utils.data import DataLoader

from . import vae
from .vae import wan_weights
from .vae_run import SEED, Batches, Settings, Training
from .vae_scores import latent_statistics, scores

CHECKPOINT, FILE = "vae.pt", "tiny_story_vae.safetensors"
SAVE_EVERY, REPORT_EVERY = 60.0, 180.0  # seconds


def train(folder: Path, settings: Settings, device: str, workers: int) -> None:
    """Train until `settings.steps`, from the folder's checkpoint where there is one."""
    run, path = Training(settings, device), folder / CHECKPOINT
    if path.exists():
        run.load(path)
    loader = DataLoader(
        Batches(settings), batch_size=None, sampler=range(run.step, settings.steps), num_workers=workers
    )
    saved = reported = time.monotonic()
    since = run.step
    for pictures, character in loader:
        loss = run.learn(pictures, character)
        now = time.monotonic()
        if now - reported > REPORT_EVERY:
            rate = (run.step - since) / (now - reported)
            print(f"step {run.step} {rate:.2f}/s loss {loss:.4f} {scores(run, stories=2).line()}", flush=True)
            reported, since = time.monotonic(), run.step
        if now - saved > SAVE_EVERY:
            run.save(path)
            saved = now
    run.save(path)
    print(f"step {run.step}: done, {scores(run, stories=8).line()}", flush=True)


def export(run: Training, folder: Path) -> Path:
    """Write the averaged weights as float16 in ComfyUI's Wan 2.1 VAE layout."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = wan_weights(run.average, *latent_statistics(run))
    path = folder / FILE
    new = path.with_suffix(".new")
    save_file({name: value.half() for name, value in weights.items()}, new, {"format": "pt"})
    os.replace(new, path)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the tiny story model's video autoencoder.")
    parser.add_argument("--folder", type=Path, required=True, help="where the checkpoint is kept")
    parser.add_argument("--steps", type=int, help=f"steps in all ({Settings.steps})")
    parser.add_argument("--clips", type=int, help=f"clips in a batch ({Settings.clips})")
    parser.add_argument("--width", type=int, choices=(8, 16), help=f"base width ({Settings.width})")
    parser.add_argument("--lr", type=float, help=f"learning rate ({Settings.lr})")
    parser.add_argument("--seed", type=int, help=f"of weights and clips ({SEED})")
    parser.add_argument("--frozen", action="store_true", default=None, help="keep the latents, train the decoder alone")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--workers", type=int, default=0, help="processes that draw clips; 0: none but this one")
    parser.add_argument("--fuse", action="store_true", help="compile the norms, about twice as fast on a CPU")
    parser.add_argument("--evaluate", type=int, metavar="N", help="measure on N unseen stories, do not train")
    parser.add_argument("--export", type=Path, metavar="DIR", help=f"write {FILE} there, do not train")
    arguments = parser.parse_args()
    folder = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    settings = _settings(arguments, folder / CHECKPOINT)
    if arguments.evaluate or arguments.export:
        run = Training(settings, arguments.device)
        run.load(folder / CHECKPOINT)
        if arguments.evaluate:
            result = scores(run, arguments.evaluate)
            print(json.dumps({"step": run.step, **asdict(result)}))
        if arguments.export:
            print(f"step {run.step}: {export(run, arguments.export)}")
        return
    if arguments.fuse:
        vae.fuse()
    train(folder, settings, arguments.device, arguments.workers)


def _settings(arguments: argparse.Namespace, path: Path) -> Settings:
    """The checkpoint's, or else the defaults, where the command line says nothing else."""
    known = torch.load(path, weights_only=True)["settings"] if path.exists() else {}
    given = {name: value for name, value in vars(arguments).items() if name in asdict(Settings()) and value is not None}
    return Settings(**{**known, **given})


if __name__ == "__main__":
    main()
