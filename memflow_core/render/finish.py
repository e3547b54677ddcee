"""Finish a job whose parts are made: one film, or the files of a graph that was run in one piece."""

from __future__ import annotations

import json
import time
from pathlib import Path

from .film import join, lay_under
from .journal import DONE, Journal, Record
from .parts import Cut
from .tags import PLAYED, VIDEOS, tags_of
from .worker import link_or_copy


def finish_job(journal: Journal, record: Record, cut: Cut) -> None:
    """Write a job's files to OUT, and mark it done. Raises JobError or OSError where that fails."""
    if cut.fps:
        record.files = [_film(journal, record, cut)]
        if cut.keep is not None:
            name = f"{record.id}.safetensors"
            link_or_copy(journal.state_of(record.parts[-1]), journal.out / name)
            record.files.append(name)
    else:
        record.files = _all(journal, record)
    record.state, record.problem, record.log, record.finished = DONE, "", "", time.time()


def _film(journal: Journal, record: Record, cut: Cut) -> str:
    films = [journal.parts / _files(journal, key)[0] for key in record.parts]
    target = journal.out / f"{record.id}{films[0].suffix}"
    tags = {"prompt": json.dumps(record.graph)}
    # the last part knows what was played from the story's start
    if played := tags_of(films[-1]).get(PLAYED):
        tags[PLAYED] = played
    if record.workflow is not None:
        tags["workflow"] = json.dumps(record.workflow)
    if record.sound is None:
        record.frames = join(films, target, fps=cut.fps, tags=tags)
        return target.name
    silent = target.with_name(f".silent.{target.name}")
    try:
        record.frames = join(films, silent, fps=cut.fps, tags={})
        sound = journal.parts / _files(journal, record.sound)[0]
        lay_under(sound, silent, target, fps=cut.fps, tags=tags)
    finally:
        silent.unlink(missing_ok=True)
    return target.name


def _all(journal: Journal, record: Record) -> list[str]:
    names = []
    for file in _files(journal, record.parts[0]):
        source = journal.parts / file
        # 000_name.ext: the number only keeps names apart
        own = source.name.partition("_")[2]
        first = source.suffix.lower() in VIDEOS and not names
        target = journal.out / (f"{record.id}{source.suffix}" if first else Path(record.id) / own)
        if target.exists() and not first:
            target = target.with_name(source.name)
        link_or_copy(source, target)
        names.append(target.relative_to(journal.out).as_posix())
    return names


def _files(journal: Journal, key: str) -> list[str]:
    part = journal.part(key)
    assert part is not None
    return part["files"]
