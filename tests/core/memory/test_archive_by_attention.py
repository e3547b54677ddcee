"""The archive by attention: what the coming chunk's queries look at comes back, by a pass that makes no picture."""

from __future__ import annotations

import pytest
import torch

from memflow_core.memory import recall
from memflow_core.state import StreamState, capture, resume
from tests.core.memory.test_archive import BACK, CHUNKS, bank, latents, story

ATTENTION = {"archive_rule": "attention", "record_every": 1, "bank_frames": 2}
ARCHIVES = {
    "latents": {**ATTENTION, "bank_keys": "alone", "archive": "latents"},
    "keys": {**ATTENTION, "archive": "keys"},
}


def point_all_at(stream, frame: int, monkeypatch) -> None:
    """Let an archived frame's mean keys be what all queries are, and those of others their opposite."""
    real = recall.attention

    def measured(queries, mean_keys):
        frames = [kept for kept in stream.memory.recollection.archive.keys if kept in asked[-1].frames]
        wanted = queries.mean(dim=(0, 2)).float()
        planted = torch.stack([wanted * (100.0 if one == frame else -100.0) for one in frames])
        return real(queries, planted[:, None].expand_as(mean_keys))

    asked = []
    question = stream.memory.recollection.question

    def noted(*values):
        asked.append(question(*values))
        return asked[-1]

    monkeypatch.setattr(stream.memory.recollection, "question", noted)
    monkeypatch.setattr(recall, "attention", measured)


def test_the_key_that_queries_fit_takes_their_mass():
    keys = torch.eye(4)[:3, None, None] * 50  # [frames, B, heads, head_dim]
    queries = torch.eye(4)[1].expand(1, 1, 5, 4)
    mass = recall.attention(queries, keys)
    assert mass.shape == (1, 3) and mass.argmax() == 1
    assert mass[0, 1] > 0.99 and mass.sum() == pytest.approx(1.0)


def test_mass_is_a_mean_over_queries_and_a_sum_over_heads():
    generator = torch.Generator().manual_seed(1)
    queries, keys = torch.randn(2, 3, 5, 8, generator=generator), torch.randn(4, 2, 3, 8, generator=generator)
    expected = torch.zeros(2, 4)
    for item in range(2):
        for head in range(3):
            for query in range(5):
                logits = keys[:, item, head] @ queries[item, head, query] / 8**0.5
                expected[item] += logits.softmax(0) / 5
    assert torch.allclose(recall.attention(queries, keys), expected, atol=1e-5)


@pytest.mark.parametrize("archive", ARCHIVES)
@pytest.mark.parametrize("positions", ["absolute", "relative"])
def test_what_queries_look_at_comes_back(make_stream, play, prompt, monkeypatch, archive, positions):
    stream = make_stream(**ARCHIVES[archive], positions=positions)
    play(stream, BACK, story(prompt))
    point_all_at(stream, 6, monkeypatch)
    [back] = play(stream, 1, story(prompt))
    assert all(6 in held for layer in bank(stream) for held in layer)
    kinds = [forward.kind for forward in back.forwards]
    assert kinds.count("ask") == 1 and kinds.index("ask") == kinds.index("denoise") - 1 - kinds.count("moment")
    assert kinds.index("recache") < kinds.index("ask")


@pytest.mark.parametrize("archive", ARCHIVES)
def test_scores_are_shares_of_the_queries_of_the_first_step(make_stream, play, prompt, archive):
    """They are those that the very pass would give, worked out here from its own queries."""
    stream = make_stream(**ARCHIVES[archive])
    play(stream, BACK, story(prompt))
    seen, question = {}, stream.memory.recollection.question

    def noted(has_left):
        asked = question(has_left)
        if asked is None:
            return None

        def hook(layer, q):
            seen[layer] = q.clone()
            asked(layer, q)

        return hook

    stream.memory.recollection.question = noted
    play(stream, 1, story(prompt))
    keys = stream.memory.recollection.archive.keys
    choice = [record for record in stream.trace.records if record["event"] == "choose"][-1]
    frames = sorted(choice["frames"])
    means = torch.stack([keys[frame] for frame in frames])
    layers = [recall.attention(q, means[:, layer])[0] / q.shape[1] for layer, q in seen.items()]
    expected = dict(zip(frames, torch.stack(layers).mean(0).tolist(), strict=True))
    assert len(seen) == stream.backbone.layers and sum(expected.values()) == pytest.approx(1.0)
    for frame, score in zip(choice["frames"], choice["scores"][0], strict=True):
        assert score == pytest.approx(expected[frame], abs=1e-5)


@pytest.mark.parametrize("archive", ARCHIVES)
def test_a_banned_moment_never_returns(make_stream, play, prompt, monkeypatch, archive):
    stream = make_stream(**ARCHIVES[archive])
    play(stream, BACK, story(prompt))
    stream.ban(6)
    point_all_at(stream, 6, monkeypatch)
    again = story(prompt) | {BACK + 4: (prompt(1),), BACK + 8: (prompt(0), "cut")}
    for _ in range(12):
        play(stream, 1, again)
        assert 6 not in {frame for layer in bank(stream) for held in layer for frame in held}


