"""Write beside other work: a thread with a bounded queue that never blocks and never fails its caller."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from types import TracebackType

Write = Callable[[], object]


class SideWriter:
    """Runs writes one after the other in a thread of its own. As a context manager it ends with all of them done.

    most_bytes  of what may wait or be under way at once; one write may always. More is refused, not waited for.
    on_told     called with a sentence where writing ends for good, as on a full disk; from the thread.

    stopped     whether a write has failed; nothing is written after that.
    """

    def __init__(self, most_bytes: int, on_told: Callable[[str], None] = lambda _: None):
        self._most_bytes = most_bytes
        self._on_told = on_told
        self._changed = threading.Condition()
        self._waiting: deque[tuple[int, Write]] = deque()
        self._bytes = 0
        self._closing = False
        self._thread: threading.Thread | None = None
        self.stopped = False

    def __enter__(self) -> SideWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def reserve(self, size: int) -> bool:
        """Take room for a write of so many bytes, which `put` or `release` must follow; False where there is none."""
        with self._changed:
            if self.stopped or self._closing or (self._bytes and self._bytes + size > self._most_bytes):
                return False
            self._bytes += size
            return True

    def release(self, size: int) -> None:
        """Give back room that was reserved and is not needed."""
        with self._changed:
            self._bytes -= size

    def put(self, size: int, write: Write) -> None:
        """Let a write run later, for which so many bytes were reserved."""
        with self._changed:
            if self._closing:
                self._bytes -= size
                return
            self._waiting.append((size, write))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="memflow keep")
                self._thread.start()
            self._changed.notify_all()

    def close(self) -> None:
        """Take no more, wait until what was put is written, and end the thread. Raises nothing."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                if not self._waiting:
                    return
                size, write = self._waiting.popleft()
            try:
                if not self.stopped:
                    write()
            except Exception as error:
                self._stop(error)
            finally:
                # what it holds must go before the next one comes
                del write
                with self._changed:
                    self._bytes -= size

    def _stop(self, error: Exception) -> None:
        self.stopped = True
        reason = getattr(error, "strerror", None) or " ".join(str(error).split()).rstrip(".") or type(error).__name__
        self._on_told(f"no more moments are kept: {reason}; the story itself goes on.")
