"""Frames read alone, and the archive: what the bank dropped comes back when a prompt asks for it."""

from __future__ import annotations

import json

import pytest
import torch

from memflow_core.config import ARCHIVE_RULES, MemoryConfig
from memflow_core.memory import recall, recollection
from memflow_core.play import MemoryLog
from memflow_core.schedule import ChunkGrid
from memflow_core.state import StreamState, capture, resume
from memflow_core.stream import Stream, keys_alone

ARCHIVE = {"bank_keys": "alone", "archive": "latents", "record_every": 1, "bank_frames": 2}
HERO, OTHERS = 0, (1, 2, 3)
CHUNKS = 4  # of each shot: longer than the window, so that its moments have left before the next


def story(prompt) -> dict:
    """A shot of the hero, three of others, and the hero's prompt again."""
    return {CHUNKS * shot: (prompt(number),) for shot, number in enumerate((HERO, *OTHERS, HERO))}


def bank(stream: Stream) -> list[list[list[int]]]:
    return stream.memory.bank.listed_frames().tolist()


def latents(chunks) -> torch.Tensor:
    return torch.cat([chunk.latents for chunk in chunks], dim=2)


BACK = CHUNKS * (len(OTHERS) + 1)
HERO_FRAMES = set(range(3, 3 * CHUNKS))


@pytest.mark.parametrize("rule", ["words", "similarity"])
def test_what_the_bank_dropped_comes_back_for_the_prompt_that_it_was_made_under(make_stream, play, prompt, rule):
    stream = make_stream(**ARCHIVE, archive_rule=rule)
    play(stream, BACK, story(prompt))
    assert any(set(held) - HERO_FRAMES for layer in bank(stream) for held in layer), "nothing had to come back"
    play(stream, 1, story(prompt))
    assert all(set(held) <= HERO_FRAMES and len(held) == 2 for layer in bank(stream) for held in layer)


def test_without_an_archive_it_does_not(make_stream, play, prompt):
    stream = make_stream(bank_keys="alone", record_every=1, bank_frames=2, retrieval="similarity")
    fifo = make_stream(bank_keys="alone", record_every=1, bank_frames=2, retrieval="fifo")
    for one in (stream, fifo):
        play(one, BACK + 1, story(prompt))
    assert not HERO_FRAMES & {frame for layer in bank(fifo) for held in layer for frame in held}


def test_the_archive_changes_what_is_made(make_stream, play, prompt):
    streams = [make_stream(**{**ARCHIVE, "archive": archive}, retrieval="fifo") for archive in ("latents", "off")]
    with_archive, without = (latents(play(stream, BACK + 1, story(prompt))) for stream in streams)
    assert not torch.equal(with_archive[:, :, 3 * BACK :], without[:, :, 3 * BACK :])


@pytest.mark.parametrize("archive", ["latents", "off"])
@pytest.mark.parametrize("positions", ["absolute", "relative"])
def test_keys_in_the_bank_are_those_of_frames_read_alone(make_stream, play, prompt, backbone, archive, positions):
    stream = make_stream(**{**ARCHIVE, "archive": archive}, positions=positions, retrieval="fifo")
    made = latents(play(stream, BACK + 2, story(prompt)))
    slots, checked = stream.memory.bank.listed(), 0
    for place, frame in enumerate(bank(stream)[0][0]):
        shot = frame // 3 // CHUNKS
        text = backbone.embed_text(story(prompt)[CHUNKS * shot][0])
        (alone,) = keys_alone(stream, [frame], made[:, :, frame : frame + 1], text)
        for layer in range(backbone.layers):
            held = stream.cache.k[layer, :, :, int(slots[layer, 0, place])]
            assert torch.allclose(held, alone.k[layer], atol=1e-6)
            checked += 1
    assert checked == 2 * backbone.layers


def test_keys_as_made_are_others(make_stream, play, prompt):
    made, alone = (make_stream(retrieval="fifo", record_every=1, bank_keys=keys) for keys in ("made", "alone"))
    for stream in (made, alone):
        play(stream, 9, story(prompt))
    assert bank(made) == bank(alone)
    assert not torch.allclose(made.cache.k, alone.cache.k, atol=1e-3)


