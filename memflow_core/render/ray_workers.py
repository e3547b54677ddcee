"""Workers on Ray: one actor a GPU, or a share of the CPUs where there is none, each with a ComfyUI on loopback.

Ray is an optional extra: `pip install ray`. On a cluster of several machines, this pack, ComfyUI and the folder `--out`
have to be at the same place on each (a shared folder), and Ray restarts nothing itself: that is the driver's business.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import JobError
from .server import PACK, Installation
from .workers import Event, ProcessWorker, WorkerLink, threads_of, worker_settings

WAIT_S = 0.2  # how long an actor waits for something to tell
MISSING = "--cluster needs Ray: `python -m pip install ray`, or use --processes N for workers without it."


class Host:
    """What runs as an actor: it holds a worker's process, which ends with it."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._worker = ProcessWorker(settings)

    def give(self, task: Mapping[str, Any]) -> None:
        self._worker.give(task)

    def events(self) -> tuple[list[Event], bool]:
        """(what was said, whether the worker is alive), after a short wait if there is nothing."""
        end = time.monotonic() + WAIT_S
        while not (found := self._worker.events()) and self._worker.alive() and time.monotonic() < end:
            time.sleep(0.02)
        return found, self._worker.alive()


class RayWorker:
    """The driver's end of an actor."""

    def __init__(self, ray: Any, name: str, actor: Any) -> None:
        self.name = name
        self._ray = ray
        self._actor = actor
        self._asked = actor.events.remote()
        self._alive = True

    def give(self, task: Mapping[str, Any]) -> None:
        self._actor.give.remote(dict(task))

    def events(self) -> list[Event]:
        if not self._alive or not self._ray.wait([self._asked], timeout=0)[0]:
            return []
        try:
            found, self._alive = self._ray.get(self._asked)
        except self._ray.exceptions.RayError:
            self._alive = False
            return []
        self._asked = self._actor.events.remote()
        return found

    def alive(self) -> bool:
        return self._alive

    def stop(self) -> None:
        self._alive = False
        self._ray.kill(self._actor, no_restart=True)


class RayExecutor:
    """Workers on a Ray cluster.

    where  `local:N` for a cluster of N workers within this machine, which ends with this process; or an address.

    Raises JobError if Ray is not installed, or there is no such cluster.
    """

    def __init__(self, out: Path, installation: Installation, where: str, gpus_per_story: int = 1) -> None:
        try:
            import ray
        except ImportError:
            raise JobError(MISSING) from None
        self._ray = ray
        self._out = out
        self._installation = installation
        self._ranks = gpus_per_story
        self.count = self._join(where)

    def _join(self, where: str) -> int:
        kind, _, number = where.partition(":")
        # Ray would send its own news to the terminal, and usage to its makers
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(PACK), os.environ.get("PYTHONPATH")]))
        if kind == "local":
            if not number.isdecimal() or not 1 <= int(number) <= 1024:
                raise JobError(f"--cluster {where}: write local:N with a number of workers, as in local:2.")
            self._ray.init(
                num_cpus=int(number), include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR,
                _node_ip_address="127.0.0.1",
            )  # fmt: skip
            return int(number)
        env = {"env_vars": {"PYTHONPATH": os.environ["PYTHONPATH"]}}
        try:
            self._ray.init(address=where, log_to_driver=False, logging_level=logging.ERROR, runtime_env=env)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise JobError(f"--cluster {where}: there is no Ray cluster ({str(error)[:120]}).") from None
        if 0 < self._gpus < self._ranks:
            raise JobError(f"--gpus-per-story is {self._ranks}, but the cluster has {self._gpus:g}: give fewer.")
        return int(self._gpus) // self._ranks or len([node for node in self._ray.nodes() if node["Alive"]])

    @property
    def _gpus(self) -> float:
        return self._ray.cluster_resources().get("GPU", 0)

    def start(self, name: str, slot: int) -> WorkerLink:  # noqa: ARG002  Ray chooses the GPU
        shares = min(float(self._ranks), self._gpus / self.count)
        env = {} if "OMP_NUM_THREADS" in os.environ else {"OMP_NUM_THREADS": threads_of(self.count * self._ranks)}
        settings = worker_settings(name, self._out, self._installation, env, self._ranks)
        actor = self._ray.remote(Host).options(num_cpus=1, num_gpus=shares, max_restarts=0).remote(settings)
        return RayWorker(self._ray, name, actor)

    def close(self) -> None:
        self._ray.shutdown()
