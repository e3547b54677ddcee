"""Streaming decode: chunk by chunk the same frames as ComfyUI's decode of the whole latent."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load, save

from tests.nodes.twins import vae_of_22

# on the CPU the difference is 0; a GPU may choose other convolution kernels for other chunk lengths
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def latents() -> torch.Tensor:
    return 2 * torch.randn(1, 16, 9, 4, 6, generator=torch.Generator().manual_seed(3))


@pytest.fixture
def decoder(pack, tiny):
    """decoder() is a new streaming decoder on the tiny VAE."""
    return lambda: pack.nodes.host.decode.WanDecoder(tiny.vae)


@pytest.mark.parametrize(
    "chunks", [(9,), (3, 3, 3), (1, 2, 3), (1, 2, 2, 2, 2), (2, 1, 1, 5), (4, 1, 4), (1, 1, 1, 1, 1)], ids=str
)
def test_chunks_decode_to_the_frames_of_the_whole(decoder, tiny, latents, chunks):
    stream, parts = decoder(), latents[:, :, : sum(chunks)].split(chunks, dim=2)
    frames = [stream.decode(part) for part in parts]
    assert [len(part) for part in frames] == [4 * chunks[0] - 3, *(4 * count for count in chunks[1:])]
    whole = tiny.vae.decode(latents[:, :, : sum(chunks)])[0]
    assert whole.std() > 0.05
    torch.testing.assert_close(torch.cat(frames), whole, rtol=0, atol=TOLERANCE)


@pytest.fixture(scope="module")
def vae_22(tiny):
    """A `VAE` of Wan 2.2's kind with narrow layers."""
    return vae_of_22(tiny.vae)


@pytest.fixture(scope="module")
def latents_22() -> torch.Tensor:
    return 2 * torch.randn(1, 48, 9, 2, 4, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("chunks", [(9,), (8, 1), (1, 8), (3, 3, 3), (2, 1, 1, 5), (1, 1, 1, 1, 1)], ids=str)
def test_chunks_of_the_wan_22_vae_decode_to_the_frames_of_the_whole(pack, vae_22, latents_22, chunks):
    stream, parts = pack.nodes.host.decode.WanDecoder(vae_22), latents_22[:, :, : sum(chunks)].split(chunks, dim=2)
    frames = [stream.decode(part) for part in parts]
    assert [len(part) for part in frames] == [4 * chunks[0] - 3, *(4 * count for count in chunks[1:])]
    assert frames[0].shape[1:] == (32, 64, 3)
    whole = vae_22.decode(latents_22[:, :, : sum(chunks)])[0]
    assert whole.std() > 0.01
    torch.testing.assert_close(torch.cat(frames), whole, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("chunks", [(8, 1), (1, 2, 6), (2, 1, 6)], ids=str)
def test_a_saved_decoder_of_the_wan_22_vae_goes_on_bit_for_bit(pack, vae_22, latents_22, tiny, chunks):
    unbroken = pack.nodes.host.decode.WanDecoder(vae_22)
    state = unbroken.state()
    for part in latents_22.split(chunks, dim=2):
        resumed = pack.nodes.host.decode.WanDecoder(vae_22)
        resumed.restore(load(save(state)))
        assert torch.equal(resumed.decode(part), unbroken.decode(part))
        state = resumed.state()
    with pytest.raises(ValueError, match="does not belong to this Wan VAE|decoded with another VAE"):
        pack.nodes.host.decode.WanDecoder(tiny.vae).restore(state)


@pytest.mark.parametrize("chunks", [(3, 3, 3), (1, 2, 6), (2, 1, 6)], ids=str)
def test_a_saved_decoder_goes_on_bit_for_bit(decoder, latents, chunks):
    unbroken, state = decoder(), decoder().state()
    for part in latents.split(chunks, dim=2):
        resumed = decoder()
        resumed.restore(load(save(state)))
        assert torch.equal(resumed.decode(part), unbroken.decode(part))
        state = resumed.state()


def test_a_state_is_a_value(decoder, latents):
    first, second, third = latents.split(3, dim=2)
    stream = decoder()
    stream.decode(first)
    state = stream.state()
    before = {name: tensor.clone() for name, tensor in state.items()}
    expected = stream.decode(second)
    for _ in range(2):
        other = decoder()
        other.restore(state)
        assert torch.equal(other.decode(second), expected)
        other.decode(third)
    assert all(torch.equal(state[name], before[name]) for name in before)


def test_an_empty_state_starts_the_video_anew(decoder, latents):
    stream = decoder()
    assert stream.state() == {}
    first = stream.decode(latents)
    stream.restore({})
    assert torch.equal(stream.decode(latents), first)


def test_what_is_carried_does_not_grow(decoder, latents):
    stream, sizes = decoder(), []
    for _ in range(8):
        stream.decode(latents[:, :, :3])
        # what really stays in memory: the storages, of which a carried tensor may be a part
        storages = {carried.untyped_storage().data_ptr(): carried.untyped_storage() for carried in stream._carry}
        sizes.append(sum(storage.nbytes() for storage in storages.values()))
    assert len(set(sizes[1:])) == 1


@pytest.mark.parametrize(
    ("shape", "problem"),
    [
        ((2, 16, 3, 4, 6), "one video at a time"),
        ((1, 48, 3, 4, 6), r"takes \[1, 16, frames"),
        ((1, 16, 0, 4, 6), r"takes \[1, 16, frames"),
        ((16, 3, 4, 6), r"takes \[1, 16, frames"),
        ((1, 16, 3, 4, 8), "a video keeps its size"),
    ],
)
def test_latents_that_do_not_fit_are_refused(decoder, latents, shape, problem):
    stream = decoder()
    stream.decode(latents[:, :, :3])
    before = stream.state()
    with pytest.raises(ValueError, match=problem):
        stream.decode(torch.zeros(shape))
    after = stream.state()
    assert all(torch.equal(after[name], before[name]) for name in before)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda state: state.pop("carry.05"), "does not belong to this Wan VAE"),
        (lambda state: state.update({"carry.99": torch.zeros(1)}), "does not belong to this Wan VAE"),
        (lambda state: state.update({"carry.05": state["carry.05"].half()}), "decoded in float16.*computes in float32"),
        (lambda state: state.update({"carry.05": state["carry.05"][:, :4]}), "decoded with another VAE: carry.05"),
        (lambda state: state.update({"carry.05": torch.zeros(0)}), "decoded with another VAE: carry.05"),
        (lambda state: state.update({"carry.05": torch.zeros(1, 32, 500, 4, 6)}), "decoded with another VAE: carry.05"),
    ],
)
def test_a_state_that_does_not_fit_is_refused(decoder, latents, change, problem):
    stream = decoder()
    stream.decode(latents[:, :, :3])
    state = stream.state()
    change(state)
    fresh = decoder()
    with pytest.raises(ValueError, match=problem):
        fresh.restore(state)
    assert fresh.state() == {}


