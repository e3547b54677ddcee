"""Train a control branch beside a generator that stays as it is: its settings, and one step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from memflow_core.model import ControlBranch, ControlInput, ControlPass, Modulation, WanControl, control_channels

from ..cartoons import CHUNK_LATENTS
from ..generator import (
    BANK,
    CONTEXT,
    OLDER,
    SINK,
    ChunkTable,
    Context,
    DeviceLatents,
    Generator,
    LatentStore,
    SampleMix,
    StepData,
    StoryStreams,
    TrainingBackbone,
    encode_prompts,
    predict_flow,
    text_per_frame,
    widen,
)
from ..muon import Muon
from ..precision import mixed_precision
from ..trainer import Trainer
from ..vae import LATENTS
from .marks import MarkLatents


@dataclass
class ControlSettings:
    """Settings of a run, kept in its checkpoint.

    blocks  of the branch, a divisor of the generator's.
    copies  of the target chunk in a sample, each with its own noise.
    lr      of Muon, which has the blocks' matrices; Adam, which has the rest, takes `lr_rest`.
    focus, marks, unknown, streams  as in `GeneratorSettings`.
    stories  most of them; at step n there are `first_stories` + n / `steps_a_story`.
    """

    blocks: int = 3
    steps: int = 3000
    batch: int = 12
    copies: int = 2
    lr: float = 0.004
    lr_rest: float = 0.0015
    focus: float = 4.0
    marks: float = 4.0
    unknown: float = 0.3
    streams: int = 8
    stories: int = 400
    first_stories: int = 24
    steps_a_story: int = 8
    seed: int = 7_000_000

    def stories_at(self, step: int) -> int:
        """Return how many stories a step draws from."""
        return min(self.stories, self.first_stories + step // self.steps_a_story)

    def rate(self, step: int) -> float:
        """Return the factor of the learning rates: it rises, stays, and falls over the last 45 % of the steps."""
        return min(1.0, (step + 1) / 100, max(0.01, (self.steps - step) / (0.45 * self.steps)))


class LedMix(SampleMix):
    """Targets are chunks in which a character is led, those of a new segment more often."""

    def weights(self, table: ChunkTable) -> np.ndarray:
        weights = np.where(table.offset == 0, 3.0, np.where(table.offset == 1, 1.5, 1.0)) * table.led
        return weights / weights.sum()


def new_branch(generator: Generator, blocks: int) -> WanControl:
    """A control branch that does nothing yet: its blocks are copies of those that they stand beside."""
    config = generator.config
    branch = WanControl(config, blocks, control_channels(LATENTS))
    every = config.num_layers // blocks
    for number, block in enumerate(branch.vace_blocks):
        block.load_state_dict(generator.tree.blocks[every * number].state_dict(), strict=False)
        nn.init.zeros_(block.after_proj.weight)
        nn.init.zeros_(block.after_proj.bias)
    return branch


class SteeredBackbone(TrainingBackbone):
    """`TrainingBackbone` that steers the copies behind the BANK frames of each sample, each copy by itself.

    Of the `ControlInput` of a pass, the context is [B * copies, C, CHUNK_LATENTS, h, w], and the text has a row for
    each of their latent frames.
    """

    def __init__(self, tree: nn.Module, frames: int, control: WanControl):
        super().__init__(tree, frames)
        self.control: ControlBranch | None = self._branch(control)

    def _steering(self, control, tokens, modulation):
        assert control is not None and self.control is not None, "a pass of training is always steered"
        parts = [(_of_copies(attention), _of_copies(ffn)) for attention, ffn in modulation.control]
        steered = self.control.begin(control, _copies(tokens), parts, self._stages(tokens.shape))
        return _CopiesPass(steered)


class _CopiesPass:
    def __init__(self, control: ControlPass):
        self._control = control

    def steer(self, layer: int, x: Tensor) -> Tensor:
        steered = self._control.steer(layer, _copies(x))
        return torch.cat((x[:, :BANK], steered.unflatten(0, (len(x), -1)).flatten(1, 2)), 1)


def _copies(x: Tensor) -> Tensor:
    """[B, BANK + copies * CHUNK_LATENTS, ...] -> [B * copies, CHUNK_LATENTS, ...]."""
    return x[:, BANK:].unflatten(1, (-1, CHUNK_LATENTS)).flatten(0, 1)


def _of_copies(part: Modulation) -> Modulation:
    assert part.gate is not None, "that of a block has one"
    return Modulation(_copies(part.shift), _copies(part.scale), _copies(part.gate))


class ControlTrainer(Trainer):
    """Trainer of a control branch for a generator, whose weights stay as they are."""

    def __init__(self, settings: ControlSettings, generator: Generator, device: str):
        self.device = torch.device(device)
        torch.manual_seed(settings.seed)
        self.generator = generator.to(self.device).eval().requires_grad_(False)
        model = new_branch(self.generator, settings.blocks).to(self.device)
        matrices = [weight for weight in model.vace_blocks.parameters() if weight.ndim == 2]
        ids = {id(weight) for weight in matrices}
        rest = [weight for weight in model.parameters() if id(weight) not in ids]
        adam = torch.optim.AdamW(rest, settings.lr_rest, betas=(0.9, 0.97), weight_decay=0.01)
        optimizers = [(Muon(matrices, settings.lr), settings.lr), (adam, settings.lr_rest)]
        super().__init__(settings, model, optimizers=optimizers, clipped=list(model.parameters()), average_steps=400)
        self.streams = StoryStreams(
            self.generator,
            streams=settings.streams,
            seed=settings.seed,
            rank=0,
            stories=settings.stories_at,
            mix=LedMix(),
        )

    def prepare(self, store: LatentStore, latents: DeviceLatents, marks: MarkLatents) -> None:
        """Make the stories ready that this step draws from, and their marks."""
        store.grow(self.settings.stories_at(self.step))
        if latents.refresh():
            self.streams.add(store.stories)
            marks.add(store.stories)

    def train_step(self, latents: DeviceLatents, marks: MarkLatents) -> dict[str, float]:
        """Take one step. Returns errors to report: of the flow, and of x0 at full noise."""
        s = self.settings
        self.streams.renew(self.step, latents, own=lambda step: False)
        data = self.streams.draw(self.step, latents, s.batch, s.copies)
        context = marks.of(data.indices).movedim(2, 1).repeat_interleave(s.copies, 0)
        with mixed_precision(self.device):
            flow = self._predict(data, context)
        true_flow = (data.noisy - data.target[:, None]) / widen(data.sigma)
        weights = latents.error_weights(data.indices, s.focus, s.marks)
        errors = ((flow - true_flow).square() * weights[:, None]).mean((2, 3, 4, 5))  # [B, copies]
        counts = torch.where(data.batch.known, 1.0, s.unknown)[:, None]
        self.optimizer_step((errors * counts).mean(), s.rate(self.step))
        report = {"flow": float(errors.detach().mean())}
        from_noise = errors.detach()[data.sigma == 1.0]
        return report | ({"x0": float(from_noise.mean())} if len(from_noise) else {})

    def _predict(self, data: StepData, control: Tensor) -> Tensor:
        """Predict the flow of the noisy copies under a control [B * copies, C, CHUNK_LATENTS, h, w]."""
        batch, generator, copies = data.batch, self.generator, data.noisy.shape[1]
        embedded = encode_prompts(generator.text, data.texts)
        targets = batch.prompts[:, CONTEXT:].repeat(1, copies)
        text = text_per_frame(generator.embed_text(embedded), torch.cat((batch.prompts[:, SINK:OLDER], targets), 1))
        steered = SteeredBackbone(generator.tree, BANK + copies * CHUNK_LATENTS, self.model)
        steering = text_per_frame(steered.embed_control_text(embedded), targets)
        context = Context(data.inputs, batch.valid, batch.alone, batch.sparse, batch.positions)
        flow, _ = predict_flow(
            generator,
            data.bank,
            data.noisy,
            data.sigma,
            context=context,
            text=text,
            backbone=lambda tree, frames: steered,
            control=ControlInput(control, (1.0,) * CHUNK_LATENTS, steering),
        )
        return flow
