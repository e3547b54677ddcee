"""End a run before the server's process ends.

ComfyUI runs prompts in a thread that Python ends by force when the process does, as after Ctrl-C. Inside torch that
aborts the whole process, with a film that is closed by nobody. So the process waits until the run has stopped.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import comfy.model_management
from server import PromptServer

# a pass and a decode of a large model on a slow device, and the finishing of a long film
MOST_WAIT_S = 60.0
POLL_S = 0.05


@contextmanager
def stopped_at_exit() -> Iterator[None]:
    """For as long as the context lasts, a process that ends cancels what runs in it, and waits for its end."""
    ended = threading.Event()

    def stop() -> None:
        server = getattr(PromptServer, "instance", None)
        if server is not None:
            # the next prompt must not start in a process that ends
            server.prompt_queue.wipe_queue()
        comfy.model_management.interrupt_current_processing()
        if ended.wait(MOST_WAIT_S) and server is not None:
            _wait_until_idle(server)

    atexit.register(stop)
    try:
        yield
    finally:
        ended.set()
        atexit.unregister(stop)


def _wait_until_idle(server: PromptServer) -> None:
    """Wait until the prompt of a run that has ended is put away."""
    end = time.monotonic() + MOST_WAIT_S
    while server.prompt_queue.get_tasks_remaining() and time.monotonic() < end:
        time.sleep(POLL_S)
    # what the worker does after its last word
    time.sleep(POLL_S)
