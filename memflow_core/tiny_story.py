"""Where the bundled tiny story model lies: what `training.train_vae` and `training.train_generator` export."""

from __future__ import annotations

from pathlib import Path

ASSETS = Path(__file__).parent / "assets"
GENERATOR = "tiny_story_generator.safetensors"
VAE = "tiny_story_vae.safetensors"
TEXT = "tiny_story_text.safetensors"
