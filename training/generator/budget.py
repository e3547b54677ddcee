"""How many training steps fit into a time that is given."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

_UNTIMED = 3  # first steps of a kind, in which things are compiled and made room for
_TIMED = 200  # of a kind, the last ones


class StepBudget:
    """Steps that fit into `seconds` from now, judged by how long those before took.

    own    share of all steps, the last ones, that train on the model's own roll-outs.
    clock  seconds.
    """

    ROLL_OUT = 2.2  # times as long as another step, until one was timed

    def __init__(self, seconds: float, own: float, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._last = clock()
        self._end = self._last + seconds
        self._own = own
        self._untimed = {False: _UNTIMED, True: _UNTIMED}
        self._taken: dict[bool, deque[float]] = {kind: deque(maxlen=_TIMED) for kind in (False, True)}

    def tick(self, own: bool) -> None:
        """Note that a step is done; own: on roll-outs."""
        now = self._clock()
        if self._untimed[own]:
            self._untimed[own] -= 1
        else:
            self._taken[own].append(now - self._last)
        self._last = now

    def steps(self, done: int) -> int | None:
        """How many steps there are in all, with `done` of them behind; None before any was timed."""
        plain, on_own = (_mean(self._taken[kind]) for kind in (False, True))
        if plain is None and on_own is None:
            return None
        plain = plain if plain is not None else (on_own or 0.0) / self.ROLL_OUT
        on_own = on_own if on_own is not None else plain * self.ROLL_OUT
        left = max(0.0, self._end - self._clock())
        whole = (left + plain * done) / (plain * (1 - self._own) + on_own * self._own)
        if whole * (1 - self._own) < done:
            whole = done + left / on_own
        return max(done, int(whole))


def _mean(values: deque[float]) -> float | None:
    return sum(values) / len(values) if values else None
