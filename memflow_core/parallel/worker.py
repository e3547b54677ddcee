"""One process of a stream: join the group, do the work item by item, report to the caller."""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import signal
import threading
import traceback
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import torch
import torch.distributed as dist

from .group import GroupLost
from .join import join_group

CREDIT, END = "credit", "end"  # from the caller
ITEM, DONE, LOST, FAILED = "item", "done", "lost", "failed"  # to the caller


def serve(
    rank: int, size: int, device: torch.device, rendezvous: Path, timeout_s: float, packed: bytes, line: Connection
) -> None:
    """Body of one process; ends when the work is done and the caller has let it go.

    rendezvous  a file that is not there yet, by which the processes find one another.
    packed      the work, pickled.
    line        credits come from there, reports go there.
    """
    # a Ctrl-C reaches all processes of a terminal: the caller ends them
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    outbox = _Outbox(line)
    try:
        if device.type == "cpu":
            torch.set_num_threads(max(1, (os.cpu_count() or 1) // size))
        group = join_group(rank, size, device, meeting=rendezvous, timeout_s=timeout_s)
        for item in _in_step(line, pickle.loads(packed)(group)):
            if rank == 0:
                outbox.put(ITEM, pickle.dumps(item))
        outbox.put(DONE, None)
    except GroupLost as error:
        outbox.put(LOST, str(error))
    except _CallerGone:
        return
    except Exception as error:  # whatever a model, a device or a file may raise: the caller is told, the log has it all
        traceback.print_exc()
        outbox.put(FAILED, _sentence_of(error))
    outbox.flush()
    # not before the others are through with what they exchange
    with contextlib.suppress(EOFError, OSError):
        while line.recv() != END:
            pass
        dist.destroy_process_group()


class _CallerGone(Exception):
    """The caller has ended."""


def _in_step(line: Connection, items: Iterator) -> Iterator:
    """The items of some work, each after a credit for it."""
    while True:
        try:
            line.recv()
        except (EOFError, OSError) as error:
            raise _CallerGone from error
        try:
            item = next(items)
        except StopIteration:
            return
        yield item


def _sentence_of(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


class _Outbox:
    """Sends reports from a thread, so that a caller who does not read yet holds nothing up."""

    def __init__(self, line: Connection):
        self._line = line
        self._waiting: queue.Queue[bytes] = queue.Queue()
        threading.Thread(target=self._send, daemon=True).start()

    def put(self, kind: str, value: object) -> None:
        self._waiting.put(pickle.dumps((kind, value)))

    def flush(self) -> None:
        """Wait until everything is sent."""
        self._waiting.join()

    def _send(self) -> None:
        while True:
            report = self._waiting.get()
            # a caller that has ended needs no report
            with contextlib.suppress(OSError):
                self._line.send_bytes(report)
            self._waiting.task_done()
