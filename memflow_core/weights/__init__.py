"""Checkpoint and LoRA files of every dialect in, one key layout out; the bundled tiny model."""

from .files import read_checkpoint
from .fp8_export import quantised, save_quantised
from .generator import WHICH, read_generator
from .lora import read_lora
from .tiny import ASSETS, END, TINY_GENERATOR, TINY_TEXT, TINY_VAE, TextConfig, TextEncoder, read_text_encoder

__all__ = [
    "ASSETS",
    "TINY_GENERATOR",
    "TINY_TEXT",
    "TINY_VAE",
    "END",
    "TextConfig",
    "TextEncoder",
    "WHICH",
    "quantised",
    "read_checkpoint",
    "read_generator",
    "read_lora",
    "read_text_encoder",
    "save_quantised",
]
