"""Light decoders, by ComfyUI's own loader: as a stream the same frames as whole, and labelled."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load, save


def light_vae(channels: int = 16):
    """A `VAE` with random weights in the layout of lighttaew2_1 or, with 48 channels, of 2.2, by ComfyUI's own "
    "loader."""
    import comfy.sd
    from comfy.taesd.taehv import TAEHV

    torch.manual_seed(5)
    network = TAEHV(latent_channels=channels)
    with torch.no_grad():
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.5 / max(parameter[0].numel(), 1) ** 0.5)
    return comfy.sd.VAE(sd=network.state_dict())


@pytest.fixture(scope="module")
def light(pack):
    return light_vae()


@pytest.fixture(scope="module")
def latents() -> torch.Tensor:
    return torch.randn(1, 16, 7, 4, 6, generator=torch.Generator().manual_seed(3))


@pytest.fixture
def decoder(pack, light):
    """decoder() is a new streaming decoder on the light VAE."""
    return lambda: pack.nodes.host.decode.LightDecoder(light)


@pytest.mark.parametrize("chunks", [(7,), (3, 3, 1), (1, 1, 5), (2, 3, 2)], ids=str)
def test_chunks_decode_to_the_frames_of_the_whole(decoder, light, latents, chunks):
    stream = decoder()
    frames = [stream.decode(part) for part in latents.split(chunks, dim=2)]
    assert [len(part) for part in frames] == [4 * chunks[0] - 3, *(4 * count for count in chunks[1:])]
    whole = light.decode(latents)[0]
    assert whole.std() > 0.01 and torch.equal(torch.cat(frames), whole)


@pytest.mark.parametrize("chunks", [(7,), (1, 6), (3, 4)], ids=str)
def test_that_of_wan_22_decodes_its_patches_too(pack, chunks):
    light = light_vae(48)
    latents = torch.randn(1, 48, 7, 2, 3, generator=torch.Generator().manual_seed(3))
    stream = pack.nodes.host.decode.LightDecoder(light)
    frames = torch.cat([stream.decode(part) for part in latents.split(chunks, dim=2)])
    assert frames.shape == (25, 32, 48, 3)
    assert torch.equal(frames, light.decode(latents)[0])


def test_a_chunk_depends_on_those_before_it(decoder, latents):
    stream = decoder()
    stream.decode(latents[:, :, :3])
    after = stream.decode(latents[:, :, 3:])
    alone = decoder()
    alone.decode(latents[:, :, 3:6])
    assert not torch.equal(alone.decode(latents[:, :, 3:]), after)


def test_a_saved_decoder_goes_on_bit_for_bit(decoder, latents):
    unbroken, state = decoder(), decoder().state()
    assert state == {}
    for part in latents.split((1, 3, 3), dim=2):
        resumed = decoder()
        resumed.restore(load(save(state)))
        assert torch.equal(resumed.decode(part), unbroken.decode(part))
        state = resumed.state()
    unbroken.restore({})
    assert torch.equal(unbroken.decode(latents), decoder().decode(latents))


def test_what_is_carried_is_what_the_plan_reckons_with(decoder, latents):
    from memflow_core.config import LatentShape
    from memflow_core.estimate import Decode

    stream = decoder()
    for _ in range(3):
        stream.decode(latents)
        carried = sum(tensor.numel() * tensor.element_size() for tensor in stream.state().values())
        assert carried == Decode.of(LatentShape(4, 6), 0, 4, light=True).carry


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda state: state.pop("light.03"), "does not belong to a light decoder"),
        (lambda state: state.update({"carry.00": torch.zeros(1)}), "does not belong to a light decoder"),
        (lambda state: state.update({"light.03": state["light.03"].half()}), "float16"),
        (lambda state: state.update({"light.09": state["light.09"][:, :8]}), "another VAE"),
        (lambda state: state.update({"light.04": state["light.04"][..., :2]}), "another VAE"),
    ],
)
def test_a_state_that_does_not_fit_is_refused(decoder, latents, change, problem):
    stream = decoder()
    stream.decode(latents)
    state = stream.state()
    change(state)
    with pytest.raises(ValueError, match=problem):
        decoder().restore(state)


def test_latents_that_do_not_fit_are_refused(decoder, latents):
    stream = decoder()
    stream.decode(latents)
    with pytest.raises(ValueError, match="a video keeps its size"):
        stream.decode(latents[..., :4])
    with pytest.raises(ValueError, match="one video at a time"):
        stream.decode(latents.expand(2, -1, -1, -1, -1))


def test_a_story_goes_through_it_in_parts_and_says_so(tiny, light, stream, written):
    _, _, report = stream(vae=light, length=57)
    whole = torch.cat(written)
    written.clear()
    _, state, _ = stream(vae=light, length=45)
    stream(vae=light, length=12, state=state)
    assert torch.equal(torch.cat(written), whole)
    assert report["decoder"] == "light decoder (lighttaew2_1): softer pictures"
    with pytest.raises(ValueError, match="the VAE it was made with"):
        stream(length=12, state=state)


def test_the_plan_says_so(tiny, light):
    inputs = {"seed": 7, "width": 64, "height": 64, "length": 45, "fps": 16.0, "steps": "1000", "shift": 5.0}
    request = tiny.nodes.run.request.Request(tiny.model, tiny.schedule(), **inputs)
    plan = tiny.nodes.run.request.prepare(request)
    made = {vae: tiny.nodes.run.estimate.estimate_run(request, plan, vae) for vae in (light, tiny.vae)}
    shown = {vae: tiny.nodes.run.plan_json(made[vae]) for vae in made}
    assert any("light decoder" in line for line in shown[light]["lines"])
    assert not any("light decoder" in line for line in shown[tiny.vae]["lines"])
    assert made[light].decode.carry < made[tiny.vae].decode.carry
    assert json.dumps(shown[light])


def test_it_reads_no_pictures(tiny, light):
    words = [[torch.zeros(1, 4, 16), {}]]
    with pytest.raises(ValueError, match="light decoder"):
        tiny.nodes.images.MemFlowStartImages.execute(light, words, torch.zeros(1, 64, 64, 3), 64, 64, 9, 16.0)
