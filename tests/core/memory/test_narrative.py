"""Narrative Adaptive Memory: which frames the bank holds, and that they matter."""

import pytest
import torch

from memflow_core.config import MemoryConfig
from memflow_core.memory import MASS_QUERIES
from memflow_core.memory.nam_scores import attention_mass
from memflow_core.stream import Prompt, Stream

POLICIES = ["prompt", "similarity", "attention", "fifo"]


def banks(stream: Stream) -> list[list[list[int]]]:
    """Latent frames in the bank, [layers][batch][slot]."""
    return stream.memory.bank.listed_frames().tolist()


def latents(chunks) -> torch.Tensor:
    return torch.cat([chunk.latents for chunk in chunks], dim=2)


def story(prompt):
    return {0: (prompt(0),), 4: (prompt(1),), 9: (prompt(2),), 14: (prompt(0),)}


@pytest.mark.parametrize("retrieval", POLICIES)
def test_no_frame_stands_twice_in_sink_bank_and_window(make_stream, play, prompt, retrieval):
    stream = make_stream(retrieval=retrieval, record_every=1, bank_frames=4)
    for _ in range(18):
        play(stream, 1, story(prompt))
        at = stream.cache.layout
        standing = set(range(at.sink)) | set(range(at.window_start, at.end))
        for layer in banks(stream):
            for held in layer:
                assert len(set(held)) == len(held)
                assert not set(held) & standing
    assert all(len(held) == 4 for layer in banks(stream) for held in layer)


def test_the_published_bank_does_fill_with_duplicates(make_stream, play, prompt):
    """The quirk that the other policies do away with; it must stay in `reference`."""
    stream = make_stream(retrieval="reference", record_every=3)
    play(stream, 24, story(prompt))
    seen = [
        held
        for record in stream.trace.records
        if record["event"] == "retrieve"
        for layer in record["after"]
        for held in layer
    ]
    assert any(len(set(held)) < len(held) for held in seen)


def test_fifo_keeps_the_newest_frames_that_left_the_window(make_stream, play, prompt):
    stream = make_stream(retrieval="fifo", record_every=1)
    play(stream, 12, {0: (prompt(0),)})
    # the window of 9 holds frames 27..35, so 24 was the last recorded frame to leave it
    assert banks(stream) == [[[18, 21, 24]]] * 2


def test_none_is_a_stream_without_a_bank(make_stream, play, prompt):
    without = latents(play(make_stream(retrieval="none"), 10, story(prompt)))
    assert torch.equal(without, latents(play(make_stream(retrieval="fifo", bank_frames=0), 10, story(prompt))))


def test_prompt_scores_text_keys_against_visual_keys(make_stream, play, prompt, backbone):
    """The score in the trace, recomputed from the model's own projections and the bank's own keys."""
    stream = make_stream(retrieval="prompt", record_every=1)
    play(stream, 9, story(prompt))
    keys = stream.cache.k.clone()
    listed = stream.memory.bank.listed().clone()
    [record] = [r for r in play(stream, 1, story(prompt))[0].trace if r["event"] == "retrieve"]
    text = prompt(2)[:, :4]  # the prompt that starts here, without its padding
    context = backbone.tree.text_embedding(text)
    for layer, block in enumerate(backbone.tree.blocks):
        text_key = block.cross_attn.norm_k(block.cross_attn.k(context)).mean(dim=1)[0]
        for place in range(3):
            visual = keys[layer, 0, :, int(listed[layer, 0, place])].mean(dim=1).flatten()
            score = float(text_key @ visual) / (2 * 16**0.5)
            assert record["scores"][layer][0][place] == pytest.approx(score, rel=1e-4, abs=1e-6)
        dropped = set(record["before"][layer][0]) - set(record["after"][layer][0])
        lowest = min(range(3), key=lambda place: record["scores"][layer][0][place])
        assert dropped == {record["before"][layer][0][lowest]}
        assert record["candidate"] in record["after"][layer][0]


