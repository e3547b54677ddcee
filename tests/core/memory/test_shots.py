"""The memory of shots against the published program's rolling buffer, and positions that jump."""

from __future__ import annotations

import pytest
import torch

from memflow_core.config import MemoryConfig
from memflow_core.memory import FrameSpan, SlotLayout
from memflow_core.state import capture

CHUNK = 2
MEMORY = {"retrieval": "shots", "sink_frames": CHUNK, "window_frames": 2 * CHUNK, "bank_frames": CHUNK}


def published(chunks: int, jumps: set[int], room: int = 4) -> list[list[int]]:
    """Chunks that each chunk attends to, itself included: a buffer of `room` chunks that is rolled by one.

    The first chunk never leaves. The first chunk of a shot is pinned as soon as it is made, in place of the one before;
    once it has rolled to the place behind the first chunk, it stays there.
    """
    buffer: list[int] = []
    pinned, seen = None, []
    for chunk in range(chunks):
        if len(buffer) == room:
            kept = 2 if pinned is not None and buffer[1] == pinned else 1
            del buffer[kept]
        buffer.append(chunk)
        seen.append(sorted(buffer))
        if chunk in jumps:
            pinned = chunk
    return seen


@pytest.mark.parametrize("jumps", [set(), {1}, {3}, {5}, {4, 5}, {3, 9}, {2, 4, 6, 8}, {7, 12}], ids=str)
def test_a_chunk_sees_what_the_published_buffer_holds(make_stream, prompt, jumps):
    seen = []

    def look(forward):
        if forward.kind == "context":
            layout = stream.cache.layout
            frames = set(stream.memory.bank.listed_frames().unique().tolist()) | layout.standing
            seen.append(sorted({frame // CHUNK for frame in frames}))

    stream = make_stream(chunk_frames=CHUNK, on_forward=look, **MEMORY)
    stream.set_prompt(prompt(0))
    for chunk in range(15):
        if chunk in jumps:
            stream.set_prompt(prompt(chunk), "jump")
        next(stream)
    assert seen == published(15, jumps)


def test_positions_move_on_at_a_jump_and_nothing_is_recomputed(make_stream, prompt, play):
    stream = make_stream(chunk_frames=CHUNK, shot_offset=8, **MEMORY)
    made = play(stream, 4, {0: (prompt(0), "recache"), 2: (prompt(1), "jump"), 3: (prompt(2), "recache")})
    assert [forward.kind for chunk in made for forward in chunk.forwards].count("recache") == 0
    attend = stream.attention.begin(FrameSpan(2 * CHUNK - 1, 3))
    assert attend._positions() == (2 * CHUNK - 1, 2 * CHUNK + 8, 2 * CHUNK + 9)


def test_a_jump_changes_the_picture_and_an_offset_of_none_does_not_move(make_stream, prompt, play):
    def last(offset: int, switch: str) -> torch.Tensor:
        stream = make_stream(chunk_frames=CHUNK, shot_offset=offset, **MEMORY)
        return play(stream, 4, {0: (prompt(0), "recache"), 2: (prompt(1), switch)})[2].latents

    assert torch.equal(last(0, "jump"), last(8, "soft"))
    assert not torch.allclose(last(8, "jump"), last(8, "soft"), atol=1e-4)


def test_absolute_positions_end_sooner_by_every_jump(make_stream, prompt, play):
    stream = make_stream(chunk_frames=CHUNK, shot_offset=1022, **MEMORY)
    play(stream, 1, {0: (prompt(0), "recache")})
    stream.set_prompt(prompt(1), "jump")
    with pytest.raises(ValueError, match="absolute positions end at 1024"):
        next(stream)
    # and the stream is not broken by it
    stream.set_prompt(prompt(1), "soft")
    next(stream)


def test_pins_and_pictures_are_refused_in_a_sentence(make_stream, prompt, play):
    stream = make_stream(chunk_frames=CHUNK, **MEMORY)
    play(stream, 2, {0: (prompt(0), "recache")})
    for what in (lambda: stream.pin(1), lambda: stream.pin(1, "hero"), lambda: stream.unpin(1)):
        with pytest.raises(ValueError, match="retrieval 'shots'"):
            what()
    with pytest.raises(ValueError, match="pins need a bank"):
        MemoryConfig(**MEMORY, pins=(0,))


def test_a_state_keeps_jumps_and_only_streams_with_jumps_have_them(make_stream, prompt, play):
    stream = make_stream(chunk_frames=CHUNK, **MEMORY)
    play(stream, 2, {0: (prompt(0), "recache")})
    assert "jumps" not in capture(stream).meta
    stream.set_prompt(prompt(1), "jump")
    next(stream)
    assert capture(stream).meta["jumps"] == [2 * CHUNK]
    assert SlotLayout(1, 1, 0).jumps == ()
