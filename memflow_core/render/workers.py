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

from .errors import JobError
from .ranks import GPUS
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


def worker_settings(
    name: str, out: Path, installation: Installation, env: Mapping[str, str], ranks: int
) -> dict[str, Any]:
    """What a `worker.Worker` is made from, as JSON."""
    fields = {"installation": asdict(installation), "env": dict(env), "ranks": ranks}
    return {"name": name, "out": str(out.resolve()), **fields}


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
        self._servers: list[int] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            try:
                event = json.loads(line)
            except ValueError:
                continue
            self._servers = event.get("servers", self._servers)
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
        for server in self._servers if self.alive() else ():
            with contextlib.suppress(OSError):
                os.kill(server, signal.SIGTERM if os.name == "nt" else signal.SIGKILL)
        self.process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(30)


def _error_file(settings: Mapping[str, Any]) -> Any:
    folder = Path(settings["out"]) / ".render" / "workers"
    folder.mkdir(parents=True, exist_ok=True)
    return open(folder / f"{settings['name']}.log", "ab")


class ProcessExecutor:
    """Workers as processes on this machine; where there are GPUs, so many each as a story has.

    Raises JobError where there are GPUs, but too few.
    """

    def __init__(self, out: Path, installation: Installation, count: int = 1, gpus_per_story: int = 1) -> None:
        self.count = count
        self._out = out
        self._installation = installation
        self._ranks = gpus_per_story
        needed = count * gpus_per_story
        self._gpus = gpu_names(installation.python) if needed > 1 else []
        if 0 < len(self._gpus) < needed:
            raise JobError(
                f"--processes {count} with --gpus-per-story {gpus_per_story} needs {needed} GPUs, but there are "
                f"{len(self._gpus)}: give fewer."
            )

    def start(self, name: str, slot: int) -> WorkerLink:
        env = {} if "OMP_NUM_THREADS" in os.environ else {"OMP_NUM_THREADS": threads_of(self.count * self._ranks)}
        if self._gpus:
            env[GPUS] = ",".join(self._gpus[slot * self._ranks : (slot + 1) * self._ranks])
        return ProcessWorker(worker_settings(name, self._out, self._installation, env, self._ranks))

    def close(self) -> None:
        pass


def gpu_names(python: str) -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them, by the torch of another Python."""
    ask = "import torch; print(torch.cuda.device_count())"
    said = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=False).stdout.split()
    count = int(said[-1]) if said and said[-1].isdecimal() else 0
    named = [name.strip() for name in os.environ.get(GPUS, "").split(",") if name.strip()]
    return named[:count] if named else [str(number) for number in range(count)]


def threads_of(workers: int) -> str:
    """Threads of each of several workers that share a machine, as OMP_NUM_THREADS has it."""
    return str(max(1, (os.cpu_count() or 1) // workers))