def test_padding_does_not_count_for_prompt(make_stream, prompt):
    """The same tokens with more padding score the same."""
    streams = [make_stream(retrieval="prompt", record_every=1) for _ in range(2)]
    for stream, padding in zip(streams, (0, 50), strict=True):
        stream.set_prompt(torch.cat((prompt(0), torch.zeros(1, padding, 8)), dim=1))
        stream.prompt = Prompt.of(0, stream.waiting.text, stream.backbone)
    ours, padded = (stream.prompt.keys for stream in streams)
    assert torch.allclose(ours.own_k, padded.own_k, atol=1e-6)
    assert torch.allclose(ours.pooled, padded.pooled, atol=1e-6)
    assert not torch.allclose(ours.mean_k, padded.mean_k, atol=1e-3)


def test_similarity_brings_back_the_frames_of_the_same_prompt(make_stream, play, prompt):
    stream = make_stream(retrieval="similarity", record_every=1, bank_frames=2)
    play(stream, 19, {0: (prompt(0),), 6: (prompt(1),), 12: (prompt(0),)})
    own = set(range(0, 18)) | set(range(36, 57))
    assert all(set(held) <= own for layer in banks(stream) for held in layer)


def test_attention_keeps_what_the_coming_queries_look_at_most(make_stream, play, prompt):
    """The mass in the trace, recomputed with one softmax over sink, bank and candidate."""
    stream = make_stream(retrieval="attention", record_every=1)
    play(stream, 8, {0: (prompt(0),)})
    stream.memory.after_first_pass()
    candidate = next(c for c in stream.memory.candidates if c.frame == 15)
    q, first = torch.randn(1, 2, 18, 16), stream.memory.bank.filled().start
    scores = attention_mass(stream.memory.bank, 1, q, candidate)
    held = stream.cache.k[1, :, :, first : stream.cache.layout.border + 3]
    keys = torch.cat((held, candidate.kv.k[1][:, :, None]), dim=2)
    weights = (q @ keys.flatten(2, 3).transpose(-1, -2) / 4).softmax(-1).unflatten(-1, (7, 6)).sum(-1).mean(dim=(1, 2))
    listed = stream.memory.bank.listed()[1, 0] - first
    assert torch.allclose(scores.bank[0, 0], weights[0, listed], atol=1e-5)
    assert torch.allclose(scores.candidate[0, 0], weights[0, -1], atol=1e-5)


def test_attention_mass_of_a_long_chunk_is_measured_on_some_of_its_queries(make_stream, play, prompt):
    """As many as MASS_QUERIES at most, evenly spread: that costs a hundredth, and ranks the frames alike."""
    stream = make_stream(retrieval="attention", record_every=1)
    play(stream, 8, {0: (prompt(0),)})
    stream.memory.after_first_pass()
    candidate = next(c for c in stream.memory.candidates if c.frame == 15)
    q = torch.randn(1, 2, 3 * MASS_QUERIES - 5, 16, generator=torch.Generator().manual_seed(0))
    sampled, every_third = (attention_mass(stream.memory.bank, 1, x, candidate) for x in (q, q[:, :, ::3]))
    assert torch.equal(sampled.all, every_third.all)
    few = attention_mass(stream.memory.bank, 1, q[:, :, :MASS_QUERIES], candidate)
    assert not torch.equal(few.all, attention_mass(stream.memory.bank, 1, q[:, :, : MASS_QUERIES - 1], candidate).all)


def test_attention_decides_in_every_layer_and_drops_the_least_seen(make_stream, play, prompt):
    stream = make_stream(retrieval="attention", record_every=1)
    records = [
        r for chunk in play(stream, 12, story(prompt)) for r in chunk.trace if r["event"] == "retrieve" and r["scores"]
    ]
    assert {r["first_layer"] for r in records} == {0, 1}
    for record in records:
        before, after, scores = record["before"][0][0], record["after"][0][0], record["scores"][0][0]
        score_of = dict(zip([*before, record["candidate"]], scores, strict=True))
        dropped = min(score_of, key=score_of.get)
        assert set(after) == set(score_of) - {dropped}
        assert sum(scores) < 1


@pytest.mark.parametrize("retrieval", POLICIES)
def test_a_pinned_frame_stays_wherever_it_was(make_stream, play, prompt, retrieval):
    """Frame 13 is no chunk's first frame and would never be recorded by itself."""
    stream = make_stream(retrieval=retrieval, record_every=1, pins=(13,))
    play(stream, 20, story(prompt))
    assert all(13 in held for layer in banks(stream) for held in layer)


