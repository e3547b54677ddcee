"""Streaming encode: chunk by chunk the same latents as ComfyUI's encode of the whole clip."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load, save

# on the CPU convolutions of other lengths may sum in another order
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def pictures() -> torch.Tensor:
    numbers = torch.Generator().manual_seed(3)
    coarse = torch.rand(33, 3, 8, 6, generator=numbers)
    return torch.nn.functional.interpolate(coarse, size=(64, 48), mode="bilinear").movedim(1, -1).contiguous()


@pytest.fixture
def encoder(pack, tiny):
    """encoder() is a new streaming encoder on the tiny VAE."""
    return lambda: pack.nodes.host.WanEncoder(tiny.vae, lambda latents: latents)


@pytest.mark.parametrize("chunks", [(33,), (9, 12, 12), (1, 4, 4, 24), (5, 28), (29, 4), (1, 32), (1,)], ids=str)
def test_chunks_encode_to_the_latents_of_the_whole(encoder, tiny, pictures, chunks):
    stream, parts = encoder(), pictures[: sum(chunks)].split(chunks)
    latents = [stream.encode(part) for part in parts]
    assert [part.shape[2] for part in latents] == [(chunks[0] + 3) // 4, *(count // 4 for count in chunks[1:])]
    whole = tiny.vae.encode(pictures[: sum(chunks)])
    assert whole.std() > 0.05
    torch.testing.assert_close(torch.cat(latents, dim=2), whole.float().cpu(), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("made", [1, 9, 21])
def test_a_state_goes_on_bit_equal(encoder, pictures, made):
    stream = encoder()
    stream.encode(pictures[:made])
    state = load(save({name: tensor.clone() for name, tensor in stream.state().items()}))
    rest = pictures[made : made + 12]
    other = encoder()
    other.restore(state)
    assert torch.equal(other.encode(rest), stream.encode(rest))


def test_an_empty_state_begins_a_new_clip(encoder, pictures):
    stream = encoder()
    assert stream.state() == {}
    first = stream.encode(pictures[:9])
    stream.encode(pictures[9:21])
    stream.restore({})
    assert torch.equal(stream.encode(pictures[:9]), first)


def test_pictures_that_make_no_whole_latents_are_refused(encoder, pictures):
    stream = encoder()
    with pytest.raises(ValueError, match="a clip goes on by fours"):
        stream.encode(pictures[:8])
    stream.encode(pictures[:9])
    with pytest.raises(ValueError, match="a clip goes on by fours"):
        stream.encode(pictures[:9])


WRONG = {
    "a part less": (lambda s: dict(list(s.items())[1:]), "another VAE"),
    "a part of another name": (lambda s: {**s, "carry.99": torch.zeros(1, 1, 1, 1, 1)}, "another VAE"),
    "other channels": (lambda s: {**s, "carry.01": s["carry.01"][:, :1]}, "another VAE"),
    "another size": (lambda s: {**s, "carry.01": s["carry.01"][..., :1]}, "another VAE"),
    "too many frames": (lambda s: {**s, "carry.01": s["carry.01"].repeat(1, 1, 2, 1, 1)}, "another VAE"),
    "flat": (lambda s: {**s, "carry.01": s["carry.01"].flatten()}, "another VAE"),
    "another precision": (lambda s: {name: t.half() for name, t in s.items()}, "was encoded in torch.float16"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_state_of_another_encoder_is_refused_in_one_sentence(encoder, pictures, name):
    change, words = WRONG[name]
    stream = encoder()
    stream.encode(pictures[:9])
    with pytest.raises(ValueError, match=words) as refusal:
        encoder().restore(change(stream.state()))
    assert "\n" not in str(refusal.value)
