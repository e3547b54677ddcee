"""Runs that can be changed while they are under way: their registry, and the encoding of new prompts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ...memflow_core.play import EncodedSchedule, LiveControl, LiveSchedule, PromptEncodingError
from .. import host
from .events import RunEvents

EVENT = "memflow.live"
"""Event for the page, with the state of a run after every change, as `LiveControl.state` has it."""


class LiveRuns:
    """The runs that are under way, by prompt id and node id: their controls, and what they have shown. Any thread may
    use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs: dict[tuple[str, str], tuple[LiveControl, RunEvents]] = {}

    @contextmanager
    def listed(self, control: LiveControl, events: RunEvents) -> Iterator[None]:
        """List a run for as long as the context lasts, and close its control at the end, also after an error."""
        page = events.page
        key = (page.prompt_id, page.node_id)
        with self._lock:
            self._runs[key] = (control, events)
        page.send(EVENT, control.state())
        try:
            yield
        finally:
            with self._lock:
                del self._runs[key]
            control.close()

    def find(self, prompt_id: str, node_id: str) -> LiveControl | None:
        """The control of the run in a node of a queued prompt; None if there is none."""
        with self._lock:
            run = self._runs.get((prompt_id, node_id))
        return None if run is None else run[0]

    def now(self) -> list[dict[str, Any]]:
        """Every run as it stands, fit for JSON: what `RunEvents.now` returns, and `state`, that of its control."""
        with self._lock:
            runs = list(self._runs.values())
        return [{**events.now(), "state": control.state()} for control, events in runs]


# The only module-level store of the pack. ComfyUI makes a locked copy of a node's class for every run, and a route has
# no other way to a run. It holds no tensors beside small pictures, and nothing of a run that has ended.
RUNNING = LiveRuns()


def direct(
    schedule: EncodedSchedule,
    page: host.Page,
    *,
    encode: Callable[[str], Tensor] | None,
    first: int,
    open_end: bool,
    on_hold: Callable[[], None],
) -> LiveSchedule:
    """A schedule that can be changed while it is played, through its `LiveControl`.

    encode    prompt -> embedding [1, length, text_dim], see `prompt_encoder`; None where no text encoder is connected.
    first     the first chunk that the run makes.
    open_end  whether the schedule's length is only the farthest it could go.
    on_hold   called again and again while the run is paused; may raise to stop it.
    """
    control = LiveControl(encode is not None, lambda state: page.send(EVENT, state))
    return LiveSchedule(
        schedule, control, encode=encode or _no_encoder, first=first, open_end=open_end, on_hold=on_hold
    )


def _no_encoder(_prompt: str) -> Tensor:
    raise PromptEncodingError("there is no text encoder.")


def prompt_encoder(
    clip: Any, model: Any, *, settle: Callable[[], None], back_on_device: Callable[[], None]
) -> Callable[[str], Tensor]:
    """Encode a prompt between two chunks: text -> embedding [1, length, text_dim] on the CPU.

    clip            a `CLIP`.
    model           the `MODEL` that is to read the embedding.
    settle          called before; waits until nothing uses what is on the device.
    back_on_device  called after; the text encoder may have driven the model from the device.

    The function raises PromptEncodingError, in one sentence, for whatever goes wrong.
    """

    def encode(prompt: str) -> Tensor:
        settle()
        try:
            embedding = host.encode(clip, [prompt])[0].embedding
            host.check_text_width(model, (embedding,))
            if not bool(torch.isfinite(embedding).all()):
                raise ValueError("its embedding holds NaN or infinity: check the text encoder's weights.")
        # a text encoder may raise anything, and the run must go on
        except Exception as error:
            raise PromptEncodingError(host.sentence(error)) from error
        finally:
            back_on_device()
        return embedding

    return encode
