"""The tiny VAE's convolutions on a CPU: picture by picture where they look at one picture, as ComfyUI's else."""

from __future__ import annotations

import pytest
import torch

from memflow_core.weights import ASSETS, TINY_VAE


@pytest.fixture(scope="module")
def stock(pack):
    """The tiny VAE as ComfyUI loads it."""
    import comfy.sd
    import comfy.utils

    weights, metadata = comfy.utils.load_torch_file(str(ASSETS / TINY_VAE), return_metadata=True)
    return comfy.sd.VAE(sd=weights, metadata=metadata)


@pytest.mark.parametrize("latent_frames", [1, 2, 4])
def test_pictures_are_those_of_the_stock_vae(tiny, stock, latent_frames):
    latents = torch.randn(1, 16, latent_frames, 8, 8, generator=torch.Generator().manual_seed(latent_frames))
    ours, expected = (vae.decode(latents) for vae in (tiny.vae, stock))
    assert torch.allclose(ours, expected, atol=1e-4)
    ours, expected = (vae.encode(expected[0]) for vae in (tiny.vae, stock))
    assert torch.allclose(ours, expected, atol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize("frames", [1, 2, 5])
@pytest.mark.parametrize("looks_back", [False, True])
def test_a_convolution_that_looks_back_is_done_in_full(pack, looks_back, frames):
    from comfy.ldm.wan.vae import CausalConv3d

    torch.manual_seed(frames)
    plain, ours = (CausalConv3d(4, 6, 3, padding=1) for _ in range(2))
    for weight in plain.parameters():
        torch.nn.init.normal_(weight)
    if not looks_back:
        plain.weight[:, :, :-1] = 0
    ours.load_state_dict(plain.state_dict())
    pack.nodes.host.flat_convolutions.convolve_by_picture(ours)
    x, before = torch.randn(2, 4, frames, 5, 7), torch.randn(2, 4, 2, 5, 7)
    for carried in (None, before[:, :, 1:], before):
        expected, made = (conv(x, cache_x=carried) for conv in (plain, ours))
        assert made.shape == expected.shape and torch.allclose(made, expected, atol=1e-5)
