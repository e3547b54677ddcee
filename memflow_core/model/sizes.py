"""Sizes of a Wan 2.1 text-to-video model, and how many numbers its weights hold."""

from __future__ import annotations

from dataclasses import dataclass

from ..config import ModelConfig
from .control import control_channels

FREQ_DIM = 256  # of the timestep's sinusoid, in every Wan 2.1 file


@dataclass(frozen=True)
class ModelSize:
    """The sizes of a model that decide its bytes.

    text_length  tokens of a prompt embedding.
    channels     latent channels.
    dtype_bytes  bytes of one activation.
    """

    layers: int
    dim: int
    heads: int
    ffn_dim: int
    text_dim: int = 4096
    text_length: int = 512
    channels: int = 16
    dtype_bytes: int = 2

    @staticmethod
    def of(config: ModelConfig, dtype_bytes: int = 2, text_length: int = 512) -> ModelSize:
        return ModelSize(
            layers=config.num_layers,
            dim=config.dim,
            heads=config.num_heads,
            ffn_dim=config.ffn_dim,
            text_dim=config.text_dim,
            text_length=text_length,
            channels=config.in_channels,
            dtype_bytes=dtype_bytes,
        )


def matrices_of(model: ModelSize) -> int:
    """Count the numbers in the matrices of the blocks, which are what FP8 is for."""
    return model.layers * (8 * model.dim**2 + 2 * model.dim * model.ffn_dim)


def weights_of(model: ModelSize) -> int:
    """Count the numbers in all weights."""
    dim = model.dim
    ffn = model.ffn_dim
    patch = 4 * model.channels
    attention = 4 * (dim * dim + dim) + 2 * dim
    block = 2 * attention + 2 * dim + (2 * dim * ffn + ffn + dim) + 6 * dim
    text = (model.text_dim + 1 + dim + 1) * dim
    time = (FREQ_DIM + 1 + dim + 1 + 6 * (dim + 1)) * dim
    head = (dim + 1) * patch + 2 * dim
    return model.layers * block + (patch + 1) * dim + text + time + head


def control_weights_of(model: ModelSize, blocks: int) -> int:
    """Count the numbers in the weights of a control branch of so many blocks beside a model."""
    dim, ffn, patch = model.dim, model.ffn_dim, 4 * control_channels(model.channels)
    attention = 4 * (dim * dim + dim) + 2 * dim
    block = 2 * attention + 2 * dim + (2 * dim * ffn + ffn + dim) + 6 * dim
    return blocks * (block + (dim + 1) * dim) + (dim + 1) * dim + (patch + 1) * dim


def fp8_bytes_of(model: ModelSize) -> int:
    """Count the bytes of the weights as `weights.quantised` makes them: matrices of the blocks in FP8, each with its
    scale, all other weights in the model's own precision."""
    matrices = matrices_of(model)
    scales = 10 * 4 * model.layers
    return matrices + scales + (weights_of(model) - matrices) * model.dtype_bytes
