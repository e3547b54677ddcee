"""The video autoencoder in training, compared with ComfyUI's own code on the exported weights."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from training.cartoons import clip_batch
from training.vae import (
    LATENTS,
    WAN_MEAN,
    WAN_STD,
    ClipBatches,
    VaeSettings,
    VaeTrainer,
    VideoAutoencoder,
    to_signed,
    wan_weights,
)

WIDTH = 8


@pytest.fixture(scope="module")
def model() -> VideoAutoencoder:
    """Random weights everywhere, so that no layer is without effect."""
    model, draw = VideoAutoencoder(WIDTH), torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.05 * torch.randn(weight.shape, generator=draw))
    return model.requires_grad_(False)


def _loaded(weights):
    from comfy.sd import VAE

    return VAE(sd=weights).first_stage_model.float()


def _pictures(frames: int) -> torch.Tensor:
    return to_signed(torch.from_numpy(clip_batch(1, 1, 2, frames)[0]))


@pytest.mark.parametrize("frames", [1, 5, 13, 17])
def test_comfyui_encodes_and_decodes_as_in_training(pack, model, frames):
    comfy = _loaded(wan_weights(model, torch.tensor(WAN_MEAN), torch.tensor(WAN_STD)))
    pictures = _pictures(frames)
    latents = model.encode(pictures)
    assert latents.shape == (2, 1 + frames // 4, LATENTS, 8, 8)
    torch.testing.assert_close(comfy.encode(pictures.transpose(1, 2)), latents.transpose(1, 2), atol=1e-4, rtol=0)
    decoded = model.decode(latents)
    torch.testing.assert_close(comfy.decode(latents.transpose(1, 2)), decoded.transpose(1, 2), atol=1e-4, rtol=0)


def test_latents_come_out_as_comfyui_scales_them(pack, model):
    """What ComfyUI's samplers see has mean 0 and deviation 1, and decodes to the same pictures."""
    from comfy.latent_formats import Wan21

    pictures = _pictures(13)
    raw = model.encode(pictures)
    by_channel = raw.transpose(0, 2).flatten(1)
    comfy = _loaded(wan_weights(model, by_channel.mean(1), by_channel.std(1)))
    latents = comfy.encode(pictures.transpose(1, 2))
    seen = Wan21().process_in(latents).transpose(0, 1).flatten(1)
    torch.testing.assert_close(seen.mean(1), torch.zeros(LATENTS), atol=1e-3, rtol=0)
    torch.testing.assert_close(seen.std(1), torch.ones(LATENTS), atol=1e-3, rtol=0)
    torch.testing.assert_close(comfy.decode(latents).transpose(1, 2), model.decode(raw), atol=1e-4, rtol=0)


def test_an_interrupted_run_ends_where_an_uninterrupted_one_does(tmp_path):
    settings = VaeSettings(steps=4, stills=2, clips=1, width=WIDTH)

    def train(run: VaeTrainer, steps: range) -> VaeTrainer:
        for step in steps:
            pictures, character = ClipBatches(settings)[step]
            run.train_step(pictures, character)
        return run

    straight = train(VaeTrainer(settings, "cpu"), range(4))
    train(VaeTrainer(settings, "cpu"), range(2)).save(tmp_path / "vae.pt")
    resumed = VaeTrainer(settings, "cpu")
    resumed.load(tmp_path / "vae.pt")
    assert resumed.step == 2
    train(resumed, range(2, 4))
    for name, value in straight.average.state_dict().items():
        torch.testing.assert_close(resumed.average.state_dict()[name], value, msg=name)


def test_a_frozen_run_keeps_its_latents_and_improves_its_pictures(tmp_path):
    first = VaeTrainer(VaeSettings(steps=40, stills=40, clips=1, width=WIDTH), "cpu")
    pictures, character = ClipBatches(first.settings)[0]
    first.train_step(pictures, character)
    first.save(tmp_path / "vae.pt")
    run = VaeTrainer(replace(first.settings, frozen=True), "cpu")
    run.load(tmp_path / "vae.pt")
    before = run.model.eval().encode(to_signed(pictures)).detach()
    losses = [run.train_step(pictures, character) for _ in range(12)]
    assert torch.equal(run.average.encode(to_signed(pictures)), before)
    assert losses[-1] < losses[0]
