"""Stream many stories side by side: ground truth up to some chunk, and the model's own pictures from there on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from memflow_core.config import ARCHIVE_RULES, RETRIEVALS, LatentShape, MemoryConfig, SamplingConfig
from memflow_core.model import Attend, Backbone, TextKV, WanModel
from memflow_core.profiles import PROFILES
from memflow_core.stream import Draw, FlowSchedule, ForwardPass, SeededNoise, Stream
from memflow_core.weights import TINY_GENERATOR, TINY_TEXT, TINY_VAE, TextEncoder, read_generator, read_text_encoder
from training.cartoons import CHUNK_LATENTS, CartoonStory
from training.generator import SIDE, LatentStore
from training.vae import Codec

CHUNK_HELP = f"latent frames that the model makes at a time; it was trained with {CHUNK_LATENTS} ({CHUNK_LATENTS})"


@dataclass(frozen=True)
class Models:
    """The three parts of the tiny story model, and how it streams.

    dtype         that its generator computes in.
    chunk_frames  latent frames that it makes at a time, a divisor of those that a story's chunks have.
    """

    tree: WanModel
    text: TextEncoder
    codec: Codec
    dtype: torch.dtype = torch.float32
    chunk_frames: int = CHUNK_LATENTS

    @staticmethod
    def read(folder: Path) -> Models:
        """Read the files of a folder. Raises FileNotFoundError or ValueError for one that is missing or not whole."""
        weights = read_generator(folder / TINY_GENERATOR)
        tree = WanModel(weights.config)
        tree.load_state_dict({name: value.float() for name, value in weights.state_dict.items()})
        text = read_text_encoder(folder / TINY_TEXT)
        return Models(tree.eval().requires_grad_(False), text, Codec(folder / TINY_VAE))

    def embed(self, prompts: Sequence[str]) -> Tensor:
        """Embed prompts: float32 [prompts, length, width]."""
        with torch.inference_mode():
            return torch.cat([self.text(self.text.config.ids(prompt)) for prompt in prompts])


# passes that read the bank as it is chosen for a chunk
READING = ("recache", "denoise")
_ARCHIVE = {"bank_keys": "alone", "archive": "latents"}


@dataclass(frozen=True)
class Policy:
    """Memory to measure.

    swapped  give each story the bank of its donor for the last segment, as it was chosen for the donor's.
    """

    name: str
    memory: MemoryConfig
    swapped: bool = False


def policies(frames: int) -> dict[str, Policy]:
    """Return all policies by name, for stories of that many latent frames.

    `default` is what a stream of this model has where nobody says otherwise, whatever that is.
    """
    first = ("fifo", "reference", "prompt", "similarity", "attention")
    added = (name for name in RETRIEVALS if name not in (*first, "none"))
    kinds = {name: MemoryConfig(retrieval=name) for name in (*first, *added)}
    memories = {
        "default": PROFILES["Tiny story model"].memory,
        "none": MemoryConfig(retrieval="none", sink_frames=0),
        "sink": MemoryConfig(retrieval="none"),
        **kinds,
        "full": MemoryConfig(retrieval="none", window_frames=frames),
        **{f"{name}+sma": replace(kinds[name], top_k=3) for name in ("prompt", "attention")},
        "prompt+fp8": replace(kinds["prompt"], cache="fp8"),
        "prompt+alone": replace(kinds["prompt"], bank_keys="alone"),
        **{f"archive+{rule}": MemoryConfig(**_ARCHIVE, archive_rule=rule) for rule in ARCHIVE_RULES},
        **{f"{name}+ahead": replace(kinds[name], look_ahead=True) for name in ("prompt", "similarity")},
        **{f"{name}+novelty": replace(kinds[name], admission="novelty") for name in ("prompt", "similarity")},
        "prompt+ahead+novelty": replace(kinds["prompt"], look_ahead=True, admission="novelty"),
        **{f"made+{rule}": MemoryConfig(archive="keys", archive_rule=rule) for rule in ARCHIVE_RULES},
    }
    return {name: Policy(name, memory) for name, memory in memories.items()} | {
        "swapped": Policy("swapped", kinds["prompt"], swapped=True),
        **{
            f"{name}+swapped": Policy(f"{name}+swapped", memories[name], swapped=True)
            for name in ("default", "archive+words")
        },
    }


class StoryNoise:
    """Noise with a seed for each story of the batch, so that a story's noise does not depend on its neighbours."""

    def __init__(self, seeds: Sequence[int]):
        self.sources = [SeededNoise(seed) for seed in seeds]

    def chunk(self, index: int) -> Draw:
        draws = [source.chunk(index) for source in self.sources]
        return lambda shape: torch.cat([draw((1, *shape[1:])) for draw in draws])


class TeacherForcedBackbone(Backbone):
    """`Backbone` whose denoising can be made to arrive at given latents, so that a stream remembers true pictures.

    The context pass is the real one. So is a chunk's first step if `needs_queries`: memory then scores by its queries.

    target  the coming chunk's latents, [B, C, F, h, w]; None: the model's own.
    """

    def __init__(self, tree: WanModel, needs_queries: bool, dtype: torch.dtype = torch.float32):
        super().__init__(tree, dtype)
        self.target: Tensor | None = None
        self._needs_queries = needs_queries
        self._pass: ForwardPass | None = None
        self._flow = FlowSchedule()

    def on_forward(self, forward: ForwardPass) -> None:
        """Take note of the coming pass; for `Stream(on_forward=...)`."""
        self._pass = forward

    def __call__(self, x: Tensor, timesteps: Tensor | float, text: list[TextKV], attend: Attend) -> Tensor:
        """Return the flow of x, [B, C, F, h, w]: the one that leads to `target`, if there is one."""
        if self.target is None or self._pass.kind != "denoise":
            return super().__call__(x, timesteps, text, attend)
        if self._pass.step == 0 and self._needs_queries:
            super().__call__(x, timesteps, text, attend)
        return (x - self.target) / self._flow.sigma(float(timesteps))


