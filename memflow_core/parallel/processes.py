"""Run work in P processes on this machine, and hand out what the first of them yields.

    with the caller                              in each process
    credit: make one more item  ------------->  work(group) goes on, in step with the others
    item, done, lost or failed  <-------------  the first process sends items, all send how they end

Processes wait for a credit between two items, never inside one: a caller that takes its time is no silence. When one
process fails, ends or falls silent, all are ended, and the caller gets one sentence.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import pickle
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import TypeVar

import torch
import torch.distributed as dist

from .group import Group
from .worker import CREDIT, DONE, END, FAILED, ITEM, LOST, serve

T = TypeVar("T")

GRACE_S = 3.0  # for the process at fault to say why, after another noticed
END_S = 10.0  # for processes to end by themselves


class ParallelError(RuntimeError):
    """One of the processes of a stream failed, ended or fell silent: one sentence."""


def run(
    work: Callable[[Group], Iterator[T]],
    *,
    processes: int,
    devices: Sequence[str] | None = None,
    timeout_s: float = 300.0,
    ahead: int = 1,
) -> Iterator[T]:
    """Run `work` in several processes of this machine, in step, and yield what the first of them yields.

    work       called in each process with its `Group`, for example a `StreamJob`; it and what it yields are pickled.
    processes  how many; for a model of 12 heads 2, 3, 4 or 6 share evenly.
    devices    one for each process, as `cuda:1`; None: the machine's GPUs in order, or the CPU where there is none.
    timeout_s  a process that others wait for so long counts as silent. More than the longest pause inside an item.
    ahead      items that are made before they are asked for.

    Processes are started by `spawn`: a script that calls this does so under `if __name__ == "__main__"`. Closing the
    iterator ends them. Raises ValueError at once for settings that cannot be, and ParallelError from the iterator.
    """
    if isinstance(processes, bool) or not isinstance(processes, int) or processes < 1:
        raise ValueError(f"processes is {processes!r}, but must be a whole number of at least 1.")
    if not timeout_s > 0:
        raise ValueError(f"timeout_s is {timeout_s!r}, but must be above 0.")
    if not isinstance(ahead, int) or ahead < 0:
        raise ValueError(f"ahead is {ahead!r}, but must be a whole number of at least 0.")
    if not dist.is_available():
        raise ValueError("this torch is built without torch.distributed: install one that has it, or use one process.")
    return _items(_packed(work), _devices_of(processes, devices), timeout_s, ahead)


def _packed(work: Callable) -> bytes:
    """The work as bytes. Raises ValueError where it has none."""
    try:
        return pickle.dumps(work)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ValueError(
            f"the work cannot be sent to other processes: {error}; give a function of a module, or a StreamJob."
        ) from error


def _devices_of(processes: int, devices: Sequence[str] | None) -> list[torch.device]:
    """The device of each process. Raises ValueError where there are too few, or one is not there."""
    gpus = torch.cuda.device_count()
    if devices is None:
        if gpus and gpus < processes:
            raise ValueError(
                f"processes is {processes}, but this machine has {gpus} GPU{'s' * (gpus > 1)}: use at most as many, or "
                f"name a device for each process."
            )
        devices = [f"cuda:{rank}" if gpus else "cpu" for rank in range(processes)]
    if len(devices) != processes:
        raise ValueError(f"devices names {len(devices)}, but there are {processes} processes: name one for each.")
    found = [_device_of(device) for device in devices]
    kinds = {device.type for device in found}
    if len(kinds) > 1 or not kinds <= {"cpu", "cuda"}:
        raise ValueError(f"devices is {list(devices)}, but all must be 'cpu', or all GPUs as 'cuda:0', 'cuda:1'.")
    if kinds == {"cuda"}:
        indices = [device.index for device in found]
        if len(set(indices)) < processes or any(index is None or index >= gpus for index in indices):
            raise ValueError(f"devices is {list(devices)}, but must be different GPUs of the {gpus} that are here.")
    return found


def _device_of(name: str) -> torch.device:
    try:
        return torch.device(name)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"device {name!r} is none: name 'cpu', or GPUs as 'cuda:0'.") from error


def _items(packed: bytes, devices: list[torch.device], timeout_s: float, ahead: int) -> Iterator:
    with tempfile.TemporaryDirectory(prefix="memflow-parallel-") as folder:
        crew = _Crew(packed, devices, timeout_s, Path(folder) / "rendezvous")
        try:
            crew.allow(ahead)
            while True:
                crew.allow(1)
                kind, value = crew.next_report()
                if kind == DONE:
                    break
                yield value
            crew.end()
        finally:
            crew.stop()


class _Crew:
    """The processes, seen from the caller."""

    def __init__(self, packed: bytes, devices: list[torch.device], timeout_s: float, rendezvous: Path):
        self._timeout_s = timeout_s
        context = multiprocessing.get_context("spawn")
        self._lines: list[Connection] = []
        self._processes: list[SpawnProcess] = []
        self._done: set[int] = set()
        for rank, device in enumerate(devices):
            ours, theirs = context.Pipe()
            arguments = (rank, len(devices), device, rendezvous, timeout_s, packed, theirs)
            process = context.Process(target=serve, args=arguments, daemon=True)
            process.start()
            theirs.close()
            self._lines.append(ours)
            self._processes.append(process)

    def allow(self, items: int) -> None:
        """Let every process make so many items more."""
        for line in self._lines:
            # one that has ended is noticed where its reports are read
            with contextlib.suppress(OSError):
                for _ in range(items):
                    line.send(CREDIT)

    def next_report(self) -> tuple[str, object]:
        """Wait for the next item of the first process, or for its end. Raises ParallelError where any has failed."""
        while True:
            ready = wait([*self._lines, *(process.sentinel for process in self._processes)])
            for rank, line in enumerate(self._lines):
                if line not in ready:
                    continue
                kind, value = self._read(line)
                if kind in (FAILED, LOST):
                    raise ParallelError(self._sentence(rank, kind, value))
                if kind == DONE:
                    self._done.add(rank)
                if rank == 0:
                    return kind, value
            for rank, process in enumerate(self._processes):
                if not process.is_alive() and not self._lines[rank].poll():
                    raise ParallelError(self._sentence(rank, LOST, None))

    def _read(self, line: Connection) -> tuple[str, object]:
        try:
            kind, packed = pickle.loads(line.recv_bytes())
        except (EOFError, OSError):
            return LOST, None
        return kind, pickle.loads(packed) if kind == ITEM else packed

    def _sentence(self, rank: int, kind: str, value: object) -> str:
        """What went wrong, by the process at fault: after one has noticed, the others get a moment to report."""
        reports = {rank: (kind, value)}
        until = time.monotonic() + GRACE_S
        while not any(kind == FAILED for kind, _ in reports.values()) and time.monotonic() < until:
            ready = wait([line for other, line in enumerate(self._lines) if other not in reports], timeout=0.1)
            for other, line in enumerate(self._lines):
                if line in ready:
                    found = self._read(line)
                    if found[0] in (FAILED, LOST):
                        reports[other] = found
            if len(reports) == len(self._lines):
                break
        return self._reason(reports)

    def _reason(self, reports: dict[int, tuple[str, object]]) -> str:
        count = len(self._lines)
        for rank, (kind, value) in sorted(reports.items()):
            if kind == FAILED:
                return f"process {rank + 1} of {count} failed: {value}"
        for rank, process in enumerate(self._processes):
            if reports.get(rank) == (LOST, None):
                # its line is closed, so its end is near
                process.join(GRACE_S)
            if process.exitcode is not None:
                how = f"was ended by signal {-process.exitcode}" if process.exitcode < 0 else "ended without a word"
                return f"process {rank + 1} of {count} {how}: start the run again."
        return self._silence([rank for rank in range(count) if rank not in reports])

    def _silence(self, ranks: list[int]) -> str:
        who = f"process {', '.join(str(rank + 1) for rank in ranks)}" if ranks else "a process"
        waited = f"{self._timeout_s:g} s"
        return f"{who} of {len(self._lines)} was silent for {waited}: look at its device, and start the run again."

    def end(self) -> None:
        """Wait until every process says that it is done, and let them go. Raises ParallelError where one does not."""
        until = time.monotonic() + self._timeout_s
        for rank, line in enumerate(self._lines):
            if rank in self._done:
                continue
            if not line.poll(max(0.0, until - time.monotonic())):
                raise ParallelError(self._silence([rank]))
            kind, value = self._read(line)
            if kind != DONE:
                raise ParallelError(self._sentence(rank, kind, value))
        for line in self._lines:
            with contextlib.suppress(OSError):
                line.send(END)
        for process in self._processes:
            process.join(END_S)

    def stop(self) -> None:
        """End the processes that still run."""
        for process in self._processes:
            if process.is_alive():
                process.terminate()
        for process in self._processes:
            process.join(END_S)
            if process.is_alive():
                process.kill()
                process.join()
        for line in self._lines:
            line.close()
