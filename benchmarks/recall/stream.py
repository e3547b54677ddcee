"""Stories through a real stream, many side by side: from ground truth up to some chunk, the model's own from there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from memflow_core.config import LatentShape, MemoryConfig
from memflow_core.model import Attend, Backbone, TextKV, WanModel
from memflow_core.stream import Draw, FlowSchedule, ForwardPass, SeededNoise, Stream
from memflow_core.weights import TINY_GENERATOR, TINY_TEXT, TINY_VAE, TextEncoder, read_generator, read_text_encoder
from training.cartoons.story import CartoonStory
from training.generator.latents import SIDE, LatentStore
from training.vae.codec import Codec


@dataclass(frozen=True)
class Models:
    """The tiny story model's three parts, and what its generator computes in."""

    tree: WanModel
    text: TextEncoder
    codec: Codec
    dtype: torch.dtype = torch.float32

    @staticmethod
    def read(folder: Path) -> Models:
        """Read the files of a folder. Raises FileNotFoundError or ValueError for what is not there or not whole."""
        weights = read_generator(folder / TINY_GENERATOR)
        tree = WanModel(weights.config)
        tree.load_state_dict({name: value.float() for name, value in weights.state_dict.items()})
        text = read_text_encoder(folder / TINY_TEXT)
        return Models(tree.eval().requires_grad_(False), text, Codec(folder / TINY_VAE))

    def embed(self, prompts: Sequence[str]) -> Tensor:
        """[prompts, length, width]."""
        with torch.inference_mode():
            return torch.cat([self.text(self.text.config.ids(prompt)) for prompt in prompts])


@dataclass(frozen=True)
class Policy:
    """A memory to measure. swapped: before the return, each story gets the bank of its donor."""

    name: str
    memory: MemoryConfig
    swapped: bool = False


def policies(frames: int) -> dict[str, Policy]:
    """All of them, for stories of that many latent frames."""
    kinds = {name: MemoryConfig(retrieval=name) for name in ("fifo", "reference", "prompt", "similarity", "attention")}
    memories = {
        "none": MemoryConfig(retrieval="none", sink_frames=0),
        "sink": MemoryConfig(retrieval="none"),
        **kinds,
        "full": MemoryConfig(retrieval="none", window_frames=frames),
        **{f"{name}+sma": replace(kinds[name], top_k=3) for name in ("prompt", "attention")},
        "prompt+fp8": replace(kinds["prompt"], cache="fp8"),
    }
    return {name: Policy(name, memory) for name, memory in memories.items()} | {
        "swapped": Policy("swapped", kinds["prompt"], swapped=True)
    }


class StoryNoise:
    """A seed for each story of the batch, so that a story's noise does not depend on its neighbours."""

    def __init__(self, seeds: Sequence[int]):
        self.sources = [SeededNoise(seed) for seed in seeds]

    def chunk(self, index: int) -> Draw:
        draws = [source.chunk(index) for source in self.sources]
        return lambda shape: torch.cat([draw((1, *shape[1:])) for draw in draws])


class TeacherForcedBackbone(Backbone):
    """A backbone whose denoising can be told what to arrive at, so that a stream remembers pictures that it was given.

    The context pass is the real one; so is a chunk's first step where memory `listens` to its queries.
    """

    def __init__(self, tree: WanModel, listens: bool, dtype: torch.dtype = torch.float32):
        super().__init__(tree, dtype)
        self._listens = listens
        self.given: Tensor | None = None  # [B, C, F, h, w]: what the coming chunk shall be
        self._now: ForwardPass | None = None
        self._flow = FlowSchedule()

    def announce(self, forward: ForwardPass) -> None:
        """For `Stream(on_forward=...)`."""
        self._now = forward

    def __call__(self, x: Tensor, timesteps: Tensor | float, text: list[TextKV], attend: Attend) -> Tensor:
        if self.given is None or self._now.kind != "denoise":
            return super().__call__(x, timesteps, text, attend)
        if self._now.step == 0 and self._listens:
            super().__call__(x, timesteps, text, attend)
        return (x - self.given) / self._flow.sigma(float(timesteps))


@dataclass
class GeneratedStories:
    """What a stream made.

    latents      [B, frames, C, h, w] in the model's space, given ones included.
    bank         [layers, B, n]: latent frames in the bank in the last segment's first chunk; None without a bank.
    """

    latents: Tensor
    bank: Tensor | None = None


@dataclass
class StoryStreamer:
    """Tells stories that are cut alike, under one policy.

    truth  [B, frames, C, h, w]: the stories' own latents, if they are to be given.
    """

    models: Models
    stories: Sequence[CartoonStory]
    seed: int
    truth: Tensor | None = None
    on_chunk: Callable[[int], None] = field(default=lambda chunk: None)

    def tell(self, policy: Policy, given_chunks: int = 0, end_chunk: int | None = None) -> GeneratedStories:
        """The first `given_chunks` chunks from `truth`, the others up to `end_chunk` (the end) by the model."""
        backbone = TeacherForcedBackbone(self.models.tree, policy.memory.retrieval == "attention", self.models.dtype)
        segments = self.stories[0].segments
        end_chunk = self.stories[0].chunks if end_chunk is None else end_chunk
        shape = LatentShape(SIDE, SIDE, len(self.stories))
        noise = StoryNoise([self.seed * 1_000_003 + number for number in range(len(self.stories))])
        stream = Stream(backbone, shape, policy.memory, noise=noise, frames=3 * end_chunk, on_forward=backbone.announce)
        made, bank = [], None
        for number, segment in enumerate(segments):
            if segment.start_chunk >= end_chunk:
                break
            stream.set_prompt(self.models.embed([story.segments[number].prompt for story in self.stories]))
            last = number == len(segments) - 1
            if last and policy.swapped:
                swap_banks(stream)
            for chunk in range(segment.start_chunk, min(segment.end_chunk, end_chunk)):
                backbone.given = self._given(chunk) if chunk < given_chunks else None
                made.append(next(stream).latents.movedim(2, 1))
                if last and chunk == segment.start_chunk and policy.memory.bank_slots:
                    filled = slice(stream.cache.layout.bank_slots - stream.cache.layout.bank, None)
                    bank = stream.cache.frames[:, :, filled].clone()
                self.on_chunk(chunk)
        return GeneratedStories(torch.cat(made, 1), bank)

    def _given(self, chunk: int) -> Tensor:
        return self.truth[:, 3 * chunk : 3 * chunk + 3].movedim(1, 2)


def swap_banks(stream: Stream) -> None:
    """Exchange the banks of stories 2n and 2n + 1, in every layer."""
    cache = stream.cache
    partner = torch.arange(cache.batch) ^ 1
    slots = slice(0, cache.layout.bank_slots)
    for tensor, place in (*((part, 3) for part in cache.parts.values()), (cache.frames, 2)):
        view = tensor.narrow(place, 0, cache.layout.bank_slots)
        view.copy_(view[:, partner].clone())
    cache.order.copy_(cache.order[:, partner].clone())
    stream.memory.bank.prompts[..., slots] = stream.memory.bank.prompts[:, partner][..., slots].clone()


def truth_latents(codec: Codec, stories: Sequence[CartoonStory]) -> Tensor:
    """[B, frames, C, h, w] of stories of one length."""
    library = LatentStore(codec, first_seed=0)
    rows = [torch.from_numpy(library.add(story).rows) for story in stories]
    return library.latents[torch.stack(rows)].float()
