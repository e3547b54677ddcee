"""Workers without ComfyUI: they make tiny films whose colours say what was made from what, and die when told."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from memflow_core.render.driver import Driver
from memflow_core.render.journal import Journal, write_json, write_text

FRAMES_A_PART = 3


def colour(key: str) -> tuple[int, int, int]:
    digest = hashlib.sha256(key.encode()).digest()
    return digest[0], digest[1], digest[2]


def write_film(path: Path, key: str) -> None:
    """A film of one colour, which its key decides."""
    with av.open(path, "w", format="mp4") as file:
        stream = file.add_stream("mpeg4", rate=Fraction(16))
        stream.width = stream.height = 16
        stream.pix_fmt = "yuv420p"
        stream.gop_size = 1
        for _ in range(FRAMES_A_PART):
            frame = av.VideoFrame.from_ndarray(np.full((16, 16, 3), colour(key), np.uint8), format="rgb24")
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))


def frames(path: Path) -> list[bytes]:
    """All decoded frames."""
    with av.open(path) as file:
        return [frame.to_ndarray(format="rgb24").tobytes() for frame in file.decode(video=0)]


class FakeLink:
    """A worker that needs `ticks` looks at its events to make a part. Each state is made from the one before."""

    def __init__(self, name: str, journal: Journal, ticks: int = 2) -> None:
        self.name = name
        self.journal = journal
        self.ticks = ticks
        self.task: Mapping[str, Any] | None = None
        self.left = 0
        self.given: list[str] = []
        self.silent = self.dead = self.ends = self.ended = False
        self.fails: dict[str, str] = {}
        self._said: list[dict[str, Any]] = [{"event": "ready", "pid": 1, "infos": ""}]

    def give(self, task: Mapping[str, Any]) -> None:
        assert self.task is None, "a worker makes one part at a time"
        self.task, self.left = json.loads(json.dumps(task)), self.ticks
        self.given.append(task["key"])

    def events(self) -> list[dict[str, Any]]:
        # its end comes a while after its last word
        self.dead = self.dead or (self.ended and not self._said)
        if self.silent or self.dead:
            return []
        said, self._said = [*self._said, {"event": "beat"}], []
        if self.task is not None and not self.ended:
            self.left -= 1
            said += self._finish() if self.left <= 0 else [{"event": "progress", "key": self.task["key"], "chunk": 1}]
        return said

    def say(self, event: dict[str, Any]) -> None:
        """Have it say something beside."""
        self._said.append(event)

    def _finish(self) -> list[dict[str, Any]]:
        task, self.task = self.task, None
        assert task is not None
        key, log = task["key"], str(self.journal.logs / "x.txt")
        if key in self.fails:
            write_text(Path(log), "why")
            self.ended = self.ends
            failed = {"event": "failed", "key": key, "problem": self.fails[key], "log": log, "final": False}
            return [{**failed, "last": self.ends}]
        before = "" if task["parent"] is None else self.journal.state_of(task["parent"]).read_text()
        write_film(self.journal.parts / f"{key}.mp4", before + key)
        if "memflow_next_moment" in task["graph"]:
            write_text(self.journal.state_of(key), before + key)
        write_json(self.journal.parts / f"{key}.json", {"key": key, "files": [f"{key}.mp4"], "seconds": 1.0})
        return [{"event": "done", "key": key, "seconds": 1.0}]

    def alive(self) -> bool:
        return not self.dead

    def stop(self) -> None:
        self.dead = True


class FakeExecutor:
    """Makes `FakeLink`s; `links` are all that it ever made."""

    def __init__(self, journal: Journal, count: int = 2) -> None:
        self.count = count
        self.journal = journal
        self.links: list[FakeLink] = []
        self.fails: dict[str, str] = {}
        self.ends = False

    def start(self, name: str, slot: int) -> FakeLink:  # noqa: ARG002
        link = FakeLink(name, self.journal)
        link.fails, link.ends = self.fails, self.ends
        self.links.append(link)
        return link

    def close(self) -> None:
        pass

    @property
    def given(self) -> list[str]:
        """Keys of all parts that were given out, in order of the workers."""
        return [key for link in self.links for key in link.given]


def work(driver: Driver, most: int = 5000) -> None:
    """Step a driver to its end. AssertionError if that takes too many steps."""
    for number in range(driver.executor.count):
        if number not in {slot.number for slot in driver.slots}:
            driver.start_worker(number)
    for _ in range(most):
        if driver.finished:
            return
        driver.step()
    raise AssertionError(f"not finished: {driver.live}")
