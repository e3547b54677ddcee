"""The tiny story model's generator: its network for training, its samples with memory, and its training."""

from .budget import StepBudget
from .latents import SIDE, DeviceLatents, EncodedStory, LatentStore
from .model import PRESETS, TEXT, Generator, encode_prompts, text_per_frame
from .plan import BANK, CONTEXT, NEWER, OLDER, SINK, ChunkTable, MemoryMix, PromptIndex, StoryPlan, plan_memory
from .reading import Context, ContextAttention, StoryRows, TrainingBackbone, predict_flow, read_story
from .samples import SampleBatch, SampleMix, Sampler
from .streams import StepData, StoryStreams, add_noise, widen
from .trainer import GeneratorSettings, GeneratorTrainer

__all__ = [
    "BANK",
    "CONTEXT",
    "NEWER",
    "OLDER",
    "PRESETS",
    "SIDE",
    "SINK",
    "TEXT",
    "ChunkTable",
    "Context",
    "ContextAttention",
    "DeviceLatents",
    "EncodedStory",
    "Generator",
    "GeneratorSettings",
    "GeneratorTrainer",
    "LatentStore",
    "MemoryMix",
    "PromptIndex",
    "SampleBatch",
    "SampleMix",
    "Sampler",
    "StepBudget",
    "StepData",
    "StoryPlan",
    "StoryRows",
    "StoryStreams",
    "TrainingBackbone",
    "add_noise",
    "encode_prompts",
    "plan_memory",
    "predict_flow",
    "read_story",
    "text_per_frame",
    "widen",
]
