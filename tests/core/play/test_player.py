"""Playing an encoded schedule: prompts, seeds, resuming inside a segment, and the log beside it."""

import pytest
import torch

from memflow_core.play import EncodedSchedule, MemoryLog, play, player
from memflow_core.schedule import ChunkGrid, PromptSchedule, Time, read_schedule
from memflow_core.state import capture, resume

TEXT = "0s: a robot\n3c [blend 2]: a cat\n6c [seed 9]: a ghost"


@pytest.fixture
def encoded(prompt):
    """encoded(text, chunks): a schedule with an embedding of its own for every segment."""

    def make(text: str = TEXT, chunks: int = 9) -> EncodedSchedule:
        schedule = read_schedule(text)
        plan = schedule.place(ChunkGrid(), Time(chunks, "chunks"))
        return EncodedSchedule(schedule, plan, [prompt(number) for number in range(len(plan.segments))])

    return make


@pytest.fixture
def compared(monkeypatch) -> list[int]:
    """Grows by one for every comparison of embeddings."""
    equal, calls = player._equal, []
    monkeypatch.setattr(player, "_equal", lambda text, embedding: calls.append(1) or equal(text, embedding))
    return calls


def latents(chunks) -> torch.Tensor:
    return torch.cat([chunk.latents for chunk in chunks], dim=2)


def switches(stream) -> list[int]:
    return [record["chunk"] for record in stream.trace.records if record["event"] == "switch"]


def test_embeddings_are_not_compared_in_a_run_from_the_start(make_stream, encoded, compared):
    stream = make_stream()
    list(play(stream, encoded(), 5))
    assert compared == [] and switches(stream) == [3, 6]


@pytest.mark.parametrize("done", [1, 3, 4, 5, 8])
def test_a_resumed_stream_compares_once_and_makes_the_same_chunks(make_stream, backbone, encoded, compared, done):
    stream = make_stream(record_every=1)
    chunks = play(stream, encoded(), 5)
    made = [next(chunks) for _ in range(done)]
    resumed = resume(capture(stream), backbone)
    rest = list(play(resumed, encoded(), 5))
    # chunk 3 starts a segment, whose prompt is set without a look at the stream's
    assert len(compared) == (0 if done == 3 else 1)
    assert torch.equal(latents(rest), latents(chunks))
    assert switches(resumed) == [3, 6] and len(made) + len(rest) == 9


def test_a_resumed_stream_with_another_prompt_switches_at_once(make_stream, backbone, encoded, prompt):
    stream = make_stream()
    chunks = play(stream, encoded(), 5)
    for _ in range(2):
        next(chunks)
    resumed = resume(capture(stream), backbone)
    other = encoded()
    list(play(resumed, EncodedSchedule(other.schedule, other.plan, [prompt(7), *other.embeddings[1:]]), 5))
    assert switches(resumed) == [2, 3, 6]


def test_a_prompt_set_by_hand_lasts_one_chunk(make_stream, encoded, prompt):
    stream = make_stream()
    for chunk in play(stream, encoded("0s: a robot", 6), 5):
        if chunk.index == 2:
            stream.set_prompt(prompt(7))
    assert switches(stream) == [3, 4]


def test_changes_may_return_equal_embeddings_anew(make_stream, encoded, compared):
    stream, plain = make_stream(), make_stream()
    made = latents(play(stream, encoded(), 5, lambda _: encoded()))
    assert switches(stream) == [3, 6] and len(compared) == 6
    assert torch.equal(made, latents(play(plain, encoded(), 5)))


def test_the_streams_noise_is_used_where_no_seed_is_given(make_stream, encoded):
    given = latents(play(make_stream(seed=0), encoded(), 7))
    assert torch.equal(latents(play(make_stream(seed=7), encoded())), given)
    assert not torch.equal(latents(play(make_stream(seed=8), encoded())), given)


def test_a_segments_seed_is_its_own(make_stream, encoded):
    own, plain = (latents(play(make_stream(), encoded(text), 5)) for text in (TEXT, TEXT.replace("[seed 9]", "")))
    assert torch.equal(own[:, :, :18], plain[:, :, :18]) and not torch.equal(own[:, :, 18:], plain[:, :, 18:])
    later = f"{TEXT}\n8c: a bird"
    again = latents(play(make_stream(seed=5), encoded(later)))
    assert torch.equal(again, latents(play(make_stream(), encoded(later), 5)))


@pytest.mark.parametrize("count", [0, 2, 4])
def test_every_segment_has_one_embedding(encoded, prompt, count):
    story = encoded()
    with pytest.raises(ValueError, match=f"3 segments, its plan 3, and there are {count} embeddings"):
        EncodedSchedule(story.schedule, story.plan, [prompt(number) for number in range(count)])
    with pytest.raises(ValueError, match="the schedule has 0 segments"):
        EncodedSchedule(PromptSchedule(()), story.plan, story.embeddings)


def test_a_log_follows_the_chunks_of_a_run(make_stream, encoded):
    prompts = encoded()
    log = MemoryLog(prompts.plan.grid)
    chunks = play(make_stream(record_every=1), prompts)
    labels = [[frame.label for frame in log.chunk(chunk).bank] for chunk in chunks]
    assert labels[0] == [] and labels[-1][0].endswith(" s") and len(labels) == 9
