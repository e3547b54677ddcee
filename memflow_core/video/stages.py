"""Stages in threads: each works on one item while the stage before it works on the next.

Items keep their order, and few of them exist at once: a stage that is slower than those before it makes them wait.
"""

from __future__ import annotations

import contextvars
import threading
from collections import deque
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

WAIT_S = 0.1  # how often whoever waits for the stages looks up

Work = Callable[[Any], Any]
_NONE = object()


class Pipeline:
    """One item after another through all stages; without stages, an item is finished when it is put.

    As a context manager it closes at the end, and stops on an exception.

    stages     what is done with an item, by the name of the stage's thread. What one returns goes to the next; what
               the last returns is to be taken by `take`.
    depth      how many items may wait before each stage, beside the one that it works on.
    meanwhile  called every WAIT_S while `put`, `settle` or `close` waits; may raise, to wait no longer.

    All methods are for one thread. An exception out of a stage ends that stage and those before it, and comes out of
    the next call of `put`, `check`, `settle` or `close`; stages behind it finish what they were handed.
    """

    def __init__(self, stages: Mapping[str, Work], depth: int = 1, meanwhile: Callable[[], None] = lambda: None):
        if depth < 1:
            raise ValueError(f"depth is {depth}, but at least 1 item must be able to wait before a stage.")
        self._work, self._depth, self._meanwhile = list(stages.values()), depth, meanwhile
        self._changed = threading.Condition()
        # the last is what is finished
        self._waiting: list[deque[Any]] = [deque() for _ in range(len(stages) + 1)]
        # items that were put and are not finished
        self._under_way = 0
        self._closing = False
        self._error: BaseException | None = None
        # what a stage runs in, as ComfyUI knows by it which node is running
        self._running = [True] * len(stages)
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
        """Hand an item to the first stage; waits for room."""
        if self._closing:
            raise ValueError("the pipeline is closed: it takes no more items.")
        self._wait_until(lambda: not self._threads or len(self._waiting[0]) < self._depth)
        with self._changed:
            self._waiting[0].append(item)
            self._under_way += bool(self._threads)
            self._changed.notify_all()

    def take(self) -> list[Any]:
        """What is finished and was not taken yet, in order. Never waits."""
        with self._changed:
            finished = list(self._waiting[-1])
            self._waiting[-1].clear()
        return finished

    def check(self) -> None:
        """Raise what a stage raised, if any did. Never waits."""
        with self._changed:
            if self._error is not None:
                raise self._error

    def settle(self) -> None:
        """Wait until every item is finished, so that no stage works on anything."""
        self._wait_until(lambda: not self._under_way)

    def close(self) -> None:
        """Take no more items, wait until all are finished, and end the threads."""
        self._take_no_more()
        self._wait_until(lambda: not any(self._running))
        self.stop()

    def stop(self) -> None:
        """Take no more items and end the threads; what was put is finished first, except by stages that failed.

        Raises nothing: `check` tells what went wrong.
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
                self._changed.wait_for(lambda: ready() or self._error is not None, WAIT_S)
                if self._error is not None:
                    raise self._error
                if ready():
                    return
            self._meanwhile()

    # -- in the stages' threads ---------------------------------------------------------------------------------------

    def _run(self, number: int) -> None:
        try:
            while (item := self._receive(number)) is not _NONE:
                result = self._work[number](item)
                # pictures must not stay while this thread waits
                del item
                self._hand_on(number, result)
                del result
        except BaseException as error:
            with self._changed:
                self._error = self._error or error
        finally:
            with self._changed:
                self._waiting[number].clear()
                self._running[number] = False
                self._changed.notify_all()

    def _receive(self, number: int) -> Any:
        """Wait for an item; _NONE when none will come, or nobody wants what would become of it."""
        waiting = self._waiting[number]
        with self._changed:
            self._changed.wait_for(lambda: waiting or not self._may_come(number) or not self._wanted(number))
            if not waiting or not self._wanted(number):
                return _NONE
            self._changed.notify_all()
            return waiting.popleft()

    def _hand_on(self, number: int, result: Any) -> None:
        after = self._waiting[number + 1]
        last = number + 1 == len(self._work)
        with self._changed:
            self._changed.wait_for(lambda: last or len(after) < self._depth or not self._wanted(number))
            if self._wanted(number):
                after.append(result)
                self._under_way -= last
                self._changed.notify_all()

    def _may_come(self, number: int) -> bool:
        """Whether anything puts items before a stage."""
        return self._running[number - 1] if number else not self._closing

    def _wanted(self, number: int) -> bool:
        """Whether there is any use in what a stage makes: all those behind it go on."""
        return all(self._running[number + 1 :])
