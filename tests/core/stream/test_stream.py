"""The streaming loop: what a chunk costs, what it draws, what a prompt change does."""

import pytest
import torch

from memflow_core.config import LatentShape, MemoryConfig, SamplingConfig
from memflow_core.model import Backbone
from memflow_core.stream import SeededNoise, Stream
from memflow_core.stream.noise import chunk_seed


def kinds(chunk) -> list[str]:
    return [forward.kind for forward in chunk.forwards]


def latents(chunks) -> torch.Tensor:
    return torch.cat([chunk.latents for chunk in chunks], dim=2)


class Shifted:
    """The noise of a seed, chunk numbers moved."""

    def __init__(self, seed: int, by: int):
        self.noise, self.by = SeededNoise(seed), by

    def chunk(self, index):
        return self.noise.chunk(index - self.by)


@pytest.mark.parametrize("retrieval", ["reference", "prompt", "similarity", "attention", "fifo", "none"])
@pytest.mark.parametrize("steps", [(1000,), (1000, 750, 500, 250)])
def test_a_chunk_costs_its_steps_and_one_context_pass(make_stream, play, prompt, retrieval, steps):
    stream = make_stream(steps, retrieval=retrieval, top_k=None if retrieval == "none" else 4)
    chunks = play(stream, 9, {0: (prompt(0),), 5: (prompt(1),), 7: (prompt(2), "soft")})
    plain = ["denoise"] * len(steps) + ["context"]
    for chunk in chunks:
        assert kinds(chunk) == (["recache", *plain] if chunk.index == 5 else plain)
    assert latents(chunks).isfinite().all()


@pytest.mark.parametrize(
    ("retrieval", "recomputed"), [("prompt", [9, 10, 11, 12, 13, 14]), ("reference", list(range(6, 15)))]
)
def test_recache_recomputes_only_the_window_it_keeps(make_stream, play, prompt, retrieval, recomputed):
    stream = make_stream(retrieval=retrieval)
    chunks = play(stream, 6, {0: (prompt(0),), 5: (prompt(1),)})
    switches = [record for record in chunks[5].trace if record["event"] == "switch"]
    assert [record["recomputed"] for record in switches] == [recomputed]


@pytest.mark.parametrize("retrieval", ["prompt", "reference"])
def test_a_recache_writes_at_the_timestep_of_the_context_pass(backbone, prompt, monkeypatch, retrieval):
    """As the published program does; its recordings have context noise 0 and 20."""
    written, write = [], Backbone.write

    def noted(self, x, timesteps, text, attend):
        written.append(timesteps)
        write(self, x, timesteps, text, attend)

    monkeypatch.setattr(Backbone, "write", noted)
    memory, sampling = MemoryConfig(retrieval=retrieval), SamplingConfig((1000, 500), context_noise=20.0)
    stream = Stream(backbone, LatentShape(4, 6), memory=memory, sampling=sampling, frames=30)
    stream.set_prompt(prompt(0))
    made = [next(stream), next(stream)]
    stream.set_prompt(prompt(1))
    made.append(next(stream))
    assert [kinds(chunk)[0] for chunk in made] == ["denoise", "denoise", "recache"]
    assert written == [20.0] * 4, "three context passes and a recache"
    assert {write.timestep for write in stream.provenance.writes} == {20.0}


def test_the_sink_is_never_touched_by_a_switch(make_stream, play, prompt):
    stream = make_stream(retrieval="prompt")
    play(stream, 2, {0: (prompt(0),)})
    border = stream.cache.layout.border
    before = stream.cache.k[:, :, :, border : border + 3].clone()
    play(stream, 4, {2: (prompt(1),), 4: (prompt(2),)})
    assert torch.equal(stream.cache.k[:, :, :, border : border + 3], before)


def test_a_recache_changes_what_follows_and_a_soft_switch_differs_from_it(make_stream, play, prompt):
    runs = {
        kind: latents(play(make_stream(), 6, {0: (prompt(0),), 4: (prompt(1), kind)}))
        for kind in ("recache", "soft", "cut")
    }
    for kind in runs:
        assert torch.equal(runs[kind][:, :, :12], runs["soft"][:, :, :12])
    for one, other in (("recache", "soft"), ("recache", "cut"), ("soft", "cut")):
        assert (runs[one] - runs[other])[:, :, 12:15].abs().max() > 1e-3


