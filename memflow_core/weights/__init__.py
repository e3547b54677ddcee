"""Weight files of every dialect in, one key layout out: generators, LoRAs, control, and the bundled tiny model."""

from .control import ControlWeights, read_control
from .files import read_checkpoint
from .fp8_export import quantised, save_quantised
from .generator import WHICH, GeneratorWeights, read_generator
from .load import load_generator, load_tiny_generator, load_tiny_text_encoder
from .lora import Lora, read_lora
from .tiny import (
    ASSETS,
    END,
    TINY_CONTROL,
    TINY_GENERATOR,
    TINY_TEXT,
    TINY_VAE,
    TextConfig,
    TextEncoder,
    read_text_encoder,
)

__all__ = [
    "ASSETS",
    "END",
    "TINY_CONTROL",
    "TINY_GENERATOR",
    "TINY_TEXT",
    "TINY_VAE",
    "WHICH",
    "ControlWeights",
    "GeneratorWeights",
    "Lora",
    "TextConfig",
    "TextEncoder",
    "load_generator",
    "load_tiny_generator",
    "load_tiny_text_encoder",
    "quantised",
    "read_checkpoint",
    "read_control",
    "read_generator",
    "read_lora",
    "read_text_encoder",
    "save_quantised",
]