def test_each_batch_item_gets_what_its_own_prompt_asks_for(make_stream, play, prompt):
    stream = make_stream(**ARCHIVE, batch=2)
    numbers = ((0, 3), (1, 2), (2, 1), (3, 0), (0, 3))
    both = {CHUNKS * n: (torch.cat([prompt(a), prompt(b)]),) for n, (a, b) in enumerate(numbers)}
    both[CHUNKS * 4] = (torch.cat([prompt(0), prompt(1)]),)
    play(stream, 4 * CHUNKS + 1, both)
    shots = [{frame // 3 // CHUNKS for frame in held} for held in bank(stream)[0]]
    assert shots == [{0}, {2}]


def test_what_a_prompt_asked_for_stays_while_it_lasts(make_stream, play, prompt):
    stream = make_stream(**ARCHIVE, retrieval="fifo")
    play(stream, BACK + 1, story(prompt))
    asked = bank(stream)
    play(stream, 6, {})
    assert bank(stream) == asked


def test_a_banned_moment_never_returns(make_stream, play, prompt):
    stream = make_stream(**ARCHIVE)
    play(stream, BACK + 1, story(prompt))
    banned = bank(stream)[0][0][0]
    stream.ban(banned)
    again = story(prompt) | {BACK + 4: (prompt(1),), BACK + 8: (prompt(HERO),)}
    for _ in range(12):
        play(stream, 1, again)
        assert banned not in {frame for layer in bank(stream) for held in layer for frame in held}


def test_only_what_the_archive_has_and_nobody_pinned_can_be_banned(make_stream, play, prompt):
    stream = make_stream(**ARCHIVE)
    play(stream, 6, story(prompt))
    stream.pin(9)
    with pytest.raises(ValueError, match="latent frame 9 is pinned"):
        stream.ban(9)
    with pytest.raises(ValueError, match="latent frame 999 is not in the archive"):
        stream.ban(999)


def test_pins_keep_their_places(make_stream, play, prompt):
    stream = make_stream(**ARCHIVE)
    play(stream, 6, story(prompt))
    stream.pin(15)
    stream.pin(16, "hero")
    for _ in range(6):
        play(stream, 1, story(prompt))
    stream.set_prompt(prompt(HERO), recall=["hero"])
    play(stream, 1, {})
    assert all(set(held) == {15, 16} for layer in bank(stream) for held in layer)


def test_a_cut_lets_the_archive_answer_too(make_stream, play, prompt):
    stream = make_stream(**ARCHIVE)
    play(stream, BACK, story(prompt))
    stream.set_prompt(prompt(HERO), "cut")
    play(stream, 1, {})
    assert all(set(held) <= {0, *HERO_FRAMES} for layer in bank(stream) for held in layer)


@pytest.mark.parametrize("content", ["exact", "compact"])
def test_a_state_carries_the_archive(make_stream, play, prompt, backbone, tmp_path, content):
    whole = make_stream(**ARCHIVE)
    play(whole, BACK - 1, story(prompt))
    whole.ban(6)
    state = capture(whole)
    (state if content == "exact" else state.compact()).save(tmp_path / "state.safetensors")
    resumed = resume(StreamState.load(tmp_path / "state.safetensors"), backbone)
    assert resumed.memory.recollection.archive.prompts == whole.memory.recollection.archive.prompts
    first, second = (play(stream, 6, story(prompt)) for stream in (whole, resumed))
    assert bank(whole) == bank(resumed)
    assert any(held for held in bank(resumed)[0])
    if content == "exact":
        assert torch.equal(latents(first), latents(second))


def test_a_damaged_archive_is_refused(make_stream, play, prompt, tmp_path):
    stream = make_stream(**ARCHIVE)
    play(stream, BACK + 1, story(prompt))
    for name, value in {
        "archive": [[3, 0], [3, 0]],
        "banned": [999],
        "chosen": [[0, 1, 2, 3, 4]],
        "choice_due": "perhaps",
    }.items():
        state = capture(stream)
        StreamState(state.tensors, {**state.meta, name: value}).save(tmp_path / "state.safetensors")
        with pytest.raises(ValueError, match="cannot be continued"):
            StreamState.load(tmp_path / "state.safetensors")


def test_a_state_without_an_archive_names_no_setting_of_it(make_stream, play, prompt):
    stream = make_stream()
    play(stream, 2, story(prompt))
    assert not {"archive", "bank_keys", "archive_rule"} & capture(stream).meta["memory"].keys()


def test_a_recalled_moment_costs_one_pass_and_one_that_stays_none(make_stream, play, prompt):
    stream = make_stream(**ARCHIVE)
    play(stream, BACK, story(prompt))
    before = set(bank(stream)[0][0])
    [back] = play(stream, 1, story(prompt))
    new = set(bank(stream)[0][0]) - before
    assert new and [forward.kind for forward in back.forwards].count("moment") == len(new)
    stream.set_prompt(prompt(HERO))
    [again] = play(stream, 1, {})
    assert [forward.kind for forward in again.forwards].count("moment") == 0


def test_the_memory_log_shows_what_was_chosen_with_its_score(make_stream, play, prompt):
    stream, log = make_stream(**ARCHIVE), MemoryLog(ChunkGrid(fps=16.0))
    logged = [log.chunk(chunk) for chunk in play(stream, BACK + 1, story(prompt))]
    shown = logged[-1].bank
    assert {frame.chunk for frame in shown} <= set(range(CHUNKS))
    assert len(shown) == 2 and all(frame.score is not None and frame.layers == 1 for frame in shown)


def test_a_long_story_leaves_its_best_scores_alone_in_the_trace(make_stream, play, prompt, monkeypatch):
    monkeypatch.setattr(recollection, "MOST_TRACED", 2)
    stream = make_stream(**ARCHIVE)
    play(stream, BACK + 1, story(prompt))
    choice = [record for record in stream.trace.records if record["event"] == "choose"][-1]
    assert choice["archived"] == BACK == len(stream.memory.recollection.archive.prompts) - 1
    assert len(choice["frames"]) == len(choice["scores"][0]) == 2
    archived = stream.memory.recollection.archive.prompts
    # the best of two shots, of which the hero's is the better
    assert choice["frames"][0] in HERO_FRAMES and len({archived[frame] for frame in choice["frames"]}) == 2
    assert choice["scores"][0] == sorted(choice["scores"][0], reverse=True)
    # with as many as there are shots that have left sight, each is there
    monkeypatch.setattr(recollection, "MOST_TRACED", 1 + len(OTHERS))
    stream.set_prompt(prompt(HERO))
    play(stream, 1, {})
    choice = [record for record in stream.trace.records if record["event"] == "choose"][-1]
    assert [archived[frame] for frame in sorted(choice["frames"])] == [HERO, *OTHERS]


def test_only_rules_that_read_keys_keep_them(make_stream, play, prompt):
    for rule in ARCHIVE_RULES:
        stream = make_stream(**ARCHIVE, archive_rule=rule)
        play(stream, 6, story(prompt))
        reads = rule in ("keys", "attention")
        assert len(stream.memory.recollection.archive.keys) == (6 if reads else 0)
        assert ("archive.keys" in capture(stream).tensors) == reads


def test_mean_keys_in_the_archive_stay_as_they_were_recorded(make_stream, play, prompt):
    stream, recorded = make_stream(**ARCHIVE, archive_rule="keys"), {}
    for _ in range(9):
        play(stream, 1, story(prompt))
        for frame, keys in stream.memory.recollection.archive.keys.items():
            recorded.setdefault(frame, keys.clone())
    # later chunks wrote over the slots of all that were recorded early
    assert len(recorded) == 9
    for frame, keys in stream.memory.recollection.archive.keys.items():
        assert torch.equal(keys, recorded[frame])


def test_moments_are_read_with_the_weights_of_their_prompt(make_stream, prompt, backbone):
    asked = []

    class Sets:
        def select(self, name):
            asked.append(name)

    backbone._weight_sets = Sets()
    stream = make_stream(**ARCHIVE)
    for shot, number in enumerate((HERO, *OTHERS, HERO)):
        stream.set_prompt(prompt(number), weights="hero" if shot == 0 else "others")
        for _ in range(CHUNKS):
            before = len(asked)
            next(stream)
    assert any(write.weights == "hero" for write in stream.provenance.writes)
    stream.set_prompt(prompt(HERO), weights="others")
    stream.memory.recollection.archive.banned.clear()
    before = len(asked)
    list(stream.memory.recollection.moments.read_alone([3]))
    assert asked[before:] == ["hero", "others"]
    backbone._weight_sets = None


@pytest.mark.parametrize("content", ["exact", "compact"])
def test_the_best_prompt_is_found_after_a_resume_too(make_stream, play, prompt, backbone, tmp_path, content):
    stream = make_stream(**ARCHIVE)
    play(stream, BACK, story(prompt))
    state = capture(stream)
    (state if content == "exact" else state.compact()).save(tmp_path / "state.safetensors")
    resumed = resume(StreamState.load(tmp_path / "state.safetensors"), backbone)
    log = MemoryLog(ChunkGrid(fps=16.0))
    log.skip(resumed.trace.records)
    [chunk] = play(resumed, 1, story(prompt))
    archive = log.chunk(chunk).archive
    assert archive is not None and archive.moments == BACK
    assert {frame.chunk for frame in archive.recalled} <= set(range(CHUNKS)) and archive.recalled


def test_a_damaged_choice_in_a_trace_is_refused(make_stream, play, prompt, tmp_path):
    stream = make_stream(**ARCHIVE)
    play(stream, BACK + 1, story(prompt))
    state = capture(stream)
    for wrong in (
        {"scores": [[1.0]]},
        {"frames": "all"},
        {"archived": -1},
        {"after": [[[0] * 9]]},
        {"rule": None},
    ):
        records = [record | wrong if record["event"] == "choose" else record for record in state.trace]
        text = torch.frombuffer(bytearray(json.dumps(records).encode()), dtype=torch.uint8)
        StreamState({**state.tensors, "trace": text}, state.meta).save(tmp_path / "state.safetensors")
        with pytest.raises(ValueError, match="cannot be continued: record"):
            StreamState.load(tmp_path / "state.safetensors")


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"archive": "latents"}, "set bank_keys to 'alone'"),
        ({"archive": "latents", "bank_keys": "alone", "retrieval": "none"}, "there is no bank"),
        ({"bank_keys": "alone", "retrieval": "reference"}, "published code's very numbers"),
        ({"bank_keys": "alone", "retrieval": "none"}, "there is no bank"),
        ({"bank_keys": "alone", "bank_frames": 0}, "there is no bank"),
        ({"archive_rule": "similarity"}, "archive is 'off', so there is nothing to choose from"),
        ({"archive": "all"}, "must be one of off, latents, keys"),
        ({"archive_rule": "luck"}, "must be one of " + ", ".join(ARCHIVE_RULES)),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        MemoryConfig(**settings)