def test_after_a_cut_with_no_bank_the_stream_is_a_new_one(make_stream, play, prompt):
    """Rotary attention depends on distances alone, so a new stream with the same noise makes the same shot."""
    settings = {"retrieval": "none"}
    old = play(make_stream(**settings), 12, {0: (prompt(0),), 6: (prompt(1), "cut")})
    fresh = make_stream(**settings)
    fresh.noise = Shifted(5, -6)
    new = play(fresh, 6, {0: (prompt(1),)})
    assert torch.allclose(latents(old[6:]), latents(new), atol=1e-4)


def test_the_same_seed_makes_the_same_stream_and_another_seed_another(make_stream, play, prompt):
    one, same, other = (latents(play(make_stream(seed=seed), 3, {0: (prompt(0),)})) for seed in (7, 7, 8))
    assert torch.equal(one, same)
    assert (one - other).abs().max() > 1e-2


def test_noise_of_a_chunk_does_not_depend_on_the_chunks_before():
    shape = (1, 2, 3, 4, 6)
    draw = SeededNoise(9).chunk(4)
    first, second = draw(shape), draw(shape)
    again = SeededNoise(9).chunk(4)
    assert torch.equal(again(shape), first)
    assert torch.equal(again(shape), second)
    assert not torch.equal(first, second)
    assert len({chunk_seed(seed, index) for seed in range(50) for index in range(50)}) == 2500


def test_a_seed_given_with_a_prompt_holds_from_its_chunk_on(make_stream, play, prompt):
    plain = play(make_stream(), 4, {0: (prompt(0),)})
    reseeded = play(make_stream(), 4, {0: (prompt(0),), 2: (prompt(0), "soft", 99)})
    assert torch.equal(latents(plain[:2]), latents(reseeded[:2]))
    assert not torch.equal(plain[2].latents, reseeded[2].latents)


def test_batch_items_are_streams_of_their_own(make_stream, play, prompt):
    """Two prompts in one batch: each item's bank and picture are those of a stream of its own."""
    both = torch.cat((prompt(0), prompt(1))), torch.cat((prompt(2), prompt(3)))
    pair = make_stream(batch=2, top_k=3)
    drawn = pair.noise
    made = latents(play(pair, 14, {0: (both[0],), 9: (both[1],)}))

    class Half:
        def __init__(self, item):
            self.item = item

        def chunk(self, index):
            draw = drawn.chunk(index)
            return lambda shape: draw((2, *shape[1:]))[self.item : self.item + 1]

    for item in range(2):
        single = make_stream(top_k=3)
        single.noise = Half(item)
        alone = latents(play(single, 14, {0: (prompt(item),), 9: (prompt(2 + item),)}))
        assert torch.allclose(made[item : item + 1], alone, atol=1e-4)


def test_relative_positions_equal_absolute_ones_until_a_frame_leaves_the_window(make_stream, play, prompt):
    absolute, relative = (
        latents(play(make_stream(positions=p), 5, {0: (prompt(0),), 2: (prompt(1),)})) for p in ("absolute", "relative")
    )
    assert torch.allclose(absolute[:, :, :12], relative[:, :, :12], atol=1e-4)
    assert (absolute - relative)[:, :, 12:].abs().max() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("retrieval", ["prompt", "attention", "reference"])
def test_relative_positions_have_no_length_limit(make_stream, play, prompt, retrieval):
    stream = make_stream((1000,), frames=1100, retrieval=retrieval, top_k=3)
    assert stream.positions == "relative"
    made = latents(play(stream, 350, {0: (prompt(0),), 345: (prompt(1),)}))
    assert made.shape[2] == 1050
    assert made.isfinite().all()
    assert made[:, :, -30:].std() < 3 * made[:, :, 30:60].std()


