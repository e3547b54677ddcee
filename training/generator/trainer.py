"""Train the generator with its text encoder: settings, and one step, with the model's own roll-outs in it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from memflow_core.memory import PromptKeys

from ..muon import Muon
from ..precision import mixed_precision
from ..trainer import Trainer
from .latents import DeviceLatents, LatentStore
from .loss import STEP_SIGMAS, alignment_loss
from .model import PRESETS, Generator, encode_prompts, text_per_frame
from .plan import CONTEXT, OLDER, SINK
from .reading import Context, predict_flow
from .streams import StepData, StoryStreams, widen

KINDS_OF_TARGET = ("later", "known", "new")  # as `Sample.kind` counts them


@dataclass
class GeneratorSettings:
    """Settings of a run, kept in its checkpoint.

    steps     in all. Over the first `calm` share of them hardly any character moves: that is how a model first learns
              to copy what memory shows. Over the last `own` share, contexts and noisy targets are the model's own work.
    copies    of the target chunk in a sample, each with its own noise.
    lr        of Muon, which has the blocks' matrices; Adam, which has the rest, takes `lr_rest`.
    align     weight of the alignment loss.
    focus     how much more an error counts where characters are: in most of a picture nothing is left to learn.
    marks     how much more still where their accessories and patterns are.
    unknown   weight of a sample whose context does not show every character of the target. Its error is ten times that
              of the others, cannot be learnt away, and drowns what they have to teach.
    streams   stories that are streamed at a time; each step draws its samples from them.
    steps_a_stream  steps after which one of them is renewed.
    stories   most of them; at step n there are `first_stories` + n / `steps_a_story`.
    """

    preset: str = "small"
    steps: int = 40_000
    batch: int = 12
    copies: int = 3
    lr: float = 0.005
    lr_rest: float = 0.0015
    align: float = 0.1
    focus: float = 4.0
    marks: float = 8.0
    unknown: float = 0.3
    calm: float = 0.15
    own: float = 0.35
    streams: int = 8
    steps_a_stream: int = 2
    stories: int = 2000
    first_stories: int = 40
    steps_a_story: int = 10
    seed: int = 1_000_000

    def stories_at(self, step: int) -> int:
        """Return how many stories a step draws from."""
        return min(self.stories, self.first_stories + step // self.steps_a_story)

    def rate(self, step: int) -> float:
        """Return the factor of the learning rates: it rises, stays, and falls over the last 45 % of the steps."""
        return min(1.0, (step + 1) / 100, max(0.01, (self.steps - step) / (0.45 * self.steps)))


class GeneratorTrainer(Trainer):
    """Trainer of the generator with its text encoder. Several of different `rank` may share their gradients."""

    def __init__(self, settings: GeneratorSettings, device: str, rank: int = 0):
        self.device = torch.device(device)
        self.rank = rank
        torch.manual_seed(settings.seed)
        model = Generator(PRESETS[settings.preset]).to(self.device)
        matrices = [weight for weight in model.tree.blocks.parameters() if weight.ndim == 2]
        ids = {id(weight) for weight in matrices}
        rest = [weight for weight in model.parameters() if id(weight) not in ids]
        adam = torch.optim.AdamW(rest, settings.lr_rest, betas=(0.9, 0.97), weight_decay=0.01)
        optimizers = [(Muon(matrices, settings.lr), settings.lr), (adam, settings.lr_rest)]
        super().__init__(settings, model, optimizers=optimizers, clipped=list(model.parameters()), average_steps=1000)
        self.streams = StoryStreams(
            self.model,
            streams=settings.streams,
            steps_a_stream=settings.steps_a_stream,
            seed=settings.seed,
            rank=rank,
            stories=settings.stories_at,
        )
        self._predict_flow = predict_flow

    def compile_forward(self) -> None:
        """Train with a compiled forward pass from now on."""
        self._predict_flow = torch.compile(predict_flow, dynamic=False)

    def prepare(self, store: LatentStore, latents: DeviceLatents) -> None:
        """Make the stories ready that this step draws from."""
        store.grow(self.settings.stories_at(self.step))
        if latents.refresh():
            self.streams.add(store.stories)

    def train_step(self, latents: DeviceLatents) -> dict[str, float]:
        """Take one step. Returns errors to report: of x0 at full noise by kind of target, flow and alignment losses."""
        s = self.settings
        self.streams.renew(self.step, latents, own=self.on_own_work)
        mix = replace(self.streams.sampler.mix, moving=0.1) if self.step < s.calm * s.steps else None
        data = self.streams.draw(self.step, latents, s.batch, s.copies, mix)
        if self.on_own_work(self.step):
            self._roll_out(latents, data)
        return self._optimize(data, latents.error_weights(data.indices, s.focus, s.marks))

    def on_own_work(self, step: int) -> bool:
        """Whether a step trains on the model's own roll-outs."""
        return step >= (1 - self.settings.own) * self.settings.steps

    # -- teacher forcing ----------------------------------------------------------------------------------------------

    def _optimize(self, data: StepData, weights: Tensor) -> dict[str, float]:
        """Step down the loss; weights of errors, [B, CHUNK_LATENTS, 1, h, w]."""
        with mixed_precision(self.device):
            flow, keys, mean_k = self._forward(self.model, data, data.noisy, data.sigma)
        true_flow = (data.noisy - data.target[:, None]) / widen(data.sigma)
        errors = ((flow - true_flow).square() * weights[:, None]).mean((2, 3, 4, 5))  # [B, copies]
        align = alignment_loss(keys, mean_k, data.batch, data.batch.prompts[:, -1])
        counts = torch.where(data.batch.known, 1.0, self.settings.unknown)[:, None]
        loss = (errors * counts).mean() + self.settings.align * align
        self.optimizer_step(loss, self.settings.rate(self.step))
        return _report(errors.detach(), data.sigma, data.batch.kind, align.detach())

    # -- own roll-outs ------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def _roll_out(self, latents: DeviceLatents, data: StepData) -> None:
        """Generate the target chunk as a stream would; keep it, and train one copy on an intermediate state.

        Only where the context shows every character: elsewhere the model is right to choose another identity than the
        story.
        """
        known, noisy, sigma = data.batch.known, data.noisy, data.sigma
        chosen = torch.randint(1, len(STEP_SIGMAS), (len(known),), device=self.device)
        x0 = noisy[:, :1].clone()
        levels = sigma[:, :1].clone()
        for step, level in enumerate(STEP_SIGMAS):
            noise = torch.randn_like(x0)
            state = noise if step == 0 else (1 - level) * x0 + level * noise
            taken = known & (chosen == step)
            noisy[:, :1] = torch.where(taken.view(-1, 1, 1, 1, 1, 1), state, noisy[:, :1])
            sigma[:, :1] = torch.where(taken[:, None], level, sigma[:, :1])
            with mixed_precision(self.device):
                flow, _, _ = self._forward(self.average, data, state, torch.full_like(levels, level))
            x0 = state - level * flow
        latents.own(data.indices)  # makes room
        latents.generated[data.indices[known]] = x0[known, 0].half()

    # -- forward ------------------------------------------------------------------------------------------------------

    def _forward(
        self, model: Generator, data: StepData, noisy: Tensor, sigma: Tensor
    ) -> tuple[Tensor, PromptKeys, list[Tensor]]:
        """Predict the flow of noisy copies, [B, copies, CHUNK_LATENTS, C, h, w], at noise levels [B, copies].

        Returns (flow, as `noisy`; text keys of the texts; mean keys of the context, as `predict_flow` does).
        """
        batch, copies = data.batch, noisy.shape[1]
        embedded = encode_prompts(model.text, data.texts)
        text = model.embed_text(embedded)
        own = torch.cat((batch.prompts[:, SINK:OLDER], batch.prompts[:, CONTEXT:].repeat(1, copies)), 1)
        context = Context(data.inputs, batch.valid, batch.alone, batch.sparse, batch.positions)
        flow, mean_k = self._predict_flow(
            model, data.bank, noisy, sigma, context=context, text=text_per_frame(text, own)
        )
        return flow, PromptKeys.of(0, embedded, text), mean_k


def _report(errors: Tensor, sigma: Tensor, kind: Tensor, align: Tensor) -> dict[str, float]:
    report = {"flow": float(errors.mean()), "align": float(align)}
    from_noise = sigma == 1.0
    for number, name in enumerate(KINDS_OF_TARGET):
        of_kind = errors[from_noise & (kind == number)[:, None]]
        if len(of_kind):
            report[f"x0 {name}"] = float(of_kind.mean())
    return report
