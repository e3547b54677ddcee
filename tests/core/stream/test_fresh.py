"""The switch `fresh`: a new story within a stream, which knows nothing of what was made before it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from memflow_core.config import LatentShape, MemoryConfig, SamplingConfig
from memflow_core.play import MemoryLog
from memflow_core.schedule import ChunkGrid
from memflow_core.state import StreamState, capture, resume
from memflow_core.stream import EncodedImages, InitialFrames, SeededNoise, Stream, load_initial_frames

ARCHIVE = {"bank_keys": "alone", "archive": "latents", "record_every": 1}
MEMORIES = {
    "prompt": {"record_every": 1, "bank_frames": 2},
    "every third chunk": {},
    "similarity": {"retrieval": "similarity", "record_every": 1},
    "attention": {"retrieval": "attention", "record_every": 1, "bank_frames": 1},
    "fifo, SMA": {"retrieval": "fifo", "record_every": 2, "top_k": 2},
    "no bank": {"retrieval": "none"},
    "reference": {"retrieval": "reference", "record_every": 2},
    "reference, no sink": {"retrieval": "reference", "sink_frames": 0, "record_every": 1},
    "shots": {"retrieval": "shots"},
    "archive by words": ARCHIVE,
    "archive by keys": {**ARCHIVE, "archive_rule": "keys", "bank_frames": 1},
    "averaged sink": {"sink": "average", "positions": "relative", "sink_decay": 0.9},
    "fp8": {"cache": "fp8", "record_every": 1},
    "relative": {"positions": "relative", "record_every": 1},
    "one layer": {"bank_layers": (1,), "record_every": 1},
}
SAMPLINGS = {
    "chunks of 3": {},
    "chunks of 1, own first steps": {"chunk_frames": 1, "first_steps": (1000, 700, 400)},
    "chunks of 8, one path": {"chunk_frames": 8, "solver": "unipc"},
}
# the new story begins at this chunk, which is the first of no interval of recorded ones
AT, BEHIND = 7, 9


class LaterNoise:
    """The noise of a stream that is so many chunks ahead."""

    def __init__(self, seed: int, ahead: int):
        self._noise, self._ahead = SeededNoise(seed), ahead

    def chunk(self, index: int):
        return self._noise.chunk(index + self._ahead)


def stream_of(backbone, memory: dict, sampling: dict, noise=None) -> Stream:
    chunk = sampling.get("chunk_frames", 3)
    sizes = {"window_frames": 2 * chunk, "sink_frames": chunk}
    # a bank of shots holds one chunk
    sizes |= {"bank_frames": chunk} if memory.get("retrieval") == "shots" else {}
    return Stream(
        backbone,
        LatentShape(4, 6),
        memory=MemoryConfig(**{**sizes, **memory}),
        sampling=SamplingConfig(**{"steps": (1000, 500), **sampling}),
        seed=5,
        noise=noise,
        frames=200,
    )


def tell(stream: Stream, prompt, first: int, switch: str = "recache") -> list:
    """Play the second story, whose prompts change twice. first: number of the prompt that it begins with."""
    made = []
    changes = {0: switch, 4: "recache", 6: "cut", 7: "blend", 8: "jump"}
    for chunk in range(BEHIND):
        if chunk in changes:
            stream.set_prompt(prompt(first + chunk), changes[chunk])
        made.append(next(stream))
    return made


def pinned(stream: Stream) -> bool:
    return stream.memory_config.holds_pins and stream.memory_config.bank_slots > 1


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("name", MEMORIES)
def test_a_new_story_is_that_of_a_stream_that_begins_there(backbone, prompt, play, name, sampling):
    memory, settings = MEMORIES[name], SAMPLINGS[sampling]
    if "average" in memory.values() and settings.get("chunk_frames") == 8:
        settings = {**settings, "chunk_frames": 2}
    stream = stream_of(backbone, memory, settings)
    play(stream, AT, {0: (prompt(0),), 3: (prompt(1),), 5: (prompt(2), "jump")})
    if pinned(stream):
        stream.pin(0)
        stream.pin(stream.cache.layout.end - 1, "hero")
    made = tell(stream, prompt, 20, "fresh")
    alone = tell(stream_of(backbone, memory, settings, LaterNoise(5, AT)), prompt, 20)
    for here, there in zip(made, alone, strict=True):
        assert torch.equal(here.latents, there.latents), f"chunk {there.index} of the new story"
        # with the first chunk the passes are counted that the pin before it took
        assert here.index == AT or [one.kind for one in here.forwards] == [one.kind for one in there.forwards]
    assert stream.pins == []


@pytest.mark.parametrize("content", ["exact", "compact"])
@pytest.mark.parametrize("name", [name for name in MEMORIES if name not in ("averaged sink",)])
def test_a_state_behind_it_goes_on_and_holds_nothing_from_before(backbone, prompt, play, tmp_path, name, content):
    stream = stream_of(backbone, MEMORIES[name], {})
    play(stream, AT, {0: (prompt(0),), 3: (prompt(1),)})
    stream.set_prompt(prompt(2), "fresh")
    for _ in range(4):
        next(stream)
    first = 3 * AT
    state = capture(stream)
    held = {frame for write in state.meta["ledger"]["writes"] for frame in write["standing"]}
    held |= {frame for frame, _ in state.meta["ledger"]["sources"]}
    assert held and min(held) >= first and state.meta["began"] == first
    if content == "compact":
        state = state.compact()
    state.save(tmp_path / "state.safetensors")
    again = resume(StreamState.load(tmp_path / "state.safetensors"), backbone)
    again.set_prompt(prompt(3))
    stream.set_prompt(prompt(3))
    there, here = next(stream).latents, next(again).latents
    # a compact one reads its frames anew, which saw others when they were made
    assert torch.equal(here, there) if content == "exact" else (here - there).abs().max() < 2


def test_absolute_positions_count_anew(make_stream, prompt, play):
    stream = make_stream(shot_offset=1010, positions="absolute")
    play(stream, 3, {0: (prompt(0),), 1: (prompt(1), "jump")})
    with pytest.raises(ValueError, match="absolute positions end at 1024"):
        play(stream, 3, {})
    stream.set_prompt(prompt(2), "fresh")
    next(stream)
    assert stream.cache.layout.jumps == () and stream.cache.layout.began == 12


def test_a_fresh_prompt_asks_for_no_pin(make_stream, prompt, play):
    stream = make_stream(record_every=1)
    play(stream, 2, {0: (prompt(0),)})
    stream.pin(0, "hero")
    with pytest.raises(ValueError, match="cannot ask for hero: use the switch 'cut'"):
        stream.set_prompt(prompt(1), "fresh", recall=["hero"])
    stream.set_prompt(prompt(1), "fresh")
    next(stream)
    with pytest.raises(ValueError, match="asks for pin 'hero', but there is none"):
        stream.set_prompt(prompt(2), recall=["hero"])
    with pytest.raises(ValueError, match="no longer held"):
        stream.pin(1)


def test_remembered_pictures_are_forgotten_and_others_can_follow(make_stream, prompt, play, backbone):
    stream = make_stream(record_every=1)
    picture = EncodedImages(torch.randn(1, backbone.channels, 1, 4, 6), prompt(9))
    load_initial_frames(stream, InitialFrames(remembered=(picture,)))
    play(stream, 3, {0: (prompt(0),), 2: (prompt(1), "fresh")})
    assert stream.pins == [] and stream.cache.layout.bank == 0
    load_initial_frames(stream, InitialFrames(remembered=(picture,)))
    next(stream)
    assert [frame for frame, _ in stream.pins] == [-2]


def test_pins_to_come_stay(make_stream, prompt, play):
    stream = make_stream(record_every=1, pins=(0, 14))
    stream.pin(16, "hero")
    play(stream, 6, {0: (prompt(0),), 3: (prompt(1), "fresh")})
    assert stream.pins == [(14, None), (16, "hero")]


def test_the_log_says_that_nothing_is_remembered(make_stream, prompt, play):
    stream = make_stream(record_every=1, window_frames=3)
    chunks = play(stream, 8, {0: (prompt(0),), 6: (prompt(1), "fresh")})
    log = MemoryLog(ChunkGrid())
    told = [log.chunk(chunk) for chunk in chunks]
    assert told[5].bank and not told[6].bank and {one.chunk for one in told[6].dropped} <= set(range(6))
    assert [record["kind"] for record in stream.trace.records if record["event"] == "switch"] == ["fresh"]


def test_a_stream_without_it_has_the_state_of_before(make_stream, prompt, play):
    stream = make_stream()
    play(stream, 2, {0: (prompt(0),)})
    assert "began" not in capture(stream).meta


WRONG = {"began in words": "late", "a story to come": 99, "before the story": -3, "within a shot": 5}


@pytest.mark.parametrize("value", WRONG.values(), ids=list(WRONG))
def test_a_state_whose_story_began_nowhere_is_refused(make_stream, prompt, play, value, tmp_path):
    stream = make_stream()
    play(stream, 2, {0: (prompt(0),)})
    state = capture(stream)
    broken = replace(state, meta={**state.meta, "began": value})
    broken.save(tmp_path / "state.safetensors")
    with pytest.raises(ValueError, match="story began"):
        StreamState.load(tmp_path / "state.safetensors")
