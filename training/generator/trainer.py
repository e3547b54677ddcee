"""A training run of the generator: its settings, its state, and one step."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from memflow_core.memory import PromptKeys

from ..muon import Muon
from ..trainer import Trainer
from . import model as generator_model
from .latents import CHUNK, LatentStore
from .loss import STEP_SIGMAS, add_context_noise, alignment_loss, draw_sigmas
from .model import PRESETS, Generator, SparseActivation, encode_prompts, text_per_frame
from .samples import CONTEXT, OLDER, SampleBatch, SampleMix, Sampler, frame_mask

KINDS_OF_TARGET = ("later", "known", "new")  # as `Sample.kind` counts them

_predict_flow = generator_model.predict_flow


def fuse() -> None:
    """Train with a compiled forward from now on."""
    global _predict_flow
    _predict_flow = torch.compile(generator_model.predict_flow, dynamic=False)


@dataclass
class GeneratorSettings:
    """What a run is trained with; kept in its checkpoint.

    steps     in all. Over the first `calm` share of them hardly anybody moves: that is how a model first learns to
              copy what memory shows. Over the last `own` share, contexts and noisy targets are the model's own work.
    copies    of the target chunk in a sample, each with its own noise.
    lr        of Muon, which has the blocks' matrices; Adam, which has the rest, takes `lr_rest`.
    align     weight of the alignment loss.
    focus     how much more an error counts where characters are: in most of a picture nothing is left to learn.
    marks     how much more still where their accessories and patterns are.
    unknown   what a sample counts whose context does not tell who is to be seen: its error, ten times that of the
              others, cannot be learnt away, and drowns what they have to teach.
    stories   most of them; at step n there are `first_stories` + n / `steps_a_story`.
    """

    preset: str = "small"
    steps: int = 40_000
    batch: int = 8
    copies: int = 3
    lr: float = 0.005
    lr_rest: float = 0.0015
    align: float = 0.1
    focus: float = 4.0
    marks: float = 8.0
    unknown: float = 0.3
    calm: float = 0.15
    own: float = 0.35
    stories: int = 2000
    first_stories: int = 40
    steps_a_story: int = 6
    seed: int = 1_000_000

    def stories_at(self, step: int) -> int:
        return min(self.stories, self.first_stories + step // self.steps_a_story)

    def rate(self, step: int) -> float:
        """Factor of the learning rates: rises, stays, falls over the last 45 %."""
        return min(1.0, (step + 1) / 100, max(0.01, (self.steps - step) / (0.45 * self.steps)))


class DeviceLatents:
    """The library's latents on the training device, and beside them what the model made of the same stories.

    `made` is float16 like the latents, one latent frame for each of every story's; at first it is the truth.
    """

    def __init__(self, library: LatentStore, device: torch.device):
        self.library, self.device = library, device
        self.made: Tensor | None = None
        self.stories = 0

    def refresh(self) -> bool:
        """Take up stories that are new; whether there were any."""
        tales = self.library.tales
        if len(tales) == self.stories:
            return False
        lengths = np.array([tale.frames for tale in tales])
        self.starts = torch.from_numpy(np.cumsum(lengths) - lengths).to(self.device)
        self.rows = torch.from_numpy(np.concatenate([tale.rows for tale in tales])).to(self.device)
        self.cover = torch.from_numpy(np.concatenate([tale.cover for tale in tales])).to(self.device)
        self.latents = self.library.latents.to(self.device)
        self.stories = len(tales)
        return True

    def places(self, batch: SampleBatch) -> Tensor:
        """[B, CONTEXT + CHUNK]: of the samples' frames among all stories' frames."""
        return self.starts[batch.tale][:, None] + batch.frames

    def truth(self, places: Tensor) -> Tensor:
        return self.latents[self.rows[places]].float()

    def weights(self, places: Tensor, focus: float, marks: float) -> Tensor:
        """What errors count, [..., 1, SIDE, SIDE]: 1 on average; for `focus` and `marks` see `GeneratorSettings`."""
        character, mark = self.cover[places].float().unsqueeze(-3).unbind(-4)
        weights = 1 + focus * character + marks * mark
        return weights / weights.mean()

    def own(self, places: Tensor) -> Tensor:
        if self.made is None:
            self.made = self.latents[self.rows]
        missing = len(self.rows) - len(self.made)
        if missing:
            self.made = torch.cat((self.made, self.latents[self.rows[-missing:]]))
        return self.made[places].float()


class GeneratorTrainer(Trainer):
    """A run of the generator with its text encoder. Several of different `rank` may share their gradients."""

    def __init__(self, settings: GeneratorSettings, device: str, rank: int = 0):
        self.device, self.rank = torch.device(device), rank
        torch.manual_seed(settings.seed)
        model = Generator(PRESETS[settings.preset]).to(self.device)
        matrices = [weight for weight in model.tree.blocks.parameters() if weight.ndim == 2]
        ids = {id(weight) for weight in matrices}
        rest = [weight for weight in model.parameters() if id(weight) not in ids]
        adam = torch.optim.AdamW(rest, settings.lr_rest, betas=(0.9, 0.97), weight_decay=0.01)
        optimizers = [(Muon(matrices, settings.lr), settings.lr), (adam, settings.lr_rest)]
        super().__init__(settings, model, optimizers, list(model.parameters()), memory=1000)
        self.sampler = Sampler(SampleMix())

    def prepare(self, library: LatentStore, shelf: DeviceLatents) -> None:
        """Have the stories ready that this step draws from."""
        library.grow(self.settings.stories_at(self.step))
        if shelf.refresh():
            self.sampler.add(library.tales[len(self.sampler.chapters) :])

    def train_step(self, shelf: DeviceLatents) -> dict[str, float]:
        """One step. Returns errors to report: of x0 at full noise by kind of target, flow and alignment losses."""
        s = self.settings
        rng = np.random.default_rng([s.seed, self.step, self.rank])
        torch.manual_seed(int(rng.integers(2**62)))
        calm = self.step < s.calm * s.steps
        batch = self.sampler.batch(rng, s.batch, replace(self.sampler.mix, moving=0.1) if calm else None)
        numbers, local = batch.prompts.unique(return_inverse=True)
        texts = [self.sampler.book.texts[number] for number in numbers.tolist()]
        batch = replace(batch, prompts=local).to(self.device)
        places = shelf.places(batch)
        context, target = shelf.truth(places[:, :CONTEXT]), shelf.truth(places[:, CONTEXT:])
        sigma = draw_sigmas(s.batch, s.copies, self.device)
        noisy = _add_noise(target[:, None], sigma)
        if self.step >= (1 - s.own) * s.steps:
            context = self._own_context(shelf, places, context)
            self._own_copy(shelf, places, batch, texts, context, noisy, sigma)
        weights = shelf.weights(places[:, CONTEXT:], s.focus, s.marks)
        return self._teach(batch, texts, add_context_noise(context), target, noisy, sigma, weights)

    # -- teacher forcing ----------------------------------------------------------------------------------------------

    def _teach(
        self,
        batch: SampleBatch,
        texts: list[str],
        context: Tensor,
        target: Tensor,
        noisy: Tensor,
        sigma: Tensor,
        weights: Tensor,
    ) -> dict[str, float]:
        with torch.autocast(self.device.type, torch.bfloat16):
            flow, keys, mean_k = _forward(self.model, batch, texts, context, noisy, sigma)
        wanted = (noisy - target[:, None]) / _wide(sigma)
        errors = ((flow - wanted).square() * weights[:, None]).mean((2, 3, 4, 5))  # [B, copies]
        align = alignment_loss(keys, mean_k, batch, batch.prompts[:, -1])
        counts = torch.where(batch.determined, 1.0, self.settings.unknown)[:, None]
        self.optimizer_step((errors * counts).mean() + self.settings.align * align, self.settings.rate(self.step))
        return _report(errors.detach(), sigma, batch.kind, align.detach())

    # -- own roll-outs ------------------------------------------------------------------------------------------------

    def _own_context(self, shelf: DeviceLatents, places: Tensor, truth: Tensor) -> Tensor:
        """In most samples, context frames that the model made itself, from contexts that it made itself."""
        ours = torch.rand(len(places), 1, 1, 1, 1, device=self.device) < 0.8
        return torch.where(ours, shelf.own(places[:, :CONTEXT]), truth)

    @torch.no_grad()
    def _own_copy(
        self,
        shelf: DeviceLatents,
        places: Tensor,
        batch: SampleBatch,
        texts: list[str],
        context: Tensor,
        noisy: Tensor,
        sigma: Tensor,
    ) -> None:
        """Make the target chunk as a stream would; keep it, and train one copy on a state from on the way.

        Only where the context says who is to be seen: else the model is right to choose somebody else than the story.
        """
        known = batch.determined
        chosen = torch.randint(1, len(STEP_SIGMAS), (len(known),), device=self.device)
        made, levels = noisy[:, :1].clone(), sigma[:, :1].clone()
        for step, level in enumerate(STEP_SIGMAS):
            noise = torch.randn_like(made)
            state = noise if step == 0 else (1 - level) * made + level * noise
            taken = known & (chosen == step)
            noisy[:, :1] = torch.where(taken.view(-1, 1, 1, 1, 1, 1), state, noisy[:, :1])
            sigma[:, :1] = torch.where(taken[:, None], level, sigma[:, :1])
            with torch.autocast(self.device.type, torch.bfloat16):
                flow, _, _ = _forward(self.average, batch, texts, context, state, torch.full_like(levels, level))
            made = state - level * flow
        shelf.made[places[known, CONTEXT:]] = made[known, 0].half()


def _wide(sigma: Tensor) -> Tensor:
    """[B, copies] -> [B, copies, 1, 1, 1, 1]."""
    return sigma[..., None, None, None, None]


def _add_noise(target: Tensor, sigma: Tensor) -> Tensor:
    """target [B, 1, CHUNK, C, h, w], sigma [B, copies] -> [B, copies, CHUNK, C, h, w]."""
    noise = torch.randn(*sigma.shape, *target.shape[2:], device=target.device)
    return (1 - _wide(sigma)) * target + _wide(sigma) * noise


def _forward(
    model: Generator, batch: SampleBatch, texts: list[str], context: Tensor, noisy: Tensor, sigma: Tensor
) -> tuple[Tensor, PromptKeys, list[Tensor]]:
    """Flow of the noisy copies [B, copies, CHUNK, C, h, w], text keys of `texts`, mean keys of all frames."""
    copies = noisy.shape[1]
    embedded = encode_prompts(model.text, texts)
    backbone_text = model.embed_text(embedded)
    x = torch.cat((context, noisy.flatten(1, 2)), 1)
    timesteps = torch.cat((context.new_zeros(context.shape[:2]), 1000 * sigma.repeat_interleave(CHUNK, 1)), 1)
    positions = torch.cat((batch.positions[:, :CONTEXT], batch.positions[:, CONTEXT:].repeat(1, copies)), 1)
    prompts = torch.cat((batch.prompts[:, :CONTEXT], batch.prompts[:, CONTEXT:].repeat(1, copies)), 1)
    mask = frame_mask(batch, copies)
    sparse = SparseActivation(batch.sparse, batch.valid[:, :OLDER], CONTEXT, CHUNK)
    flow, mean_k = _predict_flow(model, x, timesteps, positions, mask, text_per_frame(backbone_text, prompts), sparse)
    flow = flow[:, CONTEXT:].unflatten(1, (copies, CHUNK))
    return flow, PromptKeys.of(0, embedded, backbone_text), mean_k


def _report(errors: Tensor, sigma: Tensor, kind: Tensor, align: Tensor) -> dict[str, float]:
    report = {"flow": float(errors.mean()), "align": float(align)}
    from_noise = sigma == 1.0
    for number, name in enumerate(KINDS_OF_TARGET):
        of_kind = errors[from_noise & (kind == number)[:, None]]
        if len(of_kind):
            report[f"x0 {name}"] = float(of_kind.mean())
    return report
