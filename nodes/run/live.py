"""Stories that can be directed while they play: the HTTP side, and the way in for a sampling node.

    GET  /memflow/live/{prompt_id}/{node_id}   the story's state, as `LiveControl.state` tells it
    POST /memflow/live/{prompt_id}/{node_id}   one change, which takes effect between two chunks:
         {"prompt": "a cat runs by", "switch": "cut", "at": "12s"}     switch and at may be left out
         {"action": "finish"}, {"action": "pause"}, {"action": "resume"}

Answers are JSON: {"state": ...}, with {"number": ...} for a prompt, which names it in the state; or {"error": sentence}
with 400 (not understood), 404 (no such story runs), 409 (not of this story) or 413 (too large). What is asked here can
change what a running story shows, and nothing else: no file is read or written.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ...memflow_core.config import SWITCHES
from ...memflow_core.play import EncodedSchedule, LiveConflict, LiveControl, LiveSchedule, PromptEncodingError
from ...memflow_core.schedule import ScheduleError, Segment, Time, parse_time, show
from .. import host
from ..host import encode

PATH = "/memflow/live/{prompt_id}/{node_id}"
EVENT = "memflow.live"
MOST_BYTES = 64 * 1024
MOST_CHARACTERS = 8000
ACTIONS: dict[str, Callable[[LiveControl], None]] = {
    "finish": LiveControl.finish,
    "pause": LiveControl.pause,
    "resume": LiveControl.resume,
}
USAGE = 'write {"prompt": text} or {"action": "finish"}, "pause" or "resume".'


class RunningStories:
    """The mailboxes of the stories that are being played now, and what HTTP says about them. Holds no tensors."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._mailboxes: dict[tuple[str, str], LiveControl] = {}

    @contextmanager
    def open(self, page: host.Page, mailbox: LiveControl) -> Iterator[None]:
        """A story can be found for as long as the context lasts, however it ends."""
        key = (page.prompt_id, page.node_id)
        with self._lock:
            self._mailboxes[key] = mailbox
        page.send(EVENT, mailbox.state())
        try:
            yield
        finally:
            with self._lock:
                del self._mailboxes[key]
            mailbox.close()

    def read(self, prompt_id: str, node_id: str) -> host.Answer:
        mailbox = self._find(prompt_id, node_id)
        return _no_story(prompt_id, node_id) if mailbox is None else (200, {"state": mailbox.state()})

    def write(self, prompt_id: str, node_id: str, body: Any) -> host.Answer:
        mailbox = self._find(prompt_id, node_id)
        if mailbox is None:
            return _no_story(prompt_id, node_id)
        try:
            more = _ask(mailbox, body)
        except ScheduleError as error:
            return 400, {"error": str(error)}
        except LiveConflict as error:
            return 409, {"error": str(error)}
        return 200, {**more, "state": mailbox.state()}

    def _find(self, prompt_id: str, node_id: str) -> LiveControl | None:
        with self._lock:
            return self._mailboxes.get((prompt_id, node_id))


# ComfyUI makes a locked copy of a node's class for every run, so what runs is known here
RUNNING = RunningStories()


def add_routes() -> None:
    host.add_json_routes(PATH, RUNNING.read, RUNNING.write, MOST_BYTES)


def _no_story(prompt_id: str, node_id: str) -> host.Answer:
    return 404, {"error": f"no story runs in node {show(node_id)} of prompt {show(prompt_id)}: it may have ended."}


def _ask(mailbox: LiveControl, body: Any) -> dict[str, Any]:
    """Do what a body asks for. Raises ScheduleError for a body that asks for nothing, and NotNow."""
    if not isinstance(body, dict) or not ({"prompt", "action"} & body.keys()):
        raise ScheduleError(f"the body is {show(body)}, which asks for nothing: {USAGE}")
    allowed = {"action"} if "action" in body else {"prompt", "switch", "at"}
    if unknown := body.keys() - allowed:
        raise ScheduleError(f"the body has {show(sorted(unknown))}, which means nothing here: {USAGE}")
    if "prompt" in body:
        return {"number": mailbox.ask(_prompt(body["prompt"]), _switch(body), _at(body.get("at")))}
    action = body["action"]
    if not isinstance(action, str) or action not in ACTIONS:
        raise ScheduleError(f"action is {show(action)}, but must be one of {', '.join(ACTIONS)}.")
    ACTIONS[action](mailbox)
    return {}


def _prompt(prompt: Any) -> str:
    # a segment knows what a prompt may be
    text = Segment(Time(0, "s"), prompt).prompt.strip()
    if not text or len(text) > MOST_CHARACTERS:
        raise ScheduleError(f"the prompt has {len(text)} characters, but must have 1 to {MOST_CHARACTERS}.")
    return text


def _switch(body: dict[str, Any]) -> str:
    switch = body.get("switch", SWITCHES[0])
    if not isinstance(switch, str) or switch not in SWITCHES:
        raise ScheduleError(f"switch is {show(switch)}, but must be one of {', '.join(SWITCHES)}.")
    return switch


def _at(at: Any) -> Time | None:
    """A number counts seconds; text is a time as in a schedule."""
    if at is None:
        return None
    if isinstance(at, str) and len(at) <= 40:
        time = parse_time(at)
    elif isinstance(at, (int, float)):
        time = Time(at, "s")
    else:
        raise ScheduleError(f"at is {show(at)}, but must be seconds, or a time such as '12s'.")
    if time.unit == "percent":
        raise ScheduleError(f"at is {show(at)}, but a share of a story that may still change is no time: use seconds.")
    return time


def direct(
    script: EncodedSchedule,
    page: host.Page,
    read_prompt: Callable[[str], Tensor] | None,
    first: int,
    open_end: bool,
    on_hold: Callable[[], None],
) -> LiveSchedule:
    """A script that can be changed while it plays, by whoever finds its mailbox.

    read_prompt  see `prompt_reader`; None where no text encoder is at hand.
    on_hold      called again and again while the story is paused; may raise to stop it.
    """
    mailbox = LiveControl(read_prompt is not None, lambda state: page.send(EVENT, state))
    encode = read_prompt or _no_reader
    return LiveSchedule(script, mailbox, encode=encode, first=first, open_end=open_end, on_hold=on_hold)


def _no_reader(prompt: str) -> Tensor:
    raise PromptEncodingError("there is no text encoder.")


def prompt_reader(
    clip: Any, model: Any, settle: Callable[[], None], back_on_device: Callable[[], None]
) -> Callable[[str], Tensor]:
    """Reads a prompt while a story plays, and brings back to the device what reading it may have driven out.

    settle  waits until nothing uses what is on the device.
    """

    def read(prompt: str) -> Tensor:
        settle()
        try:
            embedding = encode(clip, [prompt])[0]
            host.check_text_width(model, (embedding,))
            if not bool(torch.isfinite(embedding).all()):
                raise ValueError("its embedding holds NaN or infinity: check the text encoder's weights.")
        # whatever a text encoder may raise: the story must go on
        except Exception as error:
            raise PromptEncodingError(_sentence(error)) from error
        finally:
            back_on_device()
        return embedding

    return read


def _sentence(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:500]
