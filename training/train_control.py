"""Train a control branch for the tiny story model: drawn marks lead its characters.

    python -m training.train_control --folder DIR [--model memflow_core/assets] [--steps N] [--device cuda]
    python -m training.train_control --folder DIR --export FILE

The generator stays as it is: the branch alone is trained, on chunks in which a character is led along a path of its
own (`training.cartoons.paths`), under the memory that a stream has there. Whoever trains another generator trains its
branch anew.

Training goes on from DIR/control.pt where there is one, which is written once a minute; encoded stories are kept under
--latents. The exported file has the keys of the VACE files, in float16: MemFlow Load Control reads it.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from safetensors.torch import save_file

from memflow_core.weights import ASSETS, TINY_VAE

from .cartoons import sample_led_story
from .control import ControlSettings, ControlTrainer, MarkLatents
from .generator import PRESETS, DeviceLatents, Generator, GeneratorSettings, LatentStore
from .train_generator import read_exported
from .trainer import Pace, read_settings
from .vae import Codec

CHECKPOINT = "control.pt"
REPORT_EVERY_S = 60.0


def train(run: ControlTrainer, folder: Path, *, codec: Codec, latents: Path, pause: int | None) -> None:
    """Train until the settings' last step, or `pause`; report and save as `Pace` says. latents: of encoded stories."""
    store = LatentStore(codec, run.settings.seed, latents, sample_led_story)
    on_device, marks = DeviceLatents(store, run.device), MarkLatents(codec, run.settings.seed)
    end = min(run.settings.steps, pause or run.settings.steps)

    def report(rate: str, means: str) -> None:
        print(f"step {run.step} {rate} {len(store.stories)} stories {means}", flush=True)

    pace = Pace(REPORT_EVERY_S, lambda: run.save(folder / CHECKPOINT), report)
    while run.step < end:
        run.prepare(store, on_device, marks)
        pace.tick(run.train_step(on_device, marks), last=run.step >= end)


def export(run: ControlTrainer, path: Path) -> None:
    """Write the averaged branch as float16."""
    weights = {key: value.half().cpu().contiguous() for key, value in run.average.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(weights, path.with_suffix(".new"))
    os.replace(path.with_suffix(".new"), path)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a control branch for the tiny story model.")
    parser.add_argument("--folder", type=Path, default=Path(".train/control"), help="where the checkpoint is kept")
    parser.add_argument("--model", type=Path, default=ASSETS, help="folder of the generator's files")
    parser.add_argument("--latents", type=Path, default=Path(".train/latents"), help="where encoded stories are kept")
    for name in ("blocks", "steps", "batch", "copies", "stories", "first_stories", "steps_a_story", "seed", "streams"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, help=f"({getattr(ControlSettings, name)})")
    for name in ("lr", "lr_rest", "focus", "marks", "unknown"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, help=f"({getattr(ControlSettings, name)})")
    parser.add_argument("--pause", type=int, metavar="STEP", help="stop there, with the schedule of --steps")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--export", type=Path, metavar="FILE", help="write the averaged branch there, do not train")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    checkpoint = arguments.folder / CHECKPOINT
    generator = Generator(PRESETS[GeneratorSettings.preset])
    generator.load_state_dict({key: value.float() for key, value in read_exported(arguments.model).items()})
    device = "cpu" if arguments.export else arguments.device
    run = ControlTrainer(read_settings(ControlSettings, checkpoint, arguments), generator, device)
    if checkpoint.exists():
        run.load(checkpoint)
    if arguments.export:
        export(run, arguments.export)
        print(f"step {run.step}: {arguments.export}, {arguments.export.stat().st_size / 1e6:.1f} MB")
        return
    codec = Codec(arguments.model / TINY_VAE, run.device)
    train(run, arguments.folder, codec=codec, latents=arguments.latents, pause=arguments.pause)


if __name__ == "__main__":
    main()
