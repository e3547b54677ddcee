"""All parts of all jobs as one tree, and which of them can be made next."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from .jobs import Job
from .parts import Cut, Part, model_key


@dataclass
class Node:
    """A part with its place in the tree.

    jobs      ids of the jobs that it belongs to.
    children  keys of the parts that go on from it.
    keep      content in which its end is saved for a job's own sake; None if no job asks for that.
    model     which models it needs, as a hash.
    """

    part: Part
    model: str
    jobs: list[str] = field(default_factory=list)
    children: set[str] = field(default_factory=set)
    keep: str | None = None


class Tree:
    """The parts of some jobs; what several jobs begin with is there once.

    nodes   by key, in the order of the jobs.
    paths   keys of each job's parts, in order.
    sounds  key of the part that makes a job's sound, where it has one.
    """

    def __init__(self, cuts: Iterable[tuple[Job, Cut]]) -> None:
        self.nodes: dict[str, Node] = {}
        self.paths: dict[str, list[str]] = {}
        self.sounds: dict[str, str] = {}
        for job, cut in cuts:
            self.paths[job.id] = [part.key for part in cut.parts]
            for part in cut.parts:
                node = self.nodes.setdefault(part.key, Node(part, model_key(part.graph)))
                node.jobs.append(job.id)
                if part.parent is not None:
                    self.nodes[part.parent].children.add(part.key)
            if cut.keep is not None:
                self.nodes[cut.parts[-1].key].keep = cut.keep
            if cut.sound is not None:
                # no model is warm for it
                self.nodes.setdefault(cut.sound.key, Node(cut.sound, "")).jobs.append(job.id)
                self.sounds[job.id] = cut.sound.key

    def needed(self, job: str) -> list[str]:
        """Keys of all parts that a job needs."""
        return [*self.paths[job], *([self.sounds[job]] if job in self.sounds else [])]

    @property
    def shared(self) -> int:
        """How many parts need not be made, since another job begins in the same way."""
        return sum(len(node.jobs) - 1 for node in self.nodes.values())

    def needs_state(self, key: str) -> bool:
        """Whether anything goes on from a part's end, or keeps it."""
        node = self.nodes[key]
        return bool(node.children) or node.keep is not None

    def wanted(self, done: Collection[str], states: Collection[str], live: Collection[str]) -> list[str]:
        """Keys of parts that can be made now, most useful first.

        done    keys of parts that are made.
        states  keys of parts whose state is there.
        live    ids of the jobs that are neither finished nor set aside.
        """
        ready: dict[str, int] = {}
        for job in self.paths:
            if job in live:
                for key in self._next(job, done, states):
                    ready[key] = ready.get(key, 0) + 1
        # what more jobs wait for first; of equals, the part of a story that is further on
        return sorted(ready, key=lambda key: (-ready[key], -self._place(key)))

    def _place(self, key: str) -> int:
        """How far on in its story a part is; sound comes last."""
        return self.needed(self.nodes[key].jobs[0]).index(key)

    def _next(self, job: str, done: Collection[str], states: Collection[str]) -> list[str]:
        """The parts of a job to make now: of its film the first that is missing, or one before it whose state is gone.

        And its sound, which goes first of those that as many jobs wait for: it tells early that it cannot be used.
        """
        place = self._place_to_make(job, done, states)
        sound = [self.sounds[job]] if job in self.sounds and self.sounds[job] not in done else []
        return sound + ([] if place is None else [self.paths[job][place]])

    def _place_to_make(self, job: str, done: Collection[str], states: Collection[str]) -> int | None:
        path = self.paths[job]
        missing = next((place for place, key in enumerate(path) if key not in done), None)
        while missing and path[missing - 1] not in states:
            missing -= 1
        return missing

    def states_to_drop(self, done: Collection[str], states: Collection[str], live: Collection[str]) -> list[str]:
        """Keys of parts whose state no live job goes on from next, and no job keeps."""
        needed = {key for key, node in self.nodes.items() if node.keep is not None}
        for job in live:
            place = self._place_to_make(job, done, states)
            if place:
                needed.add(self.paths[job][place - 1])
        return [key for key in states if key not in needed]
