"""Run sections one after another, each within a deadline, and keep a file with all results so far."""

from __future__ import annotations

import json
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memflow_core.disk import Draft

NOT_MEASURED = "not measured"
MOST_CHARACTERS = 600


class MissError(Exception):
    """A result that is wrong. `found`: the numbers, fit for JSON."""

    def __init__(self, sentence: str, found: dict[str, Any]):
        super().__init__(sentence)
        self.found = found


@dataclass(frozen=True)
class Section:
    """A part of the run.

    work     measures it. Returns numbers fit for JSON; raises MissError for those that are wrong.
    needs_s  seconds that it takes; it is left out where fewer are left.
    gate     whether nothing after it counts if it fails.
    """

    name: str
    work: Callable[[], dict[str, Any]]
    needs_s: float
    gate: bool = False


class Record:
    """Results by section, in a file that is whole at any moment.

    deadline_s  seconds from now after which nothing runs any more.
    clean       called after each section.
    """

    def __init__(self, path: Path, deadline_s: float, clean: Callable[[], None] = lambda: None):
        self.path = path
        self.results: dict[str, Any] = {}
        self._started = time.monotonic()
        self._deadline_s = deadline_s
        self._clean = clean
        self._stopped: str | None = None

    @property
    def left_s(self) -> float:
        """Seconds until the deadline."""
        return self._deadline_s - (time.monotonic() - self._started)

    @property
    def failed(self) -> list[str]:
        """Names of the sections that failed."""
        return [name for name, result in self.results.items() if result.get("ok") is False]

    def run(self, sections: Sequence[Section]) -> None:
        """Run sections in their order, and write the file after each one."""
        for section in sections:
            reason = self._stopped or self._too_late(section)
            self.results[section.name] = {NOT_MEASURED: reason} if reason else self._run(section)
            self._write()
            at = time.monotonic() - self._started
            print(f"{at:6.1f} s  {section.name}: {json.dumps(self.results[section.name])[:700]}", flush=True)

    def _too_late(self, section: Section) -> str | None:
        left = self.left_s
        return f"{max(left, 0):.0f} s are left, and it takes {section.needs_s:.0f}." if left < section.needs_s else None

    def _run(self, section: Section) -> dict[str, Any]:
        began = time.monotonic()
        try:
            with interrupted_after(self.left_s):
                result = {"ok": True, **_plain(section.work())}
        # a section may fail by anything that a driver, a compiler or another package raises
        except Exception as error:
            found = _plain(error.found) if isinstance(error, MissError) else {}
            result = {"ok": False, "error": sentence_of(error), **found}
            if not isinstance(error, MissError):
                result["at"] = traceback.format_exc()[-800:]
            if section.gate:
                self._stopped = f"{section.name} failed."
        try:
            self._clean()
        except Exception as error:
            result["after it"] = sentence_of(error)
        return result | {"took_s": round(time.monotonic() - began, 2)}

    def _write(self) -> None:
        with Draft(self.path) as draft:
            draft.file.write((json.dumps(self.results, indent=1) + "\n").encode())
            draft.finish(self.path, replace=True)


def sentence_of(error: BaseException) -> str:
    """What an exception says, on one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else 'no reason given'}"[:MOST_CHARACTERS]


@contextmanager
def interrupted_after(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in this context's Python code after some seconds, where the system has such an alarm."""
    usable = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
    if not usable:
        yield
        return

    def ring(*_: object) -> None:
        raise TimeoutError(f"it took longer than the {seconds:.0f} s that were left.")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.01))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _plain(value: Any) -> Any:
    """A value as JSON reads it back: no NaN, no infinity."""
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else str(value)
    return value if isinstance(value, (str, int, type(None))) else str(value)
