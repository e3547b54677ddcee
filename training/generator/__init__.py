"""The tiny story model's generator: its network for training, its samples with memory, and its training."""

from .latents import SIDE, DeviceLatents, EncodedStory, LatentStore
from .model import PRESETS, Generator, SparseActivation, encode_prompts, predict_flow, text_per_frame
from .samples import BANK, CONTEXT, NEWER, OLDER, SINK, SampleBatch, SampleMix, Sampler, frame_mask
from .trainer import GeneratorSettings, GeneratorTrainer

__all__ = [
    "BANK",
    "CONTEXT",
    "NEWER",
    "OLDER",
    "PRESETS",
    "SIDE",
    "SINK",
    "DeviceLatents",
    "EncodedStory",
    "Generator",
    "GeneratorSettings",
    "GeneratorTrainer",
    "LatentStore",
    "SampleBatch",
    "SampleMix",
    "Sampler",
    "SparseActivation",
    "encode_prompts",
    "frame_mask",
    "predict_flow",
    "text_per_frame",
]