def test_a_frame_can_be_pinned_while_the_stream_runs(make_stream, play, prompt):
    stream = make_stream(retrieval="fifo", record_every=1)
    play(stream, 6, story(prompt))
    stream.pin(16)  # in the window
    stream.pin(banks(stream)[0][0][0])  # in the bank
    pinned = stream.memory.pins.frames
    play(stream, 14, story(prompt))
    assert all(pinned <= set(held) for layer in banks(stream) for held in layer)
    with pytest.raises(ValueError, match="no longer held in memory"):
        stream.pin(8)


def test_a_bank_full_of_pins_takes_no_more(make_stream, play, prompt):
    stream = make_stream(retrieval="prompt", record_every=1, bank_frames=2, pins=(4, 7))
    play(stream, 12, story(prompt))
    assert all(set(held) == {4, 7} for layer in banks(stream) for held in layer)
    with pytest.raises(ValueError, match="make the bank larger"):
        stream.pin(33)


def test_a_cut_keeps_the_first_shot_in_the_bank(make_stream, play, prompt):
    """Sink and window are forgotten, so their recorded frames move into the bank."""
    stream = make_stream(retrieval="prompt", record_every=1, bank_frames=6)
    play(stream, 5, {0: (prompt(0),), 4: (prompt(1), "cut")})
    assert all(set(held) == {0, 3, 6, 9} for layer in banks(stream) for held in layer)
    assert stream.cache.layout.sink == 3 and stream.cache.layout.window == 0


@pytest.mark.parametrize("retrieval", ["reference", *POLICIES])
def test_the_bank_is_used(make_stream, play, prompt, retrieval):
    """Outputs differ with the bank on, off, and swapped for another stream's; before it holds a frame they do not."""
    settings = {"record_every": 1, "window_frames": 6}
    on, off = (make_stream(retrieval=r, **settings) for r in (retrieval, "none"))
    donor = make_stream(retrieval=retrieval, seed=77, **settings)
    swapped = make_stream(retrieval=retrieval, **settings)
    with_bank, without = (play(stream, 8, {0: (prompt(0),)}) for stream in (on, off))
    assert (with_bank[-1].latents - without[-1].latents).abs().max() > 1e-3
    for stream in (donor, swapped):
        play(stream, 7, {0: (prompt(0),)})
    bank = slice(0, swapped.cache.layout.bank_slots)
    for name in ("k", "v", "mean_k"):
        getattr(swapped.cache, name)[:, :, :, bank] = getattr(donor.cache, name)[:, :, :, bank]
    [last] = play(swapped, 1, {})
    assert (last.latents - with_bank[-1].latents).abs().max() > 1e-3
    empty = next(i for i, record in enumerate(with_bank) if any(r["event"] == "retrieve" for r in record.trace))
    assert torch.equal(latents(with_bank[:empty]), latents(without[:empty]))


def test_every_bank_change_is_in_the_trace(make_stream, play, prompt):
    """Replaying the trace alone gives the bank that the cache holds."""
    for retrieval in ("reference", *POLICIES):
        stream = make_stream(retrieval=retrieval, record_every=1)
        held = {layer: [] for layer in range(2)}
        for _ in range(16):
            for chunk in play(stream, 1, story(prompt)):
                for record in (r for r in chunk.trace if r["event"] == "retrieve"):
                    for layer, (before, after) in enumerate(
                        zip(record["before"], record["after"], strict=True), record["first_layer"]
                    ):
                        assert before[0] == held[layer]
                        held[layer] = after[0]
            assert [[held[0]], [held[1]]] == banks(stream)


def test_activation_counts_in_the_trace_add_up(make_stream, play, prompt):
    stream = make_stream((1000, 500), retrieval="prompt", top_k=2)
    for chunk in play(stream, 6, story(prompt)):
        chosen = [r for r in chunk.trace if r["event"] == "activate"]
        assert len(chosen) == len(chunk.forwards)
        for record in chosen:
            # a pass that only writes keys ends with the last layer's, before it would read any
            layers = 2 if record["kind"] == "denoise" else 1
            assert sum(times for _, times in record["frames"]) == layers * 2 * 2  # heads, top_k


def test_bank_size_is_bounded():
    assert MemoryConfig(bank_frames=64).bank_slots == 64
    assert MemoryConfig(bank_frames=3, retrieval="none").bank_slots == 0
