"""The driver: hands parts to workers, notices when one dies or falls silent, and finishes jobs.

Each part that is given out is on a lease, which every word of its worker renews. A worker that has died, or has been
silent for too long, is ended and replaced; its part goes to whoever is free, from the moment before.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import JobError
from .finish import finish_job
from .jobs import Job
from .journal import ASIDE, DONE, WAITING, Journal, Record
from .parts import Cut, runnable
from .tree import Tree
from .workers import Event, Executor, WorkerLink

BROKEN_STARTS = 3  # for each worker, starts in a row that the worker itself says have failed
LOST_STARTS = 10  # the same of workers that are gone before they were ready


@dataclass(frozen=True)
class Rules:
    """When to give up.

    tries      errors of a part until its jobs are set aside.
    deaths     ComfyUIs that end over a part until then, which may be its fault.
    kills      workers that die, or are silent, over a part until then: most often somebody else's doing.
    silence_s  seconds without a word of a worker.
    start_s    the same while it starts: a busy disk reads a program for minutes.
    stuck_s    seconds without progress of a part.
    """

    tries: int = 3
    deaths: int = 6
    kills: int = 30
    silence_s: float = 60.0
    start_s: float = 900.0
    stuck_s: float = 3600.0


@dataclass
class Slot:
    """A worker and its lease.

    heard   when it said anything last; moved: when its part went on.
    key     of the part that it makes; None while it is free.
    warm    hashes of the models that it has loaded.
    ends    whether it has said that it ends, and gets no more parts.
    fell    whether it has said that its ComfyUI has ended, or does not start.
    """

    number: int
    link: WorkerLink
    heard: float
    moved: float
    ready: bool = False
    key: str | None = None
    warm: set[str] = field(default_factory=set)
    progress: dict[str, Any] = field(default_factory=dict)
    made: int = 0
    pid: int = 0
    ends: bool = False
    fell: bool = False


class Driver:
    """Renders jobs with the workers of an executor.

    `step` does what can be done now; call it until `finished`. A context manager, which ends the workers.
    """

    def __init__(
        self,
        journal: Journal,
        executor: Executor,
        rules: Rules | None = None,
        *,
        content: str = "exact",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self.journal = journal
        self.executor = executor
        self.rules = rules or Rules()
        self.content = content
        self.slots: list[Slot] = []
        self.records: dict[str, Record] = {}
        self.cuts: dict[str, Cut] = {}
        self.tree = Tree(())
        self.failures: dict[str, list[str]] = {}
        self.deaths: dict[tuple[str, bool], int] = {}
        self.lines: list[str] = []
        self.rate: list[tuple[int, float]] = []
        self._done: set[str] = set()
        self._states: set[str] = set()
        self._serial = 0
        self._broken = 0

    def __enter__(self) -> Driver:
        return self

    def __exit__(self, *exc: object) -> None:
        for slot in self.slots:
            slot.link.stop()
        self.executor.close()

    # -- workers ------------------------------------------------------------------------------------------------------

    def start_worker(self, number: int) -> Slot:
        """Start the worker of a slot, under a name that none had before."""
        self._serial += 1
        name = f"w{number}-{int(time.time())}-{self._serial}"
        slot = Slot(number, self.executor.start(name, number), self._clock(), self._clock())
        self.slots = [other for other in self.slots if other.number != number] + [slot]
        return slot

    def wait_for_infos(self, number: int = 0) -> Path:
        """Start the worker of a slot, and wait until one is ready there; the file with the nodes of its ComfyUI.

        One that is killed meanwhile is replaced. Raises JobError if it says that ComfyUI does not start, or if too
        many are gone.
        """
        slot = self.start_worker(number)
        while True:
            for event in slot.link.events():
                self._hear(slot, event)
                if event["event"] == "ready":
                    return Path(event["infos"])
                if event["event"] == "broken":
                    raise JobError(event["problem"])
            if not slot.link.alive() or self._clock() - slot.heard > self._patience(slot):
                slot = self._replace(slot, "ended while it started")
            time.sleep(0.05)

    # -- jobs ---------------------------------------------------------------------------------------------------------

    def take(self, jobs: Sequence[tuple[Job, Cut]], retry: bool = False) -> None:
        """Take on jobs, and what the journal knows of them. retry: also those that were set aside before."""
        self.tree = Tree(jobs)
        for job, cut in jobs:
            known = self.journal.load(job.id)
            record = known or Record(job.id, job.name, job.graph, job.workflow, [*job.notes, *cut.notes])
            record.parts = self.tree.paths[job.id]
            record.sound = self.tree.sounds.get(job.id)
            if record.state == ASIDE and retry:
                record.state, record.problem, record.log = WAITING, "", ""
            if record.state == DONE and not all((self.journal.out / file).is_file() for file in record.files):
                record.state = WAITING
            self.records[job.id], self.cuts[job.id] = record, cut
            self.journal.save(record)
        self._done = {key for key in self.tree.nodes if self._is_whole(key)}
        self._states = {key for key in self._done if self.journal.state_of(key).is_file()}
        self._finish_jobs()

    def _is_whole(self, key: str) -> bool:
        part = self.journal.part(key)
        return part is not None and all((self.journal.parts / name).is_file() for name in part["files"])

    def is_made(self, key: str) -> bool:
        """Whether a part is made."""
        return key in self._done

    @property
    def live(self) -> set[str]:
        """Ids of the jobs that are neither finished nor set aside."""
        return {id for id, record in self.records.items() if record.state == WAITING}

    @property
    def finished(self) -> bool:
        return not self.live

    # -- one step -----------------------------------------------------------------------------------------------------

    def step(self) -> None:
        """Hear all workers, replace those that are gone, and give parts to those that are free. Never waits."""
        for slot in list(self.slots):
            for event in slot.link.events():
                self._hear(slot, event)
            self._check(slot)
        self._give()

    def _hear(self, slot: Slot, event: Event) -> None:
        slot.heard = self._clock()
        kind = event["event"]
        if kind == "ready":
            slot.ready, slot.pid = True, event["pid"]
        elif kind == "progress" and event["key"] == slot.key:
            slot.moved = slot.heard
            slot.progress.update(event)
        elif kind == "done" and event["key"] == slot.key:
            self._part_done(slot, event)
        elif kind == "failed" and event["key"] == slot.key and not event.get("died"):
            slot.key, slot.progress, slot.ends = None, {}, event.get("last", False)
            self._failed(event["key"], event["problem"], event["log"], final=event["final"])
        elif kind == "failed":
            slot.fell = event.get("died", False)
        elif kind == "broken":
            slot.fell = True
            self.lines.append(f"{slot.link.name}: {event['problem']}")

    def _check(self, slot: Slot) -> None:
        now = self._clock()
        if not slot.link.alive():
            # its last words may have come in between
            for event in slot.link.events():
                self._hear(slot, event)
            self._replace(slot, "has died")
        elif now - slot.heard > self._patience(slot):
            self._replace(slot, f"was silent for {self._patience(slot):g} s")
        elif slot.key is not None and now - slot.moved > self.rules.stuck_s:
            self._replace(slot, f"made no progress for {self.rules.stuck_s:g} s")

    def _patience(self, slot: Slot) -> float:
        """Seconds for which a worker may be silent."""
        return self.rules.silence_s if slot.ready else max(self.rules.start_s, self.rules.silence_s)

    def _replace(self, slot: Slot, why: str) -> Slot:
        """End a worker, whose part goes to another, and start one in its place. Raises JobError where none starts."""
        slot.link.stop()
        self._count_start(slot, why)
        key = slot.key
        if key is not None and self._is_whole(key):
            # it died between its last write and its last word
            self._part_done(slot, {})
        elif key is not None:
            self.lines.append(f"{slot.link.name} {why}; its part goes to another.")
            count = self.deaths[key, slot.fell] = self.deaths.get((key, slot.fell), 0) + 1
            if count >= (self.rules.deaths if slot.fell else self.rules.kills):
                self._set_aside(key, f"{count} workers died while they made a part of it.", str(self._log(slot)))
        return self.start_worker(slot.number)

    def _count_start(self, slot: Slot, why: str) -> None:
        """Count workers in a row that are gone before they have made anything. Raises JobError for too many."""
        self._broken = 0 if slot.made or slot.ready else self._broken + 1
        most = (BROKEN_STARTS if slot.fell else LOST_STARTS) * self.executor.count
        if self._broken >= most:
            raise JobError(f"{self._broken} workers in a row {why} before they were ready; see {self.journal.workers}.")

    def _log(self, slot: Slot) -> Path:
        return self.journal.workers / slot.link.name / "comfyui.log"

    def _part_done(self, slot: Slot, event: Mapping[str, Any]) -> None:
        key = slot.key
        assert key is not None
        slot.key, slot.progress = None, {}
        slot.made += 1
        self._broken = 0
        self._done.add(key)
        if self.journal.state_of(key).is_file():
            self._states.add(key)
        first, last = self.tree.nodes[key].part.chunks
        if event:
            self.rate.append((last - first, event["seconds"]))
        self._finish_jobs()

    def _failed(self, key: str, problem: str, log: str, *, final: bool) -> None:
        self.failures.setdefault(key, []).append(problem)
        if key not in self._done and self.tree.nodes[key].part.parent is not None:
            # perhaps its state is gone or damaged: look again
            parent = self.tree.nodes[key].part.parent
            if parent in self._states and not self.journal.state_of(parent).is_file():
                self._states.discard(parent)
        if final or len(self.failures[key]) >= self.rules.tries:
            self._set_aside(key, problem, log)

    def _set_aside(self, key: str, problem: str, log: str) -> None:
        for id in self.tree.nodes[key].jobs:
            record = self.records[id]
            if record.state == WAITING:
                record.state, record.problem = ASIDE, problem
                record.log = _below(log, self.journal.out)
                self.journal.save(record)
                self.lines.append(f"{record.name} is set aside: {problem}")

    def _give(self) -> None:
        free = [slot for slot in self.slots if slot.ready and slot.key is None and not slot.ends]
        if not free:
            return
        running = {slot.key for slot in self.slots}
        wanted = [key for key in self.tree.wanted(self._done, self._states, self.live) if key not in running]
        for slot in free:
            if not wanted:
                return
            key = next((key for key in wanted if self.tree.nodes[key].model in slot.warm), wanted[0])
            wanted.remove(key)
            self._lease(slot, key)

    def _lease(self, slot: Slot, key: str) -> None:
        node = self.tree.nodes[key]
        content = node.keep if not node.children else self.content
        graph = runnable(node.part, content if self.tree.needs_state(key) else None)
        slot.key, slot.progress = key, {}
        slot.heard = slot.moved = self._clock()
        slot.warm.add(node.model)
        slot.link.give({"key": key, "graph": graph, "parent": node.part.parent, "stream": node.part.stream})

    def _finish_jobs(self) -> None:
        for id in self.live:
            if all(key in self._done for key in self.tree.needed(id)):
                record = self.records[id]
                try:
                    finish_job(self.journal, record, self.cuts[id])
                except (JobError, OSError) as error:
                    record.state, record.problem = ASIDE, str(error)
                self.journal.save(record)
        for key in self.tree.states_to_drop(self._done, self._states, self.live):
            self._states.discard(key)
            self.journal.state_of(key).unlink(missing_ok=True)


def _below(path: str, folder: Path) -> str:
    """A path as seen from a folder, where it is in it."""
    try:
        return Path(path).resolve().relative_to(folder.resolve()).as_posix()
    except ValueError:
        return path