# -- rules ------------------------------------------------------------------------------------------------------------


def _text(*words: int) -> torch.Tensor:
    """An embedding whose tokens are words of a vocabulary of orthogonal vectors, with padding."""
    return torch.cat((torch.eye(16)[list(words)], torch.zeros(2, 16)))


THE, CAT, ROBOT, WALKS, WAVES, MEADOW, CITY = range(7)


def test_words_that_every_prompt_has_say_nothing():
    past = [_text(THE, CAT, WALKS), _text(THE, ROBOT, WALKS), _text(THE, ROBOT, WALKS)]
    scores = recall.words(_text(THE, CAT, WALKS), past)
    assert scores.argmax() == 0
    assert torch.allclose(scores, recall.words(_text(CAT), past))


def test_a_rare_word_outweighs_a_common_one():
    past = [_text(CAT, MEADOW), _text(ROBOT, CITY), _text(ROBOT, CITY), _text(ROBOT, CITY)]
    scores = recall.words(_text(CAT, CITY), past)
    assert scores.argmax() == 0


def test_a_name_heard_once_outweighs_what_several_others_did_there():
    """Place, action and all the small words are those of other characters; only the name is the hero's."""
    others = [_text(THE, ROBOT, WALKS, CITY), _text(THE, ROBOT, WAVES, CITY)] * 4
    past = [_text(THE, CAT, WAVES, MEADOW), *others]
    coming = _text(THE, CAT, WALKS, CITY)
    assert recall.words(coming, past).argmax() == 0
    # of two of a kind the place decides
    twins = [_text(THE, CAT, WAVES, MEADOW), _text(THE, CAT, WAVES, CITY), *others]
    assert recall.words(coming, twins).argmax() == 1


def test_one_earlier_prompt_is_as_good_as_it_can_be():
    assert recall.words(_text(THE, CAT), [_text(THE, ROBOT)]).tolist() == [0.0]


def test_the_bank_takes_one_of_each_shot_that_matters_before_a_second_of_one():
    assert recall.choose([1.0, 1.0, 0.98, 0.0, 0.0], [0, 0, 1, 2, 3], 3) == [1, 2, 0]


def test_shots_far_below_the_best_only_fill_places_that_would_stay_empty():
    assert recall.choose([1.0, 1.0, 0.3, 0.0], [0, 0, 1, 2], 2) == [1, 0]
    assert recall.choose([1.0, 0.3, 0.0], [0, 1, 2], 2) == [0, 1]
    assert recall.choose([], [], 3) == []


def test_keys_score_every_layer_on_one_scale():
    text = torch.tensor([[[1.0]], [[1.0]]])
    frames = torch.tensor([[[[1.0]], [[0.0]]], [[[0.0]], [[100.0]]], [[[0.0]], [[0.0]]]])
    scores = recall.keys(text, frames)
    assert scores[0] == pytest.approx(float(scores[1])) and scores[2] < scores[0]
