"""Several ComfyUIs that make each story together, one stream on several GPUs, and look to a worker like one server.

Each runs the same graph on a GPU of its own, and in MemFlow's samplers they share every pass (`nodes/host/ranks.py`).
All write films; those of the first count, and only the first saves moments.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .convert import Graph
from .errors import JobError
from .server import Installation, Server, failure

GRACE_S = 5.0  # after one has failed, for the one at fault to say why
GPUS = "CUDA_VISIBLE_DEVICES"
LOST = "lost another process of its stream"  # what those say that are not at fault
Outcome = tuple[int, "dict[str, Any] | JobError"]


class RankVariables:
    """Names of the environment variables that tell a ComfyUI with which others it shares streams."""

    COUNT = "MEMFLOW_RANKS"
    RANK = "MEMFLOW_RANK"
    MEETING = "MEMFLOW_MEETING"


class Ranks:
    """ComfyUIs in step. The first one's folders, log and answers are those of all.

    count       how many; 1 is a server alone.
    saves       id of the node that only the first runs.
    in_step     False once a run has failed in some: then no other can be run.
    """

    def __init__(
        self,
        installation: Installation,
        folder: Path,
        env: Mapping[str, str] | None = None,
        *,
        count: int = 1,
        saves: str = "",
    ) -> None:
        self.saves = saves
        self.in_step = True
        self.servers = [
            Server(installation, folder if rank == 0 else folder / f"rank{rank}", env_of_rank(rank, count, folder, env))
            for rank in range(count)
        ]
        self.first = self.servers[0]

    @property
    def pids(self) -> list[int]:
        return [server.pid for server in self.servers if server.pid]

    def start(self) -> None:
        """Start all, and wait until they answer. Raises JobError if one does not."""
        for server in self.servers:
            server.launch()
        for server in self.servers:
            server.wait()

    def launched(self) -> bool:
        return all(server.port for server in self.servers)

    def ended(self) -> bool:
        """Whether any has ended: then none can go on."""
        return any(server.ended() for server in self.servers)

    def answers(self) -> bool:
        return all(server.answers() for server in self.servers)

    def run(self, graph: Graph, on_event: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
        """Run a graph on all, as `Server.run` does; the first one's history, or that of the one at fault."""
        if len(self.servers) == 1:
            return self.first.run(graph, on_event)
        outcomes: queue.Queue[Outcome] = queue.Queue()

        def run(rank: int) -> None:
            own = graph if rank == 0 else {id: node for id, node in graph.items() if id != self.saves}
            try:
                outcomes.put((rank, self.servers[rank].run(own, on_event if rank == 0 else _nothing)))
            except JobError as error:
                outcomes.put((rank, error))

        self.in_step = False
        for rank in range(len(self.servers)):
            threading.Thread(target=run, args=(rank,), daemon=True).start()
        found = self._collected(outcomes)
        wrong = [outcome for outcome in found.values() if _problem(outcome) is not None]
        if self.ended():
            raise JobError(f"one of {len(self.servers)} ComfyUIs ended while they ran the story.")
        if wrong:
            at_fault = min(wrong, key=lambda outcome: LOST in (_problem(outcome) or ""))
            if isinstance(at_fault, JobError):
                raise at_fault
            return at_fault
        self.in_step = True
        return _history(found[0])

    def _collected(self, outcomes: queue.Queue[Outcome]) -> dict[int, dict[str, Any] | JobError]:
        """What came of a run in each; of those that say it in time, once it has failed in one or one has ended."""
        found: dict[int, dict[str, Any] | JobError] = {}
        until: float | None = None
        while len(found) < len(self.servers) and (until is None or time.monotonic() < until):
            try:
                rank, found_there = outcomes.get(timeout=0.2)
                found[rank] = found_there
            except queue.Empty:
                pass
            if until is None and (self.ended() or any(_problem(outcome) is not None for outcome in found.values())):
                until = time.monotonic() + GRACE_S
        return found

    def clear(self) -> None:
        """Remove the films that all but the first have made."""
        for server in self.servers[1:]:
            for path in server.output.rglob("*"):
                if path.is_file():
                    path.unlink()


def _problem(outcome: dict[str, Any] | JobError) -> str | None:
    return str(outcome) if isinstance(outcome, JobError) else failure(outcome)


def _history(outcome: dict[str, Any] | JobError) -> dict[str, Any]:
    assert not isinstance(outcome, JobError), "errors are raised before"
    return outcome


def _nothing(event: dict[str, Any]) -> None:
    pass


def env_of_rank(rank: int, count: int, folder: Path, env: Mapping[str, str] | None) -> dict[str, str]:
    """Environment of one of several ComfyUIs: which it is, and which of the worker's GPUs is its own."""
    own = dict(env or {})
    if count == 1:
        return own
    own |= {
        RankVariables.COUNT: str(count),
        RankVariables.RANK: str(rank),
        RankVariables.MEETING: str(folder / "meeting"),
    }
    gpus = [name for name in own.get(GPUS, os.environ.get(GPUS, "")).split(",") if name]
    if len(gpus) >= count:
        own[GPUS] = gpus[rank]
    return own