class SegmentMeter(Protocol):
    """Looks at the attention of a chunk's first step, as `Stream.meter`; what it makes of it is its own."""

    def __call__(self, layer: int, q: Tensor, keys: Tensor, kinds: Tensor) -> None: ...

    def take(self) -> None:
        """End a chunk, also one whose latents were given, where no layer attended."""
        ...


@dataclass
class GeneratedStories:
    """Result of a stream.

    latents  float32 [B, frames, C, h, w] in the model's space, true ones included.
    banks    int64 [layers, B, n]: latent frames in the bank in each segment's first chunk; none without a bank.
    """

    latents: Tensor
    banks: list[Tensor] = field(default_factory=list)

    def pictures(self, codec: Codec, number: int, chunks: range) -> np.ndarray:
        """Pictures of some chunks of story `number`, uint8 [frames, SIZE, SIZE, 3]."""
        latents = self.latents[number : number + 1]
        return codec.decode_part(latents, CHUNK_LATENTS * chunks.start, CHUNK_LATENTS * chunks.stop)[0]

    @property
    def bank(self) -> Tensor | None:
        """The bank in the last segment's first chunk; None without one."""
        return self.banks[-1] if self.banks else None


@dataclass
class StoryStreamer:
    """Streams stories that are cut alike, side by side, under one policy.

    truth  the stories' own latents, float32 [B, frames, C, h, w], if a stream shall start with them.
    meter  looks at the first chunk of every segment.
    """

    models: Models
    stories: Sequence[CartoonStory]
    seed: int
    truth: Tensor | None = None
    meter: SegmentMeter | None = None

    def generate(self, policy: Policy, true_chunks: int = 0, end_chunk: int | None = None) -> GeneratedStories:
        """Stream the stories up to `end_chunk` (None: the end), the first `true_chunks` chunks from `truth`."""
        backbone = TeacherForcedBackbone(self.models.tree, policy.memory.retrieval == "attention", self.models.dtype)
        segments = self.stories[0].segments
        end_chunk = self.stories[0].chunks if end_chunk is None else end_chunk
        shape = LatentShape(SIDE, SIDE, len(self.stories))
        noise = StoryNoise([self.seed * 1_000_003 + number for number in range(len(self.stories))])
        parts = CHUNK_LATENTS // self.models.chunk_frames

        def on_forward(forward: ForwardPass) -> None:
            backbone.on_forward(forward)
            if due and forward.kind in READING:
                due.clear()
                swap_banks(stream)

        stream = Stream(
            backbone,
            shape,
            # recorded by the same clock, whatever is made at a time
            memory=replace(policy.memory, record_every=policy.memory.record_every * parts),
            sampling=SamplingConfig(chunk_frames=self.models.chunk_frames),
            noise=noise,
            frames=CHUNK_LATENTS * end_chunk,
            on_forward=on_forward,
        )
        latents, banks, due = [], [], []
        for number, segment in enumerate(segments):
            if segment.start_chunk >= end_chunk:
                break
            stream.set_prompt(self.models.embed([story.segments[number].prompt for story in self.stories]))
            if policy.memory.look_ahead:
                later = range(number + 1, len(segments))
                stream.look_ahead([self.models.embed([s.segments[n].prompt for s in self.stories]) for n in later])
            last = number == len(segments) - 1
            if last and policy.swapped:
                # when both have been chosen, from an archive too
                due.append(number)
            start, end = segment.start_chunk * parts, min(segment.end_chunk, end_chunk) * parts
            for chunk in range(start, end):
                backbone.target = self._true_chunk(chunk) if chunk < true_chunks * parts else None
                stream.meter = self.meter if chunk == start else None
                latents.append(next(stream).latents.movedim(2, 1))
                if chunk == start and policy.memory.bank_slots:
                    filled = slice(stream.cache.layout.bank_slots - stream.cache.layout.bank, None)
                    banks.append(stream.cache.frames[:, :, filled].clone())
        return GeneratedStories(torch.cat(latents, 1), banks)

    def _true_chunk(self, chunk: int) -> Tensor:
        frames = self.models.chunk_frames
        return self.truth[:, frames * chunk : frames * (chunk + 1)].movedim(1, 2)


def swap_banks(stream: Stream) -> None:
    """Exchange the banks of stories 2n and 2n + 1 of a stream, in every layer, in place."""
    cache = stream.cache
    partner = torch.arange(cache.batch) ^ 1
    slots = slice(0, cache.layout.bank_slots)
    for tensor, place in (*((part, 3) for part in cache.parts.values()), (cache.frames, 2)):
        view = tensor.narrow(place, 0, cache.layout.bank_slots)
        view.copy_(view[:, partner].clone())
    cache.order.copy_(cache.order[:, partner].clone())
    stream.memory.bank.prompts[..., slots] = stream.memory.bank.prompts[:, partner][..., slots].clone()


def truth_latents(codec: Codec, stories: Sequence[CartoonStory]) -> Tensor:
    """Encode stories of one length. Returns float32 [B, frames, C, h, w]."""
    store = LatentStore(codec, first_seed=0)
    rows = [torch.from_numpy(store.encode(story).rows) for story in stories]
    return store.latents[torch.stack(rows)].float()
