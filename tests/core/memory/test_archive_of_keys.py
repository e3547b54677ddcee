"""The archive of keys: what the bank dropped comes back as it was made, as far as there is room to keep it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from memflow_core.config import MemoryConfig
from memflow_core.memory import FrameKV, KVCache, SlotLayout
from memflow_core.state import StreamState, capture, resume
from memflow_core.stream import keys_alone
from tests.core.memory.test_archive import BACK, CHUNKS, HERO_FRAMES, bank, latents, story

KEYS = {"archive": "keys", "record_every": 1, "bank_frames": 2}
GB = 2**30


def frame_bytes(stream) -> int:
    kv = stream.memory.bank.view_frame(stream.cache.layout.end - 3)
    return sum(part.nbytes for part in kv.parts.values())


def made_as_recorded(stream, play, prompt, chunks: int) -> dict[int, torch.Tensor]:
    """Keys [layers, B, heads, tokens, head_dim] of each recorded frame, right after its chunk."""
    kept = {}
    for _ in range(chunks):
        play(stream, 1, story(prompt))
        frame = stream.cache.layout.end - 3
        kept[frame] = stream.memory.bank.view_frame(frame).k.clone()
    return kept


def test_what_comes_back_has_the_keys_that_it_was_made_with(make_stream, play, prompt):
    stream = make_stream(**KEYS)
    kept = made_as_recorded(stream, play, prompt, BACK)
    assert any(set(held) - HERO_FRAMES for layer in bank(stream) for held in layer), "nothing had to come back"
    passes = len(play(stream, 1, story(prompt))[0].forwards)
    slots, checked = stream.memory.bank.listed(), 0
    for layer, held in enumerate(bank(stream)):
        assert set(held[0]) <= HERO_FRAMES and len(held[0]) == 2
        for place, frame in enumerate(held[0]):
            assert torch.equal(stream.cache.k[layer, :, :, int(slots[layer, 0, place])], kept[frame][layer])
            checked += 1
    assert checked == 2 * len(bank(stream))
    # and no pass was made for it
    assert passes == len(play(make_stream(record_every=1, bank_frames=2), 1, story(prompt))[0].forwards) + 1


def test_what_there_is_no_room_for_is_read_alone_and_what_was_asked_for_stays(make_stream, play, prompt, backbone):
    first = make_stream(**KEYS)
    play(first, 1, story(prompt))
    room = 3 * frame_bytes(first) / GB
    stream = make_stream(**KEYS, archive_gb=room)
    made = latents(play(stream, BACK, story(prompt)))
    archive = stream.memory.recollection.archive
    # what a prompt has asked for, and the newest of those that none asked for
    asked = set(archive.made) & archive.asked.keys()
    assert len(archive.made) == 3 and len(asked) == 1
    assert set(archive.made) - asked == set(sorted(archive.prompts.keys() - archive.asked.keys())[-2:])
    kept = set(archive.made)
    play(stream, 1, story(prompt))
    slots, checked = stream.memory.bank.listed(), 0
    for place, frame in enumerate(bank(stream)[0][0]):
        assert frame in HERO_FRAMES
        if frame in kept:
            continue
        checked += 1
        text = backbone.embed_text(story(prompt)[0][0])
        (alone,) = keys_alone(stream, [frame], made[:, :, frame : frame + 1], text)
        for layer in range(backbone.layers):
            held = stream.cache.k[layer, :, :, int(slots[layer, 0, place])]
            assert torch.allclose(held, alone.k[layer], atol=1e-6)
    assert checked > 0


@pytest.mark.parametrize("cache", ["model", "fp8"])
@pytest.mark.parametrize("rule", ["words", "keys"])
def test_an_exact_state_goes_on_bit_by_bit(make_stream, play, prompt, backbone, tmp_path, cache, rule):
    whole, half = (make_stream(**KEYS, cache=cache, archive_rule=rule) for _ in range(2))
    expected = latents(play(whole, BACK + 6, story(prompt)))[:, :, 3 * (BACK - 2) :]
    play(half, BACK - 2, story(prompt))
    capture(half).save(tmp_path / "state.safetensors")
    state = StreamState.load(tmp_path / "state.safetensors")
    resumed = resume(state, backbone)
    assert torch.equal(latents(play(resumed, 8, story(prompt))), expected)
    assert resumed.memory.recollection.archive.made.keys() == half.memory.recollection.archive.made.keys() | {
        frame for frame in resumed.memory.recollection.archive.prompts if frame >= 3 * (BACK - 2)
    }


def test_a_compact_state_is_small_and_reads_alone_what_comes_back(make_stream, play, prompt, backbone, tmp_path):
    stream = make_stream(**KEYS)
    play(stream, BACK - 2, story(prompt))
    exact = capture(stream)
    compact = exact.compact()
    assert not [name for name in compact.tensors if name.startswith("archived.")]
    compact.save(tmp_path / "state.safetensors")
    seen = []
    state = StreamState.load(tmp_path / "state.safetensors")
    resumed = resume(state, backbone, on_forward=lambda forward: seen.append(forward.kind))
    # what only the archive holds costs nothing before it is asked for
    assert seen.count("rebuild") == state.rebuilds < len(state.meta["ledger"]["writes"])
    before = {frame for layer in bank(resumed) for held in layer for frame in held}
    play(resumed, 3, story(prompt))
    held = {frame for layer in bank(resumed) for held in layer for frame in held}
    assert held <= HERO_FRAMES and seen.count("moment") == len(held - before) > 0


@pytest.mark.parametrize("retrieval", ["prompt", "similarity", "attention", "fifo"])
def test_every_policy_plays_with_it_over_cuts_and_pins(make_stream, play, prompt, retrieval):
    stream = make_stream(**{**KEYS, "bank_frames": 3}, retrieval=retrieval, pins=(9,))
    changes = story(prompt) | {CHUNKS: (prompt(1), "cut"), 3 * CHUNKS: (prompt(3), "cut")}
    for _ in range(BACK + 4):
        play(stream, 1, changes)
    assert 9 in {frame for layer in bank(stream) for held in layer for frame in held}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"archive": "keys", "bank_keys": "alone"}, "bank_keys is 'alone': set bank_keys to 'made'"),
        ({"archive": "latents"}, "set bank_keys to 'alone', or archive to 'keys' or 'off'"),
        ({"archive": "keys", "archive_gb": 0}, "archive_gb is 0, but must be above 0"),
        ({"archive": "keys", "archive_gb": float("nan")}, "archive_gb is nan"),
        ({"archive": "keys", "archive_gb": "8"}, "archive_gb is '8'"),
        ({"archive": "keys", "retrieval": "none"}, "there is no bank to recall frames into"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, words):
    with pytest.raises(ValueError, match="memory ") as error:
        MemoryConfig(**settings)
    assert words in str(error.value)


def test_a_process_without_heads_keeps_as_many_frames_as_the_others(make_stream, play, prompt):
    """Or it would read alone, by itself, what the others have."""
    cache = make_stream(**KEYS).cache
    layers, batch, heads, slots, tokens, head_dim = cache.k.shape
    none = KVCache(
        SlotLayout(sink_slots=1, window_slots=slots - 1, bank_slots=0),
        layers=layers,
        batch=batch,
        heads=0,
        tokens=tokens,
        head_dim=head_dim,
        share=SimpleNamespace(total=heads, count=0),
    )
    stream = make_stream(**KEYS)
    play(stream, 1, story(prompt))
    assert none.k.numel() == 0 and none.frame_bytes == cache.frame_bytes == frame_bytes(stream)


def test_a_fresh_prompt_empties_the_archive_and_leaves_its_room(make_stream, play, prompt):
    stream = make_stream(**KEYS)
    play(stream, 8, {0: (prompt(0), "recache"), 4: (prompt(1), "fresh")})
    assert stream.memory.recollection.archive.made.keys() == {12, 15, 18, 21}


def test_there_is_never_more_than_the_room(make_stream, play, prompt, monkeypatch):
    """Neither while a frame is recorded: one that would be dropped at once is not even copied."""
    stream = make_stream(record_every=1, archive="keys")
    archive = stream.memory.recollection.archive
    archive.room = 3 * frame_bytes(stream)
    play(stream, 5, story(prompt))
    copies = []
    monkeypatch.setattr(FrameKV, "copy", lambda self, device: copies.append(len(archive.made)))
    kv, made = stream.memory.bank.view_frame(0), set(archive.made)
    archive.asked = dict.fromkeys(made, 1)
    archive.keep_made(99, kv, stream.cache.frame_bytes)
    assert copies == [] and set(archive.made) == made
    archive.asked = {}
    archive.keep_made(99, kv, stream.cache.frame_bytes)
    assert copies == [2] and len(archive.made) == 3
