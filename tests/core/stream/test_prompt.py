"""Blends: a prompt that takes over step by step."""

import pytest
import torch

from memflow_core.state import StreamState, capture, resume
from memflow_core.stream.prompt import blend_text


def latents(chunks) -> torch.Tensor:
    return torch.cat([chunk.latents for chunk in chunks], dim=2)


def change(stream, text, **blend) -> None:
    stream.set_prompt(text, "blend", **blend)


def run(stream, chunks: int) -> list:
    return [next(stream) for _ in range(chunks)]


# -- the way from one embedding to another ----------------------------------------------------------------------------


def test_a_linear_blend_goes_straight(prompt):
    a, b = prompt(0), prompt(1)
    assert torch.allclose(blend_text(a, b, 0.25, "linear"), 0.75 * a + 0.25 * b)


def test_a_spherical_blend_turns_each_token_evenly_and_moves_its_norm_evenly(prompt):
    a, b = prompt(0, batch=2), 3 * prompt(1, batch=2)
    for weight in (0.2, 0.5, 0.9):
        mixed = blend_text(a, b, weight, "spherical")
        whole = torch.acos(torch.cosine_similarity(a, b, dim=-1))[:, :4]
        turned = torch.acos(torch.cosine_similarity(a, mixed, dim=-1))[:, :4]
        left = torch.acos(torch.cosine_similarity(mixed, b, dim=-1))[:, :4]
        assert torch.allclose(turned, weight * whole, atol=1e-3)
        assert torch.allclose(left, (1 - weight) * whole, atol=1e-3)
        norms = (1 - weight) * a.norm(dim=-1) + weight * b.norm(dim=-1)
        assert torch.allclose(mixed.norm(dim=-1), norms, atol=1e-5)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ([0.0, 0.0], [1.0, 2.0]),
        ([1.0, 2.0], [0.0, 0.0]),
        ([0.0, 0.0], [0.0, 0.0]),
        ([1.0, 2.0], [3.0, 6.0]),
        ([1.0, 2.0], [1.0, 2.0]),
        ([1.0, 2.0], [-2.0, -4.0]),
        ([1.0, 0.0], [1.0, 1e-6]),
    ],
)
def test_where_there_is_no_arc_a_spherical_blend_is_linear(a, b):
    a, b = torch.tensor([[a]]), torch.tensor([[b]])
    assert torch.allclose(blend_text(a, b, 0.3, "spherical"), 0.7 * a + 0.3 * b, atol=1e-6)


@pytest.mark.parametrize("path", ["linear", "spherical"])
def test_the_last_step_is_the_new_prompt_itself(prompt, path):
    short, long = prompt(0)[:, :3], prompt(1).bfloat16()
    assert blend_text(short, long, 1.0, path) is long
    between = blend_text(short, long, 0.5, path)
    assert between.shape == long.shape and between.dtype == torch.bfloat16
    assert blend_text(long, short, 0.5, path).shape == long.shape
    assert blend_text(long, short, 1.0, path) is short


# -- a stream that blends ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["linear", "spherical"])
@pytest.mark.parametrize("retrieval", ["fifo", "none"])
def test_each_chunk_speaks_its_step(make_stream, prompt, path, retrieval):
    """Where the bank does not listen to the prompt, a blend is a row of soft switches."""
    blended, by_hand = (make_stream(retrieval=retrieval, record_every=1) for _ in range(2))
    blended.set_prompt(prompt(0))
    by_hand.set_prompt(prompt(0))
    made, expected = run(blended, 4), run(by_hand, 4)
    change(blended, prompt(1), blend_chunks=3, blend_path=path)
    made += run(blended, 5)
    for weight in (1 / 3, 2 / 3, 1):
        by_hand.set_prompt(blend_text(prompt(0), prompt(1), weight, path), "soft")
        expected += run(by_hand, 1)
    expected += run(by_hand, 2)
    assert torch.equal(latents(made), latents(expected))
    assert [chunk.prompt for chunk in made] == [0] * 4 + [1] * 5
    steps = [record for chunk in made for record in chunk.trace if record["event"] == "blend"]
    assert [(step["chunk"], step["weight"]) for step in steps] == [(4, 0.333333), (5, 0.666667), (6, 1)]
    assert {forward.kind for chunk in made for forward in chunk.forwards} == {"denoise", "context"}