def test_absolute_positions_end_with_a_sentence(make_stream, prompt):
    with pytest.raises(ValueError, match="absolute positions reach 1024 latent frames"):
        make_stream(positions="absolute", frames=1025)
    stream = make_stream(frames=30)
    stream.set_prompt(prompt(0))
    stream.progress.chunk = 341
    with pytest.raises(ValueError, match="start it with relative positions"):
        next(stream)


def test_finish_ends_the_stream_at_a_chunk_boundary(make_stream, prompt):
    stream = make_stream()
    stream.set_prompt(prompt(0))
    made = []
    for chunk in stream:
        made.append(chunk.index)
        if chunk.index == 2:
            stream.finish()
    assert made == [0, 1, 2]


def test_a_stream_stopped_inside_a_chunk_does_not_go_on(make_stream, prompt):
    class Stopped(BaseException):
        pass

    def stop(forward):
        if forward.chunk == 1 and forward.kind == "context":
            raise Stopped

    stream = make_stream(on_forward=stop)
    stream.set_prompt(prompt(0))
    next(stream)
    with pytest.raises(Stopped):
        next(stream)
    with pytest.raises(RuntimeError, match="broken off"):
        next(stream)


@pytest.mark.parametrize("chunk_frames", [1, 2, 4])
def test_other_chunk_sizes_stream_too(make_stream, play, prompt, chunk_frames):
    made = play(make_stream(chunk_frames=chunk_frames, record_every=2, top_k=2), 20, {0: (prompt(0),), 9: (prompt(1),)})
    assert latents(made).shape[2] == 20 * chunk_frames
    assert latents(made).isfinite().all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (torch.zeros(1, 6, 9), "use the text encoder that belongs to the model"),
        (torch.zeros(3, 6, 8), r"need \[1 or 1, length, 8\]"),
        (torch.full((1, 6, 8), float("nan")), "NaN or infinity"),
    ],
)
def test_a_wrong_prompt_embedding_is_named(make_stream, text, message):
    with pytest.raises(ValueError, match=message):
        make_stream().set_prompt(text)


def test_a_stream_without_a_prompt_says_so(make_stream):
    with pytest.raises(ValueError, match="no prompt"):
        next(make_stream())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bank_frames": 65}, "bank_frames is 65, but must be a whole number from 0 to 64"),
        ({"top_k": 7}, "top_k is 7, but sink . bank hold only 6 latent frames"),
        ({"top_k": 4, "retrieval": "none"}, "top_k is 4, but sink . bank hold only 3"),
        ({"retrieval": "best"}, "retrieval is 'best', but must be one of reference, prompt"),
        ({"record_every": 0}, "record_every is 0, but must be a whole number of at least 1"),
        ({"sink_frames": -1}, "sink_frames is -1"),
        ({"window_frames": 2.5}, "window_frames is 2.5"),
        ({"pins": (1, 2, 3, 4)}, "4 latent frames are pinned, but the bank holds 3"),
        ({"pins": (1,), "retrieval": "reference"}, "pins need a bank that can hold them"),
    ],
)
def test_memory_settings_are_checked_when_made(settings, message):
    with pytest.raises(ValueError, match=message):
        MemoryConfig(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": ()}, "step list is empty"),
        ({"steps": (500, 1000)}, "must fall"),
        ({"steps": (1001,)}, "1001"),
        ({"shift": 0}, "shift is 0"),
        ({"context_noise": 1000}, "context_noise is 1000"),
    ],
)
def test_sampling_settings_are_checked_when_made(settings, message):
    with pytest.raises(ValueError, match=message):
        SamplingConfig(**settings)


def test_a_chunk_must_fit_into_the_window(make_stream):
    with pytest.raises(ValueError, match="one chunk has 3 latent frames"):
        make_stream(window_frames=2)


@pytest.mark.parametrize("rows", [0, 5])
def test_a_size_off_the_grid_is_named_in_pixels(rows):
    with pytest.raises(ValueError, match=f"height is {rows * 8} pixels, but must be a multiple of 16"):
        LatentShape(rows, 6)


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5])
def test_a_bad_seed_is_named(seed, backbone):
    with pytest.raises(ValueError, match="seed is"):
        Stream(backbone, LatentShape(4, 6), noise=SeededNoise(seed))
