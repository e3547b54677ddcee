"""Live changes of a schedule while it is played, and playing the result again."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from memflow_core.play import EncodedSchedule, LiveConflict, LiveControl, LiveSchedule, PromptEncodingError, play
from memflow_core.play.encoded_schedule import exact_time
from memflow_core.play.live import MOST_WAITING
from memflow_core.schedule import ChunkGrid, PromptSchedule, ScheduleError, Segment, Time, parse_time, to_text
from memflow_core.schedule.text import from_text

WORDS = ["a robot", "a cat", "a ghost", "a bird", "rain", "snow"]
TEXT = "0s: a robot\n2s [soft]: a cat\n4s [seed 9]: a ghost"


def embed(text: str) -> torch.Tensor:
    """An embedding [1, 6, 8] with two rows of padding, another for every text; `xyzzy` cannot be encoded."""
    if "xyzzy" in text:
        raise PromptEncodingError("xyzzy is unknown.")
    made = torch.randn(1, 6, 8, generator=torch.Generator().manual_seed(sum(map(ord, text))))
    made[:, 4:] = 0
    return made


def encoded(text: str = TEXT, chunks: int | None = 9, fps: float = 16.0) -> EncodedSchedule:
    schedule = from_text(text)
    plan = schedule.place(ChunkGrid(3, fps), None if chunks is None else Time(chunks, "chunks"))
    return EncodedSchedule(schedule, plan, [embed(prompt) for prompt in schedule.full_prompts()])


class Run:
    """A run with a LiveControl. actions: functions of the control, by the chunk before which they are called."""

    def __init__(self, stream, prompts: EncodedSchedule, actions=None, control=None, **live):
        self.control = control or LiveControl()
        self.stream, self.actions = stream, actions or {}
        self.live = LiveSchedule(prompts, self.control, encode=embed, **live)

    def changes(self, chunk: int) -> EncodedSchedule:
        for act in self.actions.pop(chunk, ()):
            act(self.control)
        return self.live.before_chunk(chunk)

    def play(self) -> torch.Tensor:
        chunks = play(self.stream, self.live.prompts, 5, self.changes)
        return torch.cat([chunk.latents for chunk in chunks], dim=2)

    @property
    def requests(self) -> list[dict]:
        return self.control.state()["prompts"]


def ask(prompt: str, switch: str = "recache", at: str | None = None):
    return lambda control: control.ask(prompt, switch, None if at is None else parse_time(at))


def test_a_live_prompt_brings_back_what_the_bank_dropped(make_stream):
    memory = {"bank_keys": "alone", "archive": "latents", "record_every": 1, "bank_frames": 2, "window_frames": 3}
    text = "0s: a robot\n3s: a cat\n6s: a ghost\n9s: rain"
    stream = make_stream(**memory)
    run = Run(stream, encoded(text, chunks=20), {18: [ask("a robot")]})
    video = run.play()
    assert run.requests[0]["status"] == "accepted"
    held = {frame for layer in stream.memory.bank.listed_frames().tolist() for item in layer for frame in item}
    assert held and max(held) < 15
    assert torch.equal(video, replay(make_stream, to_text(run.live.prompts.played()), **memory))


def replay(make_stream, text: str, **settings) -> torch.Tensor:
    made = play(make_stream(**settings), encoded(text, chunks=None), 5)
    return torch.cat([chunk.latents for chunk in made], dim=2)


PINNED = "pin hero: 1s\npin: 25%\npin late: 5s\n0s: a robot\n2s [hero]: a cat\n5.8s [blend 1s] [late]: a ghost"

CHANGES = {
    "no change": {},
    "a prompt in the middle": {3: [ask("rain")]},
    "before the first chunk": {0: [ask("snow")]},
    "where a scheduled one starts": {3: [ask("rain", "cut")]},
    "a blend": {2: [ask("rain", "blend")], 7: [ask("snow", "blend")]},
    "two at once": {2: [ask("rain"), ask("snow", "soft")]},
    "for later": {1: [ask("rain", "recache", "3.3s")], 5: [ask("snow", "cut")]},
    "a time that has passed": {5: [ask("rain", "soft", "1s")]},
    "finished early": {2: [ask("rain")], 5: [lambda control: control.finish()]},
    "quotes and lines": {2: [ask('"a\nb" | [cut]: c # d')]},
}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("text", [TEXT, PINNED, "global: a cartoon.\na robot | a cat | a ghost"])
def test_the_played_schedule_makes_the_same_chunks_bit_for_bit(make_stream, name, text):
    run = Run(make_stream(record_every=1), encoded(text), dict(CHANGES[name]))
    made = run.play()
    played = to_text(run.live.prompts.played())
    assert torch.equal(replay(make_stream, played, record_every=1), made)
    assert made.shape[2] == 3 * (5 if "finished" in name else 9)


def test_a_live_prompt_starts_at_the_next_chunk_and_yields_to_the_schedule(make_stream):
    plain = Run(make_stream(), encoded()).play()
    run = Run(make_stream(), encoded(), {2: [ask("rain")]})
    made = run.play()
    assert torch.equal(made[:, :, :6], plain[:, :, :6]) and not torch.equal(made[:, :, 6:9], plain[:, :, 6:9])
    assert [(s.start_chunk, s.prompt) for s in run.live.prompts.plan.segments] == [
        (0, "a robot"),
        (2, "rain"),
        (3, "a cat"),
        (6, "a ghost"),
    ]
    (request,) = run.requests
    assert (request["status"], request["chunk"], request["start_s"]) == ("accepted", 2, 1.3125)


def test_the_last_of_two_prompts_for_one_chunk_replaces_the_other(make_stream):
    run = Run(make_stream(), encoded(), {2: [ask("rain"), ask("snow")]})
    run.play()
    assert [request["status"] for request in run.requests] == ["replaced", "accepted"]
    assert [s.prompt for s in run.live.prompts.plan.segments][1] == "snow"


@pytest.mark.parametrize(
    ("prompt", "at", "message"),
    [("xyzzy", None, "unknown"), ("rain", "60s", "earlier time"), ("rain", "9c", "ends at")],
)
def test_a_prompt_that_cannot_start_is_refused_and_the_story_goes_on(make_stream, prompt, at, message):
    run = Run(make_stream(), encoded(), {2: [ask(prompt, at=at)]})
    assert torch.equal(run.play(), Run(make_stream(), encoded()).play())
    (request,) = run.requests
    assert request["status"] == "refused" and message in request["message"]


def test_prompts_that_no_segment_can_have_are_refused(make_stream):
    run = Run(make_stream(), encoded(), {2: [ask("half a \ud800 character"), ask("rain", "leap")]})
    run.play()
    assert [request["status"] for request in run.requests] == ["refused", "refused"]


def test_the_global_prompt_stands_before_a_live_one(make_stream):
    text = "global: a cartoon.\n0s: a robot"
    run = Run(make_stream(), encoded(text, 5), {2: [ask("rain")]})
    run.play()
    assert torch.equal(run.live.prompts.embeddings[1], embed("a cartoon. rain"))


def test_an_end_may_be_requested_at_any_time_and_a_chunk_is_always_made(make_stream):
    for chunk, kept in ((0, 1), (1, 1), (4, 4), (8, 8)):
        run = Run(make_stream(), encoded(), {chunk: [lambda control: control.finish()]})
        assert run.play().shape[2] == 3 * kept
        assert run.live.prompts.plan.chunks == kept


def test_an_open_end_goes_on_until_an_end_is_requested(make_stream):
    run = Run(make_stream(frames=None), encoded("0s: a robot", 4000), {7: [LiveControl.finish]}, open_end=True)
    made = run.play()
    assert run.control.state()["chunks"] is None and made.shape[2] == 21
    assert torch.equal(replay(make_stream, to_text(run.live.prompts.played()), frames=None), made)


def test_a_pause_holds_until_it_is_lifted(make_stream):
    held, states = threading.Event(), []

    def on_change(state):
        states.append(state)
        if state["holding"]:
            held.set()

    control = LiveControl(on_change=on_change)
    run = Run(make_stream(), encoded(), {3: [LiveControl.pause]}, control)

    def go_on():
        try:
            assert held.wait(60)
            # a prompt is encoded while the story waits
            control.ask("rain")
            while control.waiting():
                time.sleep(0.01)
            assert run.stream.progress.chunk == 3
        finally:
            control.resume()

    with ThreadPoolExecutor(1) as pool:
        went_on = pool.submit(go_on)
        made = run.play()
    went_on.result()
    assert torch.equal(made, Run(make_stream(), encoded(), {3: [ask("rain")]}).play())
    assert not control.state()["holding"] and any(state["holding"] for state in states)


def test_a_paused_story_can_be_cancelled(make_stream):
    class Cancelled(BaseException):
        pass

    def cancel():
        raise Cancelled

    run = Run(make_stream(), encoded(), {2: [LiveControl.pause]}, on_hold=cancel)
    with pytest.raises(Cancelled):
        run.play()


def test_finishing_lifts_a_pause(make_stream):
    run = Run(make_stream(), encoded(), {2: [LiveControl.pause, LiveControl.finish]})
    assert run.play().shape[2] == 6


def test_a_control_refuses_with_a_sentence():
    with pytest.raises(LiveConflict, match="connect a CLIP"):
        LiveControl(takes_prompts=False).ask("rain")
    full = LiveControl()
    for _ in range(MOST_WAITING):
        full.ask("rain")
    with pytest.raises(LiveConflict, match="wait for the next chunk"):
        full.ask("rain")
    full.close()
    assert {request["status"] for request in full.state()["prompts"]} == {"refused"}
    for act in (lambda: full.ask("rain"), full.finish, full.pause, full.resume):
        with pytest.raises(LiveConflict, match="at its end"):
            act()


def test_on_change_gets_the_state_after_every_change():
    states = []
    control = LiveControl(on_change=states.append)
    control.ask("rain", "cut", Time(3, "s"))
    control.pause()
    control.finish()
    assert [len(state["prompts"]) for state in states] == [1, 1, 1]
    assert [(state["paused"], state["finishing"]) for state in states] == [(False, False), (True, False), (False, True)]
    assert states[0]["prompts"][0] == {
        "number": 1,
        "prompt": "rain",
        "switch": "cut",
        "at": "3s",
        "status": "waiting",
        "message": "",
        "chunk": None,
        "start_s": None,
    }


@pytest.mark.parametrize("fps", [16.0, 23.976, 24.0, 29.97, 120.0, 7.13])
def test_a_chunk_start_written_as_a_time_is_that_chunk_again(fps):
    grid = ChunkGrid(3, fps)
    for chunk in [*range(200), 4999, 83_333]:
        time = parse_time(to_text(PromptSchedule((Segment(exact_time(grid, chunk), "x"),))).split(":")[0])
        assert grid.chunk_at_or_after_px(grid.px_of(time)) == chunk


def test_an_encoded_schedule_is_a_value():
    one = encoded()
    other = one.with_prompt(1, "rain", "soft", embed("rain")).ending_at(5)
    assert (len(one.plan.segments), one.plan.chunks) == (3, 9) and (len(other.plan.segments), other.plan.chunks) == (
        3,
        5,
    )
    assert [placed.prompt for placed in other.plan.segments] == ["a robot", "rain", "a cat"]
    with pytest.raises(ScheduleError, match="switch"):
        one.with_prompt(1, "rain", "sideways", embed("rain"))


def test_played_keeps_the_times_as_they_were_written():
    written = encoded("0s: a robot\n0:02 [soft]: a cat").with_prompt(5, "rain", "cut", embed("rain"))
    lines = to_text(written.played()).split("\n")
    assert lines == ["length: 6.562s", "0s: a robot", "2s [soft]: a cat", "3.562s [cut]: rain"]


def test_a_fresh_prompt_begins_a_new_story_and_plays_again(make_stream):
    text = "pin: 0.5s\n0s: a robot\n3s: a cat"
    stream = make_stream(record_every=1)
    run = Run(stream, encoded(text, chunks=9), {6: [ask("rain", "fresh")]})
    video = run.play()
    assert run.requests[0]["status"] == "accepted" and stream.cache.layout.began == 18 and stream.pins == []
    assert torch.equal(video, replay(make_stream, to_text(run.live.prompts.played()), record_every=1))


def test_a_fresh_prompt_before_one_that_asks_for_an_older_pin_is_refused(make_stream):
    text = "pin hero: 0.5s\n0s: a robot\n5s [hero]: a cat"
    run = Run(make_stream(record_every=1), encoded(text, chunks=9), {3: [ask("rain", "fresh"), ask("snow", "cut")]})
    run.play()
    first, second = run.requests
    assert (first["status"], second["status"]) == ("refused", "accepted")
    assert "forgets all that was made before it" in first["message"]