@pytest.mark.parametrize("retrieval", ["prompt", "similarity", "reference"])
def test_the_bank_listens_to_the_coming_prompt_from_the_first_step(make_stream, prompt, retrieval):
    records = []
    for switch in ("soft", "blend"):
        stream = make_stream(retrieval=retrieval, record_every=1)
        stream.set_prompt(prompt(0))
        run(stream, 8)
        stream.set_prompt(prompt(1), switch)
        records.append([r for r in run(stream, 1)[0].trace if r["event"] == "retrieve"])
    assert records[0] == records[1] and records[0][0]["scores"] is not None


def test_a_blend_of_one_chunk_is_a_soft_switch(make_stream, play, prompt):
    soft, blended = make_stream(), make_stream()
    expected = play(soft, 6, {0: (prompt(0),), 3: (prompt(1), "soft")})
    made = play(blended, 3, {0: (prompt(0),)})
    change(blended, prompt(1), blend_chunks=1)
    assert torch.equal(latents(made + run(blended, 3)), latents(expected))


def test_the_first_prompt_has_nothing_to_blend_from(make_stream, play, prompt):
    plain = play(make_stream(), 2, {0: (prompt(0),)})
    assert torch.equal(latents(play(make_stream(), 2, {0: (prompt(0), "blend")})), latents(plain))


@pytest.mark.parametrize("switch", ["blend", "soft", "recache", "cut"])
def test_a_change_inside_a_blend_starts_from_what_is_spoken(make_stream, prompt, switch):
    blended, by_hand = make_stream(retrieval="fifo"), make_stream(retrieval="fifo")
    blended.set_prompt(prompt(0))
    run(blended, 4)
    change(blended, prompt(1), blend_chunks=4)
    run(blended, 2)
    blended.set_prompt(prompt(2), switch, blend_chunks=2)
    by_hand.set_prompt(prompt(0))
    run(by_hand, 4)
    for weight in (0.25, 0.5):
        by_hand.set_prompt(blend_text(prompt(0), prompt(1), weight, "linear"), "soft")
        run(by_hand, 1)
    reached = blend_text(prompt(0), prompt(1), 0.5, "linear")
    if switch == "blend":
        by_hand.set_prompt(blend_text(reached, prompt(2), 0.5, "linear"), "soft")
        expected = run(by_hand, 1)
        by_hand.set_prompt(prompt(2), "soft")
    else:
        by_hand.set_prompt(prompt(2), switch)
        expected = run(by_hand, 1)
    assert torch.equal(latents(run(blended, 3)), latents(expected + run(by_hand, 2)))
    assert blended.prompt.blend is None


@pytest.mark.parametrize("path", ["linear", "spherical"])
@pytest.mark.parametrize("retrieval", ["prompt", "reference"])
@pytest.mark.parametrize("saved_at", [4, 5, 6, 7, 8])
def test_a_blend_goes_on_after_a_resume(make_stream, prompt, backbone, tmp_path, path, retrieval, saved_at):
    """Saved before, in and after a blend from chunk 4 to 6, with another one that starts inside it at chunk 6."""

    def go(stream, until: int) -> list:
        made = []
        while stream.progress.chunk < until:
            if stream.progress.chunk in (4, 6) and stream.waiting is None:
                change(stream, prompt(stream.progress.chunk), blend_chunks=3, blend_path=path)
            made += run(stream, 1)
        return made

    whole = make_stream(retrieval=retrieval, record_every=1)
    whole.set_prompt(prompt(0))
    go(whole, saved_at)
    if saved_at == 4:  # while it waits
        change(whole, prompt(4), blend_chunks=3, blend_path=path)
    capture(whole).save(tmp_path / "state.safetensors")
    resumed = resume(StreamState.load(tmp_path / "state.safetensors"), backbone)
    assert torch.equal(latents(go(resumed, 12)), latents(go(whole, 12)))
    assert resumed.trace.records == whole.trace.records


@pytest.mark.parametrize(
    ("blend", "message"),
    [
        ({"blend_chunks": 0}, "chunks that a blend takes is 0, but must be a whole number of at least 1"),
        ({"blend_chunks": 2.5}, "chunks that a blend takes is 2.5"),
        ({"blend_path": "round"}, "blend path is 'round', but must be one of linear, spherical"),
    ],
)
def test_a_bad_blend_is_named(make_stream, prompt, blend, message):
    with pytest.raises(ValueError, match=message):
        change(make_stream(), prompt(0), **blend)
