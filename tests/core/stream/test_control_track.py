"""Controls on a story's frames: what each chunk is given, and what is carried from one to the next."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from memflow_core.config import LatentShape, MemoryConfig, SamplingConfig
from memflow_core.model import Backbone
from memflow_core.stream import ControlTrack, FlowSchedule, Stream, fold_mask
from memflow_core.stream.denoise import Denoiser
from memflow_core.stream.unipc import unipc_sigmas
from tests.core.controls import LookingBack, branch, span, track


def chunks(source: ControlTrack, *indices: int):
    return [source.of_chunk(index) for index in indices]


@pytest.mark.parametrize("frames", [1, 3, 8])
def test_chunks_encoded_one_by_one_are_those_of_one_clip(frames):
    one, whole = track(span(0), chunk_frames=frames), LookingBack()
    made = torch.cat([given.context for given in chunks(one, 0, 1, 2)], dim=2)
    px = 4 * 3 * frames - 3
    everything = whole.encode(one.spans[0].pictures.pictures[:px])
    torch.testing.assert_close(made[:, 16:32], everything)
    grey = LookingBack().encode(torch.full((px, 32, 48, 3), 0.5))
    torch.testing.assert_close(made[:, :16], grey)
    assert torch.equal(made[:, 32:], torch.ones_like(made[:, 32:]))


def test_only_the_frames_of_a_chunk_are_read():
    source = track(span(0))
    chunks(source, 0, 1, 2)
    assert source.spans[0].pictures.reads == [(0, 9), (9, 12), (21, 12)]


def test_a_control_that_ends_simply_ends():
    source = track(span(0, count=15))
    first, second, third = chunks(source, 0, 1, 2)
    assert first is not None
    assert second is not None
    assert third is None
    # of the second chunk six frames are there, the others are grey and to be made
    expected = LookingBack()
    filled = torch.cat((source.spans[0].pictures.pictures, torch.full((6, 32, 48, 3), 0.5)))
    torch.testing.assert_close(torch.cat((first.context, second.context), dim=2)[:, 16:32], expected.encode(filled))


def test_controls_follow_one_another_and_none_is_used_again():
    one, other = span(0, 9), span(33, 45, seed=2)
    source = track(one, other)
    given = chunks(source, 0, 1, 2, 3, 4)
    assert [control is not None for control in given] == [True, False, False, True, False]
    assert one.pictures.reads == [(0, 9)]
    assert other.pictures.reads == [(0, 12)]
    # behind a chunk without control a clip begins anew, with the chunk's first frame in the place of the single one
    alone = LookingBack().encode(torch.cat((other.pictures.pictures[:1], other.pictures.pictures[:12])))[:, :, 1:]
    torch.testing.assert_close(given[3].context[:, 16:32], alone)


def test_two_controls_in_one_chunk_each_have_their_frames_and_their_strength():
    first, second = span(0, 13, strength=0.5), span(13, strength=2.0, seed=2)
    given = chunks(track(first, second), 0, 1)
    assert given[0].strengths == (0.5, 0.5, 0.5)
    assert given[1].strengths == (0.5, 2.0, 2.0)
    frames = torch.cat((first.pictures.pictures[:13], second.pictures.pictures[:8]))
    together = LookingBack().encode(frames)
    torch.testing.assert_close(torch.cat([one.context for one in given], dim=2)[:, 16:32], together)


def test_the_last_picture_alone_stands_at_its_frame():
    """As WanVaceToVideo is used for it: all is grey and to be made but the last picture, whose mask is 0."""
    last = span(20, 21, count=1, mask=torch.zeros(1, 32, 48))
    given = chunks(track(last), 0, 1)
    assert given[0] is None
    assert given[1].strengths == (1.0, 1.0, 1.0)
    frames = torch.full((13, 32, 48, 3), 0.5)
    frames[-1] = last.pictures.pictures[0]
    torch.testing.assert_close(given[1].context[:, :16], LookingBack().encode(frames)[:, :, 1:])
    mask = torch.ones(12, 32, 48)
    mask[-1] = 0
    assert torch.equal(given[1].context[0, 32:], fold_mask(mask, 3))


def test_a_mask_parts_what_is_kept_from_what_is_made():
    mask = torch.zeros(200, 32, 48)
    mask[:, :, :24] = 1
    source = track(span(0, mask=mask))
    (given,) = chunks(source, 0)
    picture = source.spans[0].pictures.pictures[:9]
    kept, made = picture.clone(), picture.clone()
    kept[:, :, :24], made[:, :, 24:] = 0.5, 0.5
    torch.testing.assert_close(given.context[:, :16], LookingBack().encode(kept))
    torch.testing.assert_close(given.context[:, 16:32], LookingBack().encode(made))
    folded = given.context[0, 32:]
    assert torch.equal(folded[..., :3], torch.ones(64, 3, 4, 3))
    assert torch.equal(folded[..., 3:], torch.zeros(64, 3, 4, 3))


def test_a_mask_is_folded_pixel_by_pixel():
    mask = torch.arange(9.0)[:, None, None] * 10_000 + torch.arange(32.0)[:, None] * 100 + torch.arange(48.0)
    folded = fold_mask(mask, 3)
    assert folded.shape == (64, 3, 4, 6)
    for channel, frame, row, column in ((0, 0, 0, 0), (63, 2, 3, 5), (10, 1, 2, 4)):
        nearest = (1, 4, 7)[frame]
        pixel = nearest, 8 * row + channel // 8, 8 * column + channel % 8
        assert folded[channel, frame, row, column] == mask[pixel]


def test_strength_0_is_neither_read_nor_encoded():
    silent = span(0, strength=0.0)
    assert chunks(track(silent), 0, 1) == [None, None]
    assert silent.pictures.reads == []


def test_every_item_of_a_batch_has_the_control():
    (given,) = chunks(track(span(0), shape=LatentShape(4, 6, batch=2)), 0)
    assert given.context.shape == (2, 96, 3, 4, 6)
    assert torch.equal(*given.context)


def test_latents_of_another_size_are_refused_in_one_sentence():
    with pytest.raises(ValueError, match=r"control needs latents of 8 x 8 pixels"):
        track(span(0), shape=LatentShape(4, 6, pixels=16))


def test_a_stream_is_steered_where_its_controls_are(backbone, prompt, make_stream):
    model = Backbone(backbone.tree, control=branch())
    made = {}
    for name, source in (("free", None), ("steered", track(span(9, 21)))):
        stream = Stream(model, LatentShape(4, 6), seed=5, frames=60)
        stream.control = source
        stream.set_prompt(prompt(0))
        made[name] = [next(stream).latents for _ in range(2)]
    assert torch.equal(made["free"][0], made["steered"][0])
    assert not torch.allclose(made["free"][1], made["steered"][1], atol=1e-3)


# -- video to video ---------------------------------------------------------------------------------------------------


def remade(start, end=None, strength=1.0, **more):
    return replace(span(start, end, strength=strength, **more), remake=True)


def test_chunks_that_pictures_fill_are_made_from_them_and_no_others():
    source = track(remade(5, 40, strength=0.5))
    given = chunks(source, 0, 1, 2, 3)
    # frames 9 to 32 are whole chunks; 5 to 8 and 33 to 39 are none
    assert [one is None for one in given] == [True, False, False, True]
    assert given[1].context is None
    assert given[1].start_strength == 0.5
    pictures = source.spans[0].pictures.pictures[4:28]
    expected = LookingBack().encode(torch.cat((pictures[:1], pictures)))[:, :, 1:]
    torch.testing.assert_close(torch.cat((given[1].start, given[2].start), dim=2), expected)


def test_a_chunk_may_be_steered_and_made_from_pictures_in_turn():
    given = chunks(track(span(0, 9), remade(9, 21), span(21, seed=2)), 0, 1, 2)
    assert [(one.context is not None, one.start is not None) for one in given] == [
        (True, False),
        (False, True),
        (True, False),
    ]


@pytest.mark.parametrize(("strength", "passes"), [(1.0, 1), (0.7, 2), (0.5, 2), (0.3, 3), (0.1, 4)])
def test_the_strength_chooses_the_step(backbone, prompt, strength, passes):
    """A model without control weights does: nothing of a control branch is used."""
    made = []
    for source in (None, track(remade(0, 9, strength=strength))):
        stream = Stream(backbone, LatentShape(4, 6), seed=5, frames=60)
        stream.control = source
        stream.set_prompt(prompt(0))
        made.append(next(stream))
    counted = [sum(forward.kind == "denoise" for forward in chunk.forwards) for chunk in made]
    assert counted == [4, passes]
    assert torch.equal(made[0].latents, made[1].latents) == (passes == 4)


@pytest.mark.parametrize("solver", ["renoise", "unipc"])
@pytest.mark.parametrize("first", [0, 1, 3])
def test_a_model_that_is_always_right_gives_the_pictures_back(solver, first):
    config = SamplingConfig(solver=solver)
    numbers = torch.Generator().manual_seed(3)
    start, *noise = (torch.randn(1, 16, 3, 4, 6, generator=numbers) for _ in range(5))
    steps = []

    def predict(step, timestep, x):
        steps.append(step)
        sigma = unipc_sigmas(config.steps, config.shift)[step] if solver == "unipc" else FlowSchedule().sigma(timestep)
        return (x - start) / sigma

    found = Denoiser(config).run(1, noise, predict, start, first)
    torch.testing.assert_close(found, start, rtol=0, atol=1e-4)
    assert steps == list(range(first, 4))


def test_more_than_all_of_the_pictures_cannot_stay():
    with pytest.raises(ValueError, match="have strength 1.5, but at most 1"):
        track(remade(0, strength=1.5))


def test_memory_of_every_kind_goes_on_where_steps_are_left_out(backbone, prompt):
    for memory in (MemoryConfig(retrieval="attention", record_every=1), MemoryConfig(retrieval="reference")):
        stream = Stream(backbone, LatentShape(4, 6), memory=memory, seed=5, frames=60)
        stream.control = track(remade(0))
        stream.set_prompt(prompt(0))
        for _ in range(6):
            assert torch.isfinite(next(stream).latents).all()
