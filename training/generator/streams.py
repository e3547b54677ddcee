"""Stories that are streamed while a model trains, and the samples that each step draws from them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..cartoons import CHUNK_LATENTS
from ..precision import mixed_precision
from .latents import DeviceLatents, EncodedStory
from .loss import add_context_noise, draw_sigmas
from .model import Generator, encode_prompts, text_per_frame
from .plan import CONTEXT, OLDER, SINK, MemoryMix, StoryPlan
from .reading import StoryRows, read_story
from .samples import SampleBatch, SampleMix, Sampler

_OWN_CHUNKS = 0.8  # share of a stream's chunks that are the model's own, where streams are of its own work


@dataclass
class _Stream:
    """A story that is streamed, for a few steps.

    indices  int64 [rows]: of its rows' latent frames, see `DeviceLatents`.
    """

    story: int
    plan: StoryPlan
    indices: Tensor
    rows: StoryRows


@dataclass
class StepData:
    """Data of one step, on the training device.

    batch    the samples, whose prompts are numbers of `texts`.
    indices  int64 [B, CHUNK_LATENTS]: of the targets' latent frames, see `DeviceLatents`.
    inputs   of each block, of the context's rows: [B, CONTEXT, tokens, dim].
    bank     float32 [B, BANK, C, h, w].
    target   float32 [B, CHUNK_LATENTS, C, h, w].
    noisy    float32 [B, copies, CHUNK_LATENTS, C, h, w]: copies of the target with noise.
    sigma    float32 [B, copies]: their noise levels.
    """

    batch: SampleBatch
    texts: list[str]
    indices: Tensor
    inputs: list[Tensor]
    bank: Tensor
    target: Tensor
    noisy: Tensor
    sigma: Tensor


class StoryStreams:
    """The last stories that a model has streamed, each under random decisions of memory, and samples of them.

    streams  how many there are; one is renewed every `steps_a_stream` steps.
    seed     and the process's rank: with the step's number they decide what is drawn.
    stories  how many stories a step draws from.
    mix      weights of the targets.
    """

    def __init__(
        self,
        model: Generator,
        *,
        streams: int,
        steps_a_stream: int = 1,
        seed: int,
        rank: int,
        stories: Callable[[int], int],
        mix: SampleMix | None = None,
    ):
        self.model = model
        self.sampler = Sampler(mix or SampleMix(), MemoryMix())
        self._seed = [seed, rank]
        self._steps_a_stream = steps_a_stream
        self._stories = stories
        self._streams: deque[_Stream] = deque(maxlen=streams)

    def add(self, stories: Sequence[EncodedStory]) -> None:
        """Draw from those of `stories` too, from now on, that are new."""
        self.sampler.add(stories[len(self.sampler.tables) :])

    def renew(self, step: int, latents: DeviceLatents, own: Callable[[int], bool]) -> None:
        """Stream one more story with the weights of this step, in the place of the oldest, if its turn has come.

        own  whether the streams of a step are mostly of frames that the model generated.
        """
        if self._streams and step % self._steps_a_stream:
            return
        seed, rank = self._seed
        turns = range(0, step + 1, self._steps_a_stream)
        # at the start, and after an interruption, those of the last turns are made again
        for number in turns[-1:] if self._streams else turns[-(self._streams.maxlen or 1) :]:
            rng = np.random.default_rng([seed, number, rank, 1])
            torch.manual_seed(int(rng.integers(2**62)))
            self._streams.append(self._stream(rng, self._stories(step), latents, own=own(number)))

    def _stream(self, rng: np.random.Generator, stories: int, latents: DeviceLatents, own: bool) -> _Stream:
        """Stream a random story under random decisions of memory."""
        story = int(rng.integers(stories))
        plan = self.sampler.plan(rng, story)
        device = latents.device
        frames = torch.tensor(plan.frames, device=device)
        indices = latents.indices(torch.tensor([story], device=device), frames[None])[0]
        clean = latents.true(indices)
        if own:
            chunks = frames // CHUNK_LATENTS
            generated = torch.rand(int(chunks.max()) + 1, device=device)[chunks] < _OWN_CHUNKS
            clean = torch.where(generated.view(-1, 1, 1, 1), latents.own(indices), clean)
        clean = add_context_noise(clean)
        numbers, local = torch.tensor(plan.prompts).unique(return_inverse=True)
        texts = [self.sampler.prompts.texts[number] for number in numbers.tolist()]
        with torch.no_grad(), mixed_precision(device):
            text = self.model.embed_text(encode_prompts(self.model.text, texts))
            rows = read_story(self.model, plan, clean, text_per_frame(text, local.to(device)))
        return _Stream(story, plan, indices, rows)

    def draw(
        self, step: int, latents: DeviceLatents, batch: int, copies: int, mix: SampleMix | None = None
    ) -> StepData:
        """Draw the samples of a step and their noise, from the step's own seed.

        mix  weights of the targets in the place of its own.
        """
        rng = np.random.default_rng([self._seed[0], step, self._seed[1]])
        torch.manual_seed(int(rng.integers(2**62)))
        streams = [self._streams[n] for n in rng.integers(len(self._streams), size=batch)]
        samples = [self.sampler.sample(rng, stream.story, stream.plan, mix) for stream in streams]
        drawn = SampleBatch.stack(samples)
        numbers, local = drawn.prompts.unique(return_inverse=True)
        texts = [self.sampler.prompts.texts[number] for number in numbers.tolist()]
        drawn = replace(drawn, prompts=local).to(latents.device)
        pairs = list(zip(streams, drawn.rows, strict=True))
        blocks = range(len(self.model.tree.blocks))
        inputs = [torch.stack([stream.rows.inputs[block][rows] for stream, rows in pairs]) for block in blocks]
        bank = torch.stack([stream.rows.latents[rows[SINK:OLDER]] for stream, rows in pairs])
        indices = latents.indices(drawn.story, drawn.frames[:, CONTEXT:])
        target = latents.true(indices)
        sigma = draw_sigmas(batch, copies, latents.device)
        noisy = add_noise(target[:, None], sigma)
        return StepData(drawn, texts, indices, inputs=inputs, bank=bank, target=target, noisy=noisy, sigma=sigma)


def widen(sigma: Tensor) -> Tensor:
    """[B, copies] -> [B, copies, 1, 1, 1, 1]."""
    return sigma[..., None, None, None, None]


def add_noise(target: Tensor, sigma: Tensor) -> Tensor:
    """target [B, 1, CHUNK_LATENTS, C, h, w], sigma [B, copies] -> [B, copies, CHUNK_LATENTS, C, h, w]."""
    noise = torch.randn(*sigma.shape, *target.shape[2:], device=target.device)
    return (1 - widen(sigma)) * target + widen(sigma) * noise
