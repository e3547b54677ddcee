"""The journal of a rendering: what is on disk so that whoever starts again goes on where it was.

    OUT/                      finished films, one a job; index.html, the dashboard; sheet.html, the contact sheet
    OUT/.render/jobs/         one record a job, as JSON
    OUT/.render/parts/        films, first pictures and states by key; KEY.json, written last, says a part is whole
    OUT/.render/logs/         why a part failed
    OUT/.render/workers/      folders of the workers' ComfyUIs
    OUT/.render/lock          held while a driver runs

Every file is written whole or not at all, whatever is killed. A power cut may empty one: it counts as not there, and
what it stood for is made again.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .errors import JobError

WAITING, DONE, ASIDE = "waiting", "done", "set aside"


@dataclass
class Record:
    """What is known of a job.

    state     WAITING, DONE or ASIDE.
    parts     keys of its parts, in order.
    sound     key of the part that makes its sound, if it has one.
    files     of the result, below OUT.
    problem   why it was set aside, one sentence; log: where more stands, below OUT.
    """

    id: str
    name: str
    graph: dict[str, Any]
    workflow: dict[str, Any] | None = None
    notes: list[str] = field(default_factory=list)
    state: str = WAITING
    parts: list[str] = field(default_factory=list)
    sound: str | None = None
    files: list[str] = field(default_factory=list)
    problem: str = ""
    log: str = ""
    frames: int = 0
    finished: float = 0.0


class Journal:
    """The folder of one rendering."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.root = out / ".render"
        self.jobs = self.root / "jobs"
        self.parts = self.root / "parts"
        self.logs = self.root / "logs"
        self.workers = self.root / "workers"

    def make(self) -> None:
        """Make the folders. Raises JobError where that cannot be."""
        try:
            for folder in (self.jobs, self.parts, self.logs, self.workers):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise JobError(f"--out {self.out}: the folder cannot be made ({error.strerror}): name another.") from None

    # -- jobs ---------------------------------------------------------------------------------------------------------

    def save(self, record: Record) -> None:
        write_json(self.jobs / f"{record.id}.json", {"version": 1, **asdict(record)})

    def load(self, id: str) -> Record | None:
        """The record of a job; None if there is none that can be read."""
        value = read_json(self.jobs / f"{id}.json")
        if value is None or value.pop("version", None) != 1:
            return None
        return Record(**{name: value[name] for name in Record.__dataclass_fields__ if name in value})

    def records(self) -> list[Record]:
        """Records of all jobs that were ever given for this folder, by id."""
        found = [self.load(path.stem) for path in sorted(self.jobs.glob("*.json"))]
        return [record for record in found if record is not None]

    # -- parts --------------------------------------------------------------------------------------------------------

    def part(self, key: str) -> dict[str, Any] | None:
        """What a finished part left; None while it is not whole."""
        return read_json(self.parts / f"{key}.json")

    def state_of(self, key: str) -> Path:
        """The state file of the moment at a part's end."""
        return self.parts / f"{key}.safetensors"

    def picture_of(self, key: str) -> Path:
        """The first picture of a part."""
        return self.parts / f"{key}.jpg"


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write JSON to a file, whole or not at all."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=1))


def write_text(path: Path, text: str) -> None:
    """Write text to a file, whole or not at all."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    with open(draft, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(draft, path)


def read_json(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file; None if there is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


@contextmanager
def only_driver(journal: Journal, wait_s: float = 5.0) -> Iterator[None]:
    """Hold the folder's lock, which the system lets go when this process ends. Raises JobError if another holds it."""
    with open(journal.root / "lock", "a+b") as file:
        deadline = time.monotonic() + wait_s
        while not _lock(file):
            if time.monotonic() > deadline:
                raise JobError(f"--out {journal.out}: another memflow render works in this folder: name another.")
            time.sleep(0.1)
        yield


def _lock(file: Any) -> bool:
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