def _network_of(kind: str):
    """The network of a real ComfyUI VAE, with no memory behind its weights."""
    import comfy.ldm.wan.vae
    import comfy.ldm.wan.vae2_2
    import comfy.taesd.taehv
    from comfy.ldm.lightricks.vae.causal_video_autoencoder import VideoVAE

    with torch.device("meta"):
        if kind == "Wan 2.2":
            return comfy.ldm.wan.vae2_2.WanVAE(dim=8, z_dim=48)
        if kind == "TAEHV":
            return comfy.taesd.taehv.TAEHV(latent_channels=48)
        if kind == "HunyuanVideo TAEHV":
            import comfy.latent_formats

            return comfy.taesd.taehv.TAEHV(latent_channels=16, latent_format=comfy.latent_formats.HunyuanVideo)
        if kind == "LTX":
            return VideoVAE()
        return comfy.ldm.wan.vae.WanVAE(dim=8, z_dim=16)


def _image_vae():
    import comfy.sd
    import comfy.taesd.taesd

    return comfy.sd.VAE(sd=comfy.taesd.taesd.TAESD().state_dict())


def _vae(kind: str, channels: int, pictures: int = 3):
    return SimpleNamespace(first_stage_model=_network_of(kind), latent_channels=channels, conv_out_channels=pictures)


WRONG_VAES = {
    "nothing": (lambda: None, "no VAE"),
    "not recognised": (lambda: SimpleNamespace(first_stage_model=None), "no VAE"),
    "image": (_image_vae, "TAESD with 4 latent channels"),
    "Wan 2.2": (lambda: _vae("Wan 2.2", 48), "48 latent channels"),
    "light, Wan 2.2": (lambda: _vae("TAEHV", 48), "48 latent channels, but the model makes 16"),
    "light, HunyuanVideo": (lambda: _vae("HunyuanVideo TAEHV", 16), "HunyuanVideo"),
    "LTX": (lambda: _vae("LTX", 128), "VideoVAE with 128 latent channels"),
    "transparent": (lambda: _vae("Wan 2.1", 16, pictures=4), "4 channels"),
    "other width": (lambda: _vae("Wan 2.1", 32), "32 latent channels, but the model makes 16"),
}


@pytest.mark.parametrize("kind", WRONG_VAES)
def test_a_wrong_vae_is_named(pack, tiny, kind):
    make, problem = WRONG_VAES[kind]
    with pytest.raises(ValueError, match=problem) as error:
        pack.nodes.host.check_stream_vae(make(), tiny.model)
    assert "connect the Wan 2.1 VAE" in str(error.value)


def test_the_right_vae_is_accepted_and_loaded_with_the_model(pack, tiny):
    import comfy.model_management

    host = pack.nodes.host
    host.check_stream_vae(tiny.vae, tiny.model)
    comfy.model_management.unload_all_models()
    with host.sampling(tiny.model, (1, 16, 12, 4, 6), 0, tiny.vae):
        loaded = [entry.model for entry in comfy.model_management.current_loaded_models]
        assert {id(tiny.vae.patcher)} <= {id(patcher) for patcher in loaded}
        assert any(patcher.is_clone(tiny.model) for patcher in loaded)
