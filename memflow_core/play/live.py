"""Change a schedule while it is played: new prompts, pause, and an early end, all between two chunks.

`LiveControl` holds what was requested, by any thread. `LiveSchedule` applies it before each chunk.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from ..config import SWITCHES
from ..schedule import ScheduleError, Time, format_time
from .encoded_schedule import EncodedSchedule

MOST_WAITING = 16  # prompts that may wait for one chunk boundary
MOST_REMEMBERED = 64  # newest requests that `LiveControl.state` lists
PAUSE_CHECK_S = 0.1  # how often `LiveSchedule.on_hold` is called during a pause


class LiveConflict(Exception):
    """A request that this story cannot take, or not any more. The message is one sentence."""


class PromptEncodingError(ValueError):
    """A prompt that the text encoder cannot encode. The message is one sentence."""


@dataclass
class PromptRequest:
    """A requested prompt.

    at       the time in the story from which it is requested; None: as soon as possible.
    status   `waiting` for the next chunk boundary; `accepted`, with the chunk it starts at; `refused`, with the reason
             in `message`; `replaced` by a later prompt for the same chunk.
    """

    number: int
    prompt: str
    switch: str
    at: Time | None = None
    status: str = "waiting"
    message: str = ""
    chunk: int | None = None
    start_s: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """The request with its time as text, fit for JSON."""
        return {**asdict(self), "at": None if self.at is None else format_time(self.at)}


class LiveControl:
    """Requests to a running story: made on any thread, applied between chunks on the thread that plays it.

    takes_prompts  whether new prompts can be encoded.
    on_change      called with `state()` after every change, on the thread that made it; it must not block.
    """

    def __init__(self, takes_prompts: bool = True, on_change: Callable[[dict[str, Any]], None] = lambda _: None):
        self.takes_prompts = takes_prompts
        self._on_change = on_change
        self._changed = threading.Condition()
        self._requests: deque[PromptRequest] = deque(maxlen=MOST_REMEMBERED)
        self._count = 0
        self._paused = False
        self._finishing = False
        self._holding = False
        self._ended = False
        self._chunk = 0
        self._chunks: int | None = None
        self._time_s = 0.0

    # -- for any thread -----------------------------------------------------------------------------------------------

    def ask(self, prompt: str, switch: str = "recache", at: Time | None = None) -> int:
        """Request a prompt.

        switch  how it takes over, one of SWITCHES.
        at      the time in the story from which it is requested; None: as soon as possible.

        Returns the request's number, under which `state()["prompts"]` lists it. Raises LiveConflict where prompts
        cannot be encoded, too many wait, or the story is about to end.
        """
        with self._changed:
            self._require_running()
            if not self.takes_prompts:
                raise LiveConflict("this story cannot read new prompts: connect a CLIP to the sampler's clip input.")
            if sum(request.status == "waiting" for request in self._requests) >= MOST_WAITING:
                raise LiveConflict(f"{MOST_WAITING} prompts wait for the next chunk already: ask again after it.")
            self._count += 1
            number = self._count
            self._requests.append(PromptRequest(number, prompt, switch, at))
        self._notify()
        return number

    def finish(self) -> None:
        """End the story at the next chunk boundary. Raises LiveConflict if it has ended or is about to."""
        with self._changed:
            self._require_running()
            self._finishing = True
            self._paused = False
        self._notify()

    def pause(self) -> None:
        """Hold the story at the next chunk boundary. Raises LiveConflict if it has ended or is about to."""
        with self._changed:
            self._require_running()
            self._paused = True
        self._notify()

    def resume(self) -> None:
        """Continue after `pause`. Raises LiveConflict if the story has ended or is about to."""
        with self._changed:
            self._require_running()
            self._paused = False
        self._notify()

    def state(self) -> dict[str, Any]:
        """Return the story's state, fit for JSON.

        chunk, chunks            the next chunk, and how many there will be; None: open-ended.
        time_s                   start of the next chunk.
        paused, holding          whether a pause is requested, and whether the story waits because of it.
        finishing, ended         whether an end is requested, and whether the story has ended.
        takes_prompts, switches  whether prompts can be requested, and with which switches.
        prompts                  the newest requests, each as `PromptRequest.to_dict` has it.
        """
        with self._changed:
            return {
                "chunk": self._chunk,
                "chunks": self._chunks,
                "time_s": self._time_s,
                "paused": self._paused,
                "holding": self._holding,
                "finishing": self._finishing,
                "ended": self._ended,
                "takes_prompts": self.takes_prompts,
                "switches": list(SWITCHES),
                "prompts": [request.to_dict() for request in self._requests],
            }

    # -- for the thread that plays ------------------------------------------------------------------------------------

    @property
    def paused(self) -> bool:
        """Whether a pause is requested."""
        return self._paused

    @property
    def finishing(self) -> bool:
        """Whether an end is requested."""
        return self._finishing

    def waiting(self) -> list[PromptRequest]:
        """Requests that are neither accepted nor refused yet, oldest first."""
        with self._changed:
            return [request for request in self._requests if request.status == "waiting"]

    def accept(self, request: PromptRequest, chunk: int, start_s: float) -> None:
        """Note that a requested prompt starts at a chunk; an earlier request for that chunk is replaced."""
        with self._changed:
            for other in self._requests:
                if other.status == "accepted" and other.chunk == chunk:
                    other.status = "replaced"
            request.status = "accepted"
            request.chunk = chunk
            request.start_s = start_s
        self._notify()

    def refuse(self, request: PromptRequest, message: str) -> None:
        """Note why a requested prompt cannot start."""
        with self._changed:
            request.status = "refused"
            request.message = message
        self._notify()

    def set_next_chunk(self, chunk: int, chunks: int | None, time_s: float) -> None:
        """Note which chunk comes next, of how many (None: open-ended), and where it starts."""
        with self._changed:
            self._chunk = chunk
            self._chunks = chunks
            self._time_s = time_s

    def wait_paused(self, seconds: float) -> None:
        """Block while the story is paused and nothing changes, for at most `seconds`."""
        self._set_holding(True)
        with self._changed:
            if self._paused:
                self._changed.wait(seconds)

    def end_wait(self) -> None:
        """Note that the story does not wait any more."""
        self._set_holding(False)

    def close(self) -> None:
        """Note that the story has ended, for whatever reason. Waiting requests are refused, and so are new ones."""
        with self._changed:
            self._ended = True
            self._paused = False
            self._holding = False
            for request in self._requests:
                if request.status == "waiting":
                    request.status = "refused"
                    request.message = "the story ended before this prompt could start."
        self._notify()

    def _set_holding(self, holding: bool) -> None:
        with self._changed:
            changed = self._holding != holding
            self._holding = holding
        if changed:
            self._notify()

    def _require_running(self) -> None:
        if self._ended or self._finishing:
            raise LiveConflict("this story is at its end: it takes no more changes.")

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()
        self._on_change(self.state())


class LiveSchedule:
    """A schedule that is changed while it is played: `before_chunk` applies what was requested of a LiveControl.

    prompts   the schedule to play, with the changes so far.
    encode    returns the embedding [1, length, text_dim] of a full prompt; raises PromptEncodingError. Called between
              chunks, on the thread that plays.
    first     the first chunk that this run makes: it is made even if an end is requested before it.
    open_end  whether the schedule's length is only an upper limit.
    on_hold   called every PAUSE_CHECK_S seconds while the story is paused; may raise to stop it.
    """

    def __init__(
        self,
        prompts: EncodedSchedule,
        control: LiveControl,
        *,
        encode: Callable[[str], Tensor],
        first: int = 0,
        open_end: bool = False,
        on_hold: Callable[[], None] = lambda: None,
    ):
        self.prompts = prompts
        self._given = prompts
        self.control = control
        self._encode = encode
        self._first = first
        self._open_end = open_end
        self._on_hold = on_hold

    @property
    def changed(self) -> bool:
        """Whether something else was played than the schedule that was given."""
        return self.prompts is not self._given

    def before_chunk(self, chunk: int) -> EncodedSchedule:
        """Return the schedule to go on with, as `play` takes it for `changes`. Blocks while the story is paused."""
        plan = self.prompts.plan
        self.control.set_next_chunk(chunk, None if self._open_end else plan.chunks, plan.grid.start_s(chunk))
        self._apply_requests(chunk)
        while self.control.paused:
            self._on_hold()
            self.control.wait_paused(PAUSE_CHECK_S)
            self._apply_requests(chunk)
        self.control.end_wait()
        if self.control.finishing and chunk > self._first:
            self.prompts = self.prompts.ending_at(chunk)
        return self.prompts

    def _apply_requests(self, chunk: int) -> None:
        for request in self.control.waiting():
            try:
                start = self._start_chunk(request, chunk)
                embedding = self._encode_full(request.prompt)
                self.prompts = self.prompts.with_prompt(start, request.prompt, request.switch, embedding)
            except (PromptEncodingError, ScheduleError) as error:
                self.control.refuse(request, str(error))
            else:
                self.control.accept(request, start, self.prompts.plan.grid.start_s(start))

    def _start_chunk(self, request: PromptRequest, chunk: int) -> int:
        """The first chunk at or after the requested time; the coming one if that has passed."""
        if request.at is None:
            return chunk
        plan = self.prompts.plan
        start = max(chunk, plan.grid.chunk_at_or_after_px(plan.grid.px_of(request.at, plan.chunks)))
        if start >= plan.chunks:
            end_s = plan.grid.start_s(plan.chunks)
            raise ScheduleError(
                f"the prompt is asked for at {request.at}, but the story ends at {end_s:.2f} s: name an earlier time."
            )
        return start

    def _encode_full(self, prompt: str) -> Tensor:
        return self._encode(self.prompts.schedule.full_prompt(prompt))
