"""Workers as the driver sees them, and the kind that are processes on this machine.

Others (`ray_workers`) have the same methods: `give` a task, take `events`, ask whether one is `alive`, `stop` it.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from .server import PACK, Installation

Event = dict[str, Any]


class WorkerLink(Protocol):
    """The driver's end of a worker."""

    name: str

    def give(self, task: Mapping[str, Any]) -> None:
        """Send a task. It is no error if the worker has died: `alive` will tell."""
        ...

    def events(self) -> list[Event]:
        """What the worker has said since the last call. Never waits."""
        ...

    def alive(self) -> bool: ...

    def stop(self) -> None:
        """End it and its ComfyUI at once, whatever it does."""
        ...


class Executor(Protocol):
    """Makes workers. count: how many there are at the most."""

    count: int

    def start(self, name: str, slot: int) -> WorkerLink: ...

    def close(self) -> None: ...


def worker_settings(name: str, out: Path, installation: Installation, env: Mapping[str, str]) -> dict[str, Any]:
    """What a `worker.Worker` is made from, as JSON."""
    return {"name": name, "out": str(out.resolve()), "installation": asdict(installation), "env": dict(env)}


class ProcessWorker:
    """A worker that is a child of this process, and ends with it."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.name = settings["name"]
        path = os.pathsep.join(part for part in (str(PACK), os.environ.get("PYTHONPATH")) if part)
        self.process = subprocess.Popen(
            [settings["installation"]["python"], "-m", "memflow_core.render.worker", json.dumps(settings)],
            env={**os.environ, "PYTHONPATH": path}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=_error_file(settings), text=True, start_new_session=True,
        )  # fmt: skip
        self._events: queue.Queue[Event] = queue.Queue()
        self._server = 0
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            try:
                event = json.loads(line)
            except ValueError:
                continue
            self._server = event.get("server", self._server)
            self._events.put(event)

    def give(self, task: Mapping[str, Any]) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.write(json.dumps(task) + "\n")
            self.process.stdin.flush()

    def events(self) -> list[Event]:
        found = []
        while not self._events.empty():
            found.append(self._events.get())
        return found

    def alive(self) -> bool:
        return self.process.poll() is None

    def stop(self) -> None:
        # a stopped process takes no other signal; a hanging ComfyUI does not see that its worker has ended
        if self.alive() and self._server:
            with contextlib.suppress(OSError):
                os.kill(self._server, signal.SIGTERM if os.name == "nt" else signal.SIGKILL)
        self.process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(30)


def _error_file(settings: Mapping[str, Any]) -> Any:
    folder = Path(settings["out"]) / ".render" / "workers"
    folder.mkdir(parents=True, exist_ok=True)
    return open(folder / f"{settings['name']}.log", "ab")


class ProcessExecutor:
    """Workers as processes on this machine; where there are several GPUs, one each."""

    def __init__(self, out: Path, installation: Installation, count: int = 1) -> None:
        self.count = count
        self._out = out
        self._installation = installation

    def start(self, name: str, slot: int) -> WorkerLink:
        env = {"OMP_NUM_THREADS": threads_of(self.count)}
        if self.count > 1:
            env["CUDA_VISIBLE_DEVICES"] = str(slot)
        # what the person who started this has set stays
        env = {name: value for name, value in env.items() if name not in os.environ}
        return ProcessWorker(worker_settings(name, self._out, self._installation, env))

    def close(self) -> None:
        pass


def threads_of(workers: int) -> str:
    """Threads of each of several workers that share a machine, as OMP_NUM_THREADS has it."""
    return str(max(1, (os.cpu_count() or 1) // workers))
