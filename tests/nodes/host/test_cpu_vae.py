"""The tiny VAE on a CPU: its convolutions and norms are ComfyUI's, in fewer steps."""

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
    pack.nodes.host.cpu_vae.speed_up_on_cpu(ours)
    x, before = torch.randn(2, 4, frames, 5, 7), torch.randn(2, 4, 2, 5, 7)
    for carried in (None, before[:, :, 1:], before):
        caches = [carried], [carried]
        ways = [{"cache_x": carried}, {}] if carried is None else [{"cache_x": carried}]
        for way in ways:
            expected, made = (conv(x, **way) for conv in (plain, ours))
            assert made.shape == expected.shape and torch.allclose(made, expected, atol=1e-5)
        expected, made = (
            conv(x, cache_list=cache, cache_idx=0) for conv, cache in zip((plain, ours), caches, strict=True)
        )
        assert made.shape == expected.shape and torch.allclose(made, expected, atol=1e-5)
        assert caches == ([None], [None])


@torch.no_grad()
def test_weights_that_are_cast_or_patched_are_comfyuis_matter(pack):
    from comfy.ldm.wan.vae import CausalConv3d

    conv = CausalConv3d(4, 4, 3, padding=1)
    for weight in conv.parameters():
        torch.nn.init.normal_(weight)
    conv.weight[:, :, :-1] = 0
    pack.nodes.host.cpu_vae.speed_up_on_cpu(conv)
    x = torch.randn(1, 4, 3, 5, 5)
    plain = conv(x)
    conv.weight_function = [lambda weight: 2 * weight]
    assert torch.allclose(conv(x) - conv.bias.view(-1, 1, 1, 1), 2 * (plain - conv.bias.view(-1, 1, 1, 1)), atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("shape", [(1, 8, 3, 5, 5), (2, 4, 1, 7, 6)])
def test_a_norm_is_the_same_with_nothing_to_norm_too(pack, shape):
    from comfy.ldm.wan.vae import RMS_norm

    plain, ours = (RMS_norm(shape[1], images=False) for _ in range(2))
    torch.nn.init.normal_(plain.gamma)
    ours.load_state_dict(plain.state_dict())
    pack.nodes.host.cpu_vae.speed_up_on_cpu(ours)
    x = torch.randn(shape)
    x[:, :, 0, 0] = 0
    assert torch.allclose(ours(x), plain(x), atol=1e-5)
    half = torch.randn(shape).half()
    assert torch.equal(ours(half), plain(half))
