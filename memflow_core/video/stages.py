"""A pipeline of stages in threads: each works on one item while the stage before it works on the next.

Items keep their order. Few exist at once: a stage that is slower than those before it makes them wait.
"""

from __future__ import annotations

import contextvars
import threading
from collections import deque
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

POLL_S = 0.1  # between two calls of `meanwhile`

Work = Callable[[Any], Any]
_END = object()


class Pipeline:
    """Passes items through all stages, in order. Without stages, an item is finished as soon as it is put.

    As a context manager it closes at the end, and stops on an exception.

    stages     a function of one item each, by the name of the stage's thread. Its result goes to the next stage; that
               of the last stage is returned by `take`.
    depth      how many items may wait before each stage, beside the one that it works on.
    meanwhile  called every POLL_S while `put`, `settle` or `close` waits; an exception from it ends the waiting.

    All methods are to be called from one thread. An exception in a stage ends that stage and those before it, and is
    raised by the next call of `put`, `check`, `settle` or `close`; the stages after it finish the items they have.
    """

    def __init__(self, stages: Mapping[str, Work], depth: int = 1, meanwhile: Callable[[], None] = lambda: None):
        if depth < 1:
            raise ValueError(f"depth is {depth}, but at least 1 item must be able to wait before a stage.")
        self._work = list(stages.values())
        self._depth = depth
        self._meanwhile = meanwhile
        self._changed = threading.Condition()
        # one queue before each stage, and the last for finished items
        self._queues: list[deque[Any]] = [deque() for _ in range(len(stages) + 1)]
        self._unfinished = 0
        self._closing = False
        self._error: BaseException | None = None
        self._running = [True] * len(stages)
        # in a copy of this thread's context, by which ComfyUI knows which node is running
        self._threads = [
            threading.Thread(target=contextvars.copy_context().run, args=(self._run, number), name=f"memflow {name}")
            for number, name in enumerate(stages)
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.close()
        finally:
            self.stop()

    def put(self, item: Any) -> None:
        """Hand an item to the first stage; wait while too many are before it."""
        if self._closing:
            raise ValueError("the pipeline is closed: it takes no more items.")
        self._wait_until(lambda: not self._threads or len(self._queues[0]) < self._depth)
        with self._changed:
            self._queues[0].append(item)
            self._unfinished += bool(self._threads)
            self._changed.notify_all()

    def take(self) -> list[Any]:
        """Take the results that are finished, in order. Never waits."""
        with self._changed:
            finished = list(self._queues[-1])
            self._queues[-1].clear()
        return finished

    def check(self) -> None:
        """Raise the exception of a stage, if there was one. Never waits."""
        with self._changed:
            if self._error is not None:
                raise self._error

    def settle(self) -> None:
        """Wait until every item is finished and all stages are idle."""
        self._wait_until(lambda: not self._unfinished)

    def close(self) -> None:
        """Take no more items, wait until all are finished, and end the threads."""
        self._take_no_more()
        self._wait_until(lambda: not any(self._running))
        self.stop()

    def stop(self) -> None:
        """Take no more items and end the threads; items that were put are finished first, except by failed stages.

        Raises nothing; `check` raises the exception of a stage.
        """
        self._take_no_more()
        for thread in self._threads:
            thread.join()

    def _take_no_more(self) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def _wait_until(self, ready: Callable[[], bool]) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: ready() or self._error is not None, POLL_S)
                if self._error is not None:
                    raise self._error
                if ready():
                    return
            self._meanwhile()

    # -- in the stages' threads ---------------------------------------------------------------------------------------

    def _run(self, number: int) -> None:
        try:
            while (item := self._next_item(number)) is not _END:
                result = self._work[number](item)
                # frames must not stay in memory while this thread waits
                del item
                self._hand_on(number, result)
                del result
        except BaseException as error:
            with self._changed:
                self._error = self._error or error
        finally:
            with self._changed:
                self._queues[number].clear()
                self._running[number] = False
                self._changed.notify_all()

    def _next_item(self, number: int) -> Any:
        """Wait for an item of a stage; _END when none will come, or a stage after it has failed."""
        queue = self._queues[number]
        with self._changed:
            self._changed.wait_for(
                lambda: queue or not self._more_may_come(number) or not self._results_are_used(number)
            )
            if not queue or not self._results_are_used(number):
                return _END
            self._changed.notify_all()
            return queue.popleft()

    def _hand_on(self, number: int, result: Any) -> None:
        """Put a stage's result into the next queue; wait for room, unless a stage after it has failed."""
        after = self._queues[number + 1]
        last = number + 1 == len(self._work)
        with self._changed:
            self._changed.wait_for(lambda: last or len(after) < self._depth or not self._results_are_used(number))
            if self._results_are_used(number):
                after.append(result)
                self._unfinished -= last
                self._changed.notify_all()

    def _more_may_come(self, number: int) -> bool:
        """Whether more items may come to a stage: from the stage before it, or from `put`."""
        return self._running[number - 1] if number else not self._closing

    def _results_are_used(self, number: int) -> bool:
        """Whether all stages after a stage still run, so that its results are used."""
        return all(self._running[number + 1 :])
