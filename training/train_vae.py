"""Train the tiny story model's video autoencoder on drawn cartoons.

    python -m training.train_vae --folder DIR [--steps N] [--device cuda] [--fuse]
    python -m training.train_vae --folder DIR --evaluate
    python -m training.train_vae --folder DIR --export DIR

A checkpoint, DIR/vae.pt, is written once a minute, and the next run goes on from it. The learning rate falls to zero
at --steps, so a run may be prolonged by a higher number. The same seed draws the same clips. Base width 16 has
1.3 million weights that are not zero, 3.6 million (7.2 MB) in the file.

Use one thread per process: on shared CPU cores a second one makes it slower.
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import asdict
from pathlib import Path

from safetensors.torch import save_file
from torch.utils.data import DataLoader

from .trainer import Pace, read_settings
from .vae import (
    FIRST_TRAINING_SEED,
    ClipBatches,
    VaeSettings,
    VaeTrainer,
    compile_norms,
    evaluate,
    latent_statistics,
    read_vae,
    wan_weights,
)

CHECKPOINT, FILE = "vae.pt", "tiny_story_vae.safetensors"
REPORT_EVERY_S = 180.0


def train(run: VaeTrainer, folder: Path, workers: int) -> None:
    """Train until the settings' last step; report and save as `Pace` says."""
    order = range(run.step, run.settings.steps)
    loader = DataLoader(ClipBatches(run.settings), batch_size=None, sampler=order, num_workers=workers)

    def report(rate: str, means: str) -> None:
        last = run.step == run.settings.steps
        print(f"step {run.step} {rate} {means}, {evaluate(run, stories=8 if last else 2).summary_line()}", flush=True)

    pace = Pace(REPORT_EVERY_S, lambda: run.save(folder / CHECKPOINT), report)
    for pictures, character in loader:
        loss = run.train_step(pictures, character)
        pace.tick({"loss": loss}, last=run.step == run.settings.steps)


def export(run: VaeTrainer, folder: Path) -> Path:
    """Write the averaged weights as float16 in ComfyUI's Wan 2.1 VAE layout."""
    folder.mkdir(parents=True, exist_ok=True)
    mean, std = latent_statistics(run)
    weights = wan_weights(run.average, mean, std)
    path = folder / FILE
    new = path.with_suffix(".new")
    save_file({name: value.half() for name, value in weights.items()}, new, {"format": "pt"})
    os.replace(new, path)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the tiny story model's video autoencoder.")
    parser.add_argument("--folder", type=Path, required=True, help="where the checkpoint is kept")
    parser.add_argument("--steps", type=int, help=f"steps in all ({VaeSettings.steps})")
    parser.add_argument("--clips", type=int, help=f"clips in a batch ({VaeSettings.clips})")
    parser.add_argument("--width", type=int, choices=(8, 16), help=f"base width ({VaeSettings.width})")
    parser.add_argument("--lr", type=float, help=f"learning rate ({VaeSettings.lr})")
    parser.add_argument("--seed", type=int, help=f"of weights and clips ({FIRST_TRAINING_SEED})")
    parser.add_argument("--frozen", action="store_true", default=None, help="keep the latents, train the decoder alone")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--workers", type=int, default=0, help="processes that draw clips; 0: none but this one")
    parser.add_argument("--fuse", action="store_true", help="compile the norms, about twice as fast on a CPU")
    parser.add_argument("--evaluate", type=int, metavar="N", help="measure on N unseen stories, do not train")
    parser.add_argument("--export", type=Path, metavar="DIR", help=f"write {FILE} there, do not train")
    parser.add_argument(
        "--start-from", type=Path, metavar="FILE", help="an exported VAE to begin with, in a new folder"
    )
    arguments = parser.parse_args()
    folder = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / CHECKPOINT
    run = VaeTrainer(read_settings(VaeSettings, checkpoint, arguments), arguments.device)
    if checkpoint.exists():
        run.load(checkpoint)
    elif arguments.start_from:
        run.load_weights(read_vae(arguments.start_from).state_dict())
    if arguments.evaluate:
        print(json.dumps({"step": run.step, **asdict(evaluate(run, arguments.evaluate))}))
    if arguments.export:
        print(f"step {run.step}: {export(run, arguments.export)}")
    if not arguments.evaluate and not arguments.export:
        if arguments.fuse:
            compile_norms(run.model)
        train(run, folder, arguments.workers)


if __name__ == "__main__":
    main()
