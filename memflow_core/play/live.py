"""A story that is directed while it plays: new prompts, pause, and an early end, all between two chunks."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from ..config import SWITCHES
from ..schedule import Plan, ScheduleError, Time, format_time
from .encoded_schedule import EncodedSchedule

MOST_WAITING = 16  # prompts that may wait for one chunk boundary
MOST_REMEMBERED = 64  # prompts whose fate can still be asked for
PAUSE_CHECK_S = 0.1  # how often a paused story looks whether it was cancelled


class LiveConflict(Exception):
    """What was asked for cannot be had of this story, or not any more; one sentence."""


class PromptEncodingError(ValueError):
    """A prompt that the text encoder does not take; one sentence."""


@dataclass
class PromptRequest:
    """A prompt that was asked for.

    at       the time of the story from which it is wanted; None: as soon as possible.
    status   `waiting` for the next chunk boundary; `accepted`, with the chunk it starts at; `refused`, with the reason;
             `replaced` by a later prompt for the same chunk.
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
        return {**asdict(self), "at": None if self.at is None else format_time(self.at)}


class LiveControl:
    """What is asked of a running story: written by any thread, read between chunks by the thread that plays it.

    takes_prompts  whether anything can encode a new prompt.
    on_change      called with `state()` after every change, on the thread that made it; it must not block.
    """

    def __init__(self, takes_prompts: bool = True, on_change: Callable[[dict[str, Any]], None] = lambda state: None):
        self.takes_prompts, self._on_change = takes_prompts, on_change
        self._changed = threading.Condition()
        self._wishes: deque[PromptRequest] = deque(maxlen=MOST_REMEMBERED)
        self._asked = 0
        self._paused = self._finishing = self._holding = self._ended = False
        self._chunk, self._chunks, self._time_s = 0, None, 0.0

    # -- for whoever asks ---------------------------------------------------------------------------------------------

    def ask(self, prompt: str, switch: str = "recache", at: Time | None = None) -> int:
        """Ask for another prompt; returns a number under which `state` tells what became of it.

        Raises NotNow where prompts cannot be encoded, too many wait, or the story is about to end.
        """
        with self._changed:
            self._require_running()
            if not self.takes_prompts:
                raise LiveConflict("this story cannot read new prompts: connect a CLIP to the sampler's clip input.")
            if sum(wish.status == "waiting" for wish in self._wishes) >= MOST_WAITING:
                raise LiveConflict(f"{MOST_WAITING} prompts wait for the next chunk already: ask again after it.")
            self._asked += 1
            self._wishes.append(PromptRequest(self._asked, prompt, switch, at))
            number = self._asked
        self._tell()
        return number

    def finish(self) -> None:
        """End the story at the next chunk boundary. Raises NotNow if it has ended."""
        with self._changed:
            self._require_running()
            self._finishing, self._paused = True, False
        self._tell()

    def pause(self) -> None:
        """Hold at the next chunk boundary. Raises NotNow if the story is about to end."""
        with self._changed:
            self._require_running()
            self._paused = True
        self._tell()

    def resume(self) -> None:
        """Go on after `pause`. Raises NotNow if the story is about to end."""
        with self._changed:
            self._require_running()
            self._paused = False
        self._tell()

    def state(self) -> dict[str, Any]:
        """Fit for JSON: `chunk`, the next one, of `chunks` (None: open-ended); `time_s`, where it starts; `paused` was
        asked for, `holding` is true while the story waits; `finishing`; `ended`; `takes_prompts`, and with which
        `switches`; `prompts` asked for.
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
                "prompts": [wish.to_dict() for wish in self._wishes],
            }

    # -- for the thread that plays ------------------------------------------------------------------------------------

    @property
    def paused(self) -> bool:
        return self._paused

    @property
    def finishing(self) -> bool:
        return self._finishing

    def waiting(self) -> list[PromptRequest]:
        """Prompts that nothing was answered to yet, in the order they were asked for."""
        with self._changed:
            return [wish for wish in self._wishes if wish.status == "waiting"]

    def accept(self, wish: PromptRequest, chunk: int, start_s: float) -> None:
        with self._changed:
            for other in self._wishes:
                if other.status == "accepted" and other.chunk == chunk:
                    other.status = "replaced"
            wish.status, wish.chunk, wish.start_s = "accepted", chunk, start_s
        self._tell()

    def refuse(self, wish: PromptRequest, message: str) -> None:
        with self._changed:
            wish.status, wish.message = "refused", message
        self._tell()

    def at_chunk(self, chunk: int, chunks: int | None, time_s: float) -> None:
        """Note which chunk comes next."""
        with self._changed:
            self._chunk, self._chunks, self._time_s = chunk, chunks, time_s

    def hold(self, seconds: float) -> None:
        """Wait until something changes, at most that long."""
        self._set_holding(True)
        with self._changed:
            if self._paused:
                self._changed.wait(seconds)

    def go_on(self) -> None:
        """The story waits no longer."""
        self._set_holding(False)

    def close(self) -> None:
        """The story has ended, however it did; nothing can be asked of it any more."""
        with self._changed:
            self._ended, self._paused, self._holding = True, False, False
            for wish in self._wishes:
                if wish.status == "waiting":
                    wish.status, wish.message = "refused", "the story ended before this prompt could start."
        self._tell()

    def _set_holding(self, holding: bool) -> None:
        with self._changed:
            changed, self._holding = self._holding != holding, holding
        if changed:
            self._tell()

    def _require_running(self) -> None:
        if self._ended or self._finishing:
            raise LiveConflict("this story is at its end: it takes no more changes.")

    def _tell(self) -> None:
        with self._changed:
            self._changed.notify_all()
        self._on_change(self.state())


class LiveSchedule:
    """The source of changes of a story that plays: takes up, before each chunk, what lies in a mailbox.

    script    what is to be played if nobody asks for anything.
    encode    embedding [1, length, text_dim] of a full prompt; raises UnreadablePrompt. Called between chunks, on the
              thread that plays.
    first     the first chunk that this run makes: it is made even if the end is asked for before it.
    open_end  whether the script's length is only the farthest it could go.
    on_hold   called again and again while the story is paused; may raise to stop it.
    """

    def __init__(
        self,
        script: EncodedSchedule,
        mailbox: LiveControl,
        encode: Callable[[str], Tensor],
        first: int = 0,
        open_end: bool = False,
        on_hold: Callable[[], None] = lambda: None,
    ):
        self.script, self.mailbox = script, mailbox
        self._encode, self._first, self._open_end, self._on_hold = encode, first, open_end, on_hold

    def before_chunk(self, chunk: int) -> tuple[Plan, Sequence[Tensor]]:
        """Plan and embeddings to go on with. Blocks while the story is paused."""
        grid = self.script.plan.grid
        self.mailbox.at_chunk(chunk, None if self._open_end else self.script.plan.chunks, grid.start_s(chunk))
        self._take_up(chunk)
        while self.mailbox.paused:
            self._on_hold()
            self.mailbox.hold(PAUSE_CHECK_S)
            self._take_up(chunk)
        self.mailbox.go_on()
        if self.mailbox.finishing and chunk > self._first:
            self.script = self.script.ending_at(chunk)
        return self.script.plan, self.script.embeddings

    def _take_up(self, chunk: int) -> None:
        for wish in self.mailbox.waiting():
            try:
                start = self._start(wish, chunk)
                self.script = self.script.with_prompt(start, wish.prompt, wish.switch, self._embedding(wish.prompt))
            except (PromptEncodingError, ScheduleError) as error:
                self.mailbox.refuse(wish, str(error))
            else:
                self.mailbox.accept(wish, start, self.script.plan.grid.start_s(start))

    def _start(self, wish: PromptRequest, chunk: int) -> int:
        """The first chunk at or after the time that was asked for; the coming one if that has passed."""
        if wish.at is None:
            return chunk
        plan = self.script.plan
        start = max(chunk, plan.grid.chunk_at_or_after_px(plan.grid.px_of(wish.at, plan.chunks)))
        if start >= plan.chunks:
            end_s = plan.grid.start_s(plan.chunks)
            raise ScheduleError(
                f"the prompt is asked for at {wish.at}, but the story ends at {end_s:.2f} s: name an earlier time."
            )
        return start

    def _embedding(self, prompt: str) -> Tensor:
        return self._encode(" ".join(part for part in (self.script.schedule.global_prompt, prompt) if part))