def test_asking_changes_nothing_but_the_bank(make_stream, play, prompt):
    """Where all that is archived fits into the bank, the pass that asks leaves no trace in what is made."""
    kinds = {rule: {**ARCHIVES["latents"], "bank_frames": 20, "archive_rule": rule} for rule in ("words", "attention")}
    asking, other = (make_stream(**settings) for settings in kinds.values())
    # a recache comes before the question, and would read the bank as it was
    soft = {chunk: (text, "soft") for chunk, (text,) in story(prompt).items()}
    made = [latents(play(stream, BACK + 2, soft)) for stream in (asking, other)]
    assert [sorted(held) for held in bank(asking)[0]] == [sorted(held) for held in bank(other)[0]]
    # the bank lists them in another order, so sums of floats differ
    assert torch.allclose(made[0], made[1], atol=2e-3)
    assert sum(record["event"] == "choose" and record["archived"] > 3 for record in asking.trace.records) == 4


def test_each_batch_item_is_asked_for_itself(make_stream, play, prompt):
    both = {CHUNKS * n: (torch.cat([prompt(n), prompt(9 - n)]),) for n in range(4)}
    batch = make_stream(**ARCHIVES["latents"], batch=2)
    alone = make_stream(**ARCHIVES["latents"])
    play(batch, 3 * CHUNKS + 1, both)
    play(alone, 3 * CHUNKS + 1, {chunk: (text[0][:1],) for chunk, text in both.items()})
    choices = [
        [record for record in stream.trace.records if record["event"] == "choose"][-1] for stream in (batch, alone)
    ]
    assert choices[0]["scores"][0] != choices[0]["scores"][1]
    assert len(choices[0]["scores"]) == 2 and choices[0]["archived"] == choices[1]["archived"]


@pytest.mark.parametrize("archive", ARCHIVES)
def test_a_cut_and_pictures_that_are_given_ask_too(make_stream, play, prompt, archive):
    stream = make_stream(**ARCHIVES[archive])
    chunks = play(stream, BACK, story(prompt))
    stream.set_prompt(prompt(0), "cut")
    [after] = play(stream, 1, {})
    assert [forward.kind for forward in after.forwards].count("ask") == 1
    assert stream.cache.layout.bank == 2
    stream.set_prompt(prompt(1))
    given = stream.prefill(chunks[0].latents)
    kinds = [forward.kind for forward in given.forwards]
    assert kinds.count("ask") == 1 and "denoise" not in kinds
    assert kinds.index("ask") < kinds.index("context")


@pytest.mark.parametrize("content", ["exact", "compact"])
@pytest.mark.parametrize("archive", ARCHIVES)
def test_a_state_keeps_it(make_stream, play, prompt, backbone, tmp_path, archive, content):
    whole = make_stream(**ARCHIVES[archive])
    play(whole, BACK - 1, story(prompt))
    state = capture(whole)
    (state if content == "exact" else state.compact()).save(tmp_path / "state.safetensors")
    resumed = resume(StreamState.load(tmp_path / "state.safetensors"), backbone)
    kept = whole.memory.recollection.archive.keys
    assert resumed.memory.recollection.archive.keys.keys() == kept.keys()
    first, second = (play(stream, 6, story(prompt)) for stream in (whole, resumed))
    assert bank(whole) == bank(resumed)
    assert [forward.kind for forward in second[1].forwards].count("ask") == 1
    if content == "exact":
        assert torch.equal(latents(first), latents(second))


def test_layers_that_do_not_read_the_bank_are_not_asked(make_stream, play, prompt, monkeypatch):
    asked, real = [], recall.attention
    monkeypatch.setattr(recall, "attention", lambda queries, keys: asked.append(1) or real(queries, keys))
    stream = make_stream(**ARCHIVES["latents"], bank_layers=(1,))
    play(stream, BACK + 1, story(prompt))
    choices = [record for record in stream.trace.records if record["event"] == "choose" and record["frames"]]
    assert len(asked) == len(choices) > 0


@pytest.mark.parametrize("retrieval", ["prompt", "similarity", "attention", "fifo"])
def test_every_policy_plays_with_it_over_cuts_and_pins(make_stream, play, prompt, retrieval):
    stream = make_stream(**{**ARCHIVES["keys"], "bank_frames": 3}, retrieval=retrieval, pins=(9,))
    changes = story(prompt) | {CHUNKS: (prompt(1), "cut"), 3 * CHUNKS: (prompt(3), "cut")}
    for _ in range(BACK + 4):
        play(stream, 1, changes)
    assert 9 in {frame for layer in bank(stream) for held in layer for frame in held}
