"""A worker: one process with one ComfyUI, or several that make each story together. It runs parts that it is given.

    python -m memflow_core.render.worker SETTINGS

Tasks come as lines of JSON on standard input, events go as lines of JSON to standard output. When standard input ends,
so do the worker and its ComfyUI. While ComfyUI answers, a beat goes out every second, and so silence means trouble.

Events: ready, beat, progress {key, chunk, chunks, part of a whole}, done {key}, failed {key, problem, log, final,
last: whether the worker ends now}.
"""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .convert import Graph
from .errors import JobError, RefusedError
from .film import check_sound, first_picture
from .journal import Journal, write_json, write_text
from .parts import SAVED, SOUND, state_name
from .ranks import Ranks
from .server import Installation, failure, traceback_of
from .tags import VIDEOS

BEAT_S = 1.0
_STATE = re.compile(r"(memflow_states/.+\.safetensors) \[output\]: ")
_CHUNK = re.compile(r"chunk (\d+)(?: of (\d+))?")


class Worker:
    """Runs tasks on a ComfyUI of its own.

    settings  {name, out, installation: fields of Installation, env, ranks: how many ComfyUIs make a story together}.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.name = settings["name"]
        self.journal = Journal(Path(settings["out"]))
        installation = settings["installation"]
        installation = Installation(**{**installation, "options": tuple(installation["options"])})
        self.ranks = Ranks(
            installation,
            self.journal.workers / self.name,
            settings.get("env"),
            count=settings.get("ranks", 1),
            saves=SAVED,
        )
        self.server = self.ranks.first
        self._speaking = threading.Lock()
        self._last_progress = 0.0
        self._is_ready = False
        self._runs = 0

    def say(self, event: str, **more: Any) -> None:
        with self._speaking:
            print(json.dumps({"event": event, **more}), flush=True)

    def start(self) -> None:
        """Start ComfyUI and write down what nodes it has."""
        threading.Thread(target=self._beat, daemon=True).start()
        self.ranks.start()
        infos = self.journal.workers / f"{self.name}.infos.json"
        write_text(infos, json.dumps(self.server.request("/object_info")))
        self._is_ready = True
        self.say("ready", pid=os.getpid(), servers=self.ranks.pids, infos=str(infos))

    def _beat(self) -> None:
        while True:
            # while ComfyUI starts, the process alone shows that something goes on
            starting = not self._is_ready and (not self.ranks.launched() or not self.ranks.ended())
            if starting or self.ranks.answers():
                self.say("beat")
            time.sleep(BEAT_S)

    def run(self, task: Mapping[str, Any]) -> None:
        """Make one part: {key, graph, parent, stream}. Says done, or failed."""
        try:
            self._run(task)
        except JobError as error:
            if self.ranks.ended():
                # a new ComfyUI is a new worker's business
                self.say("failed", key=task["key"], problem=str(error), log=str(self.server.log), died=True)
                sys.exit(1)
            self._fail(task, str(error), "", final=isinstance(error, RefusedError))
        self.ranks.clear()
        if not self.ranks.in_step:
            # some wait within the run for those that have failed
            sys.exit(1)

    def _run(self, task: Mapping[str, Any]) -> None:
        key, begin = task["key"], time.monotonic()
        history = self._run_from(task, task.get("parent"))
        problem = failure(history)
        if problem is not None:
            self._fail(task, problem, traceback_of(history))
            return
        files = self._take(task, history)
        write_json(
            self.journal.parts / f"{key}.json",
            {"key": key, "files": files, "seconds": round(time.monotonic() - begin, 3), "worker": self.name},
        )
        self.say("done", key=key, seconds=time.monotonic() - begin)

    def _run_from(self, task: Mapping[str, Any], parent: str | None) -> dict[str, Any]:
        """Run a task's graph with the moment before it at the place where the graph looks for it."""
        if parent is None:
            return self.ranks.run(self._fresh(task), lambda event: self._progress(task["key"], event))
        places = [server.output / "memflow_states" / state_name(parent) for server in self.ranks.servers]
        try:
            for place in places:
                link_or_copy(self.journal.state_of(parent), place)
            return self._run_from(task, None)
        finally:
            for place in places:
                place.unlink(missing_ok=True)

    def _fresh(self, task: Mapping[str, Any]) -> Graph:
        """A task's graph; that of a part with a name that no run had, or ComfyUI would not make it a second time."""
        graph, stream = copy.deepcopy(task["graph"]), task.get("stream")
        if stream is not None:
            self._runs += 1
            graph[stream]["inputs"]["filename_prefix"] += f"_{self._runs}"
        return graph

    def _take(self, task: Mapping[str, Any], history: Mapping[str, Any]) -> list[str]:
        """Move what a run wrote to the folder of parts. Returns names below it: the film first, if there is one."""
        key, stream = task["key"], task.get("stream")
        if SOUND in task["graph"]:
            return [self._take_sound(key, history)]
        if stream is None:
            return self._take_all(key, history)
        films = [path for path in map(self._path_of, _files(history)) if path.suffix.lower() in VIDEOS]
        films = [path for path in films if path.is_file()]
        if len(films) != 1:
            raise JobError(f"the run left {len(films)} films, but one was expected.")
        target = self.journal.parts / f"{key}{films[0].suffix.lower()}"
        move(films[0], target)
        first_picture(target, self.journal.picture_of(key))
        # the ending alone may be another number
        states = sorted((self.server.output / "memflow_states" / "render").glob(f"{key}_*.safetensors"))
        if states:
            move(states[-1], self.journal.state_of(key))
        return [target.name]

    def _take_sound(self, key: str, history: Mapping[str, Any]) -> str:
        files = [self._path_of(file) for file in _files({"outputs": {SOUND: history["outputs"].get(SOUND, {})}})]
        if len(files) != 1:
            raise JobError(f"the audio has {len(files)} clips, but must be one.")
        check_sound(files[0])
        target = self.journal.parts / f"{key}{files[0].suffix}"
        # a later run may be served from ComfyUI's cache
        link_or_copy(files[0], target)
        return target.name

    def _take_all(self, key: str, history: Mapping[str, Any]) -> list[str]:
        """Link everything that a graph wrote that is run as it is: a later one may be served from ComfyUI's cache."""
        written = [path for path in map(self._path_of, _files(history)) if path.is_file()]
        written += [self.server.output / name for name in _states(history)]
        names = []
        for number, path in enumerate(sorted(set(written), key=lambda path: path.suffix.lower() not in VIDEOS)):
            target = self.journal.parts / key / f"{number:03}_{path.name}"
            link_or_copy(path, target)
            names.append(f"{key}/{target.name}")
            if target.suffix.lower() in VIDEOS and not self.journal.picture_of(key).exists():
                first_picture(target, self.journal.picture_of(key))
        return names

    def _path_of(self, file: Mapping[str, str]) -> Path:
        return self.server.folder / file["type"] / file["subfolder"] / file["filename"]

    def _progress(self, key: str, event: Mapping[str, Any]) -> None:
        more: dict[str, Any] = {}
        if event["type"] == "progress_text":
            if found := _CHUNK.match(event["data"]["text"]):
                more = {"chunk": int(found[1]), "chunks": int(found[2] or 0)}
        elif event["type"] == "progress_state" and time.monotonic() - self._last_progress > 0.5:
            running = [node for node in event["data"]["nodes"].values() if node["state"] == "running"]
            more = {"share": running[0]["value"] / running[0]["max"]} if running and running[0]["max"] > 1 else {}
        if more:
            self._last_progress = time.monotonic()
            self.say("progress", key=key, **more)

    def _fail(self, task: Mapping[str, Any], problem: str, trace: str, final: bool = False) -> None:
        log = self.journal.logs / f"{task['key']}.{time.time():.0f}.txt"
        tail = self.server.log.read_text(errors="replace")[-20_000:]
        write_text(log, f"{problem}\n\n{trace}\n\n-- end of the log of {self.name} --\n{tail}")
        last = not self.ranks.in_step
        self.say("failed", key=task["key"], problem=problem, log=str(log), final=final, last=last)


def _files(history: Mapping[str, Any]) -> list[dict[str, str]]:
    lists = [value for output in history["outputs"].values() for value in output.values() if isinstance(value, list)]
    return [item for items in lists for item in items if isinstance(item, dict) and "filename" in item]


def _states(history: Mapping[str, Any]) -> list[str]:
    """Files of states among a run's outputs, below the output folder: MemFlow Save State says their names as text."""
    texts = [text for output in history["outputs"].values() for text in output.get("text") or ()]
    return [found[1] for text in texts if isinstance(text, str) and (found := _STATE.match(text))]


def link_or_copy(source: Path, target: Path) -> None:
    """Put a file at another place too, without a copy where the disk allows it. Raises JobError if it is gone."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise JobError(f"the state {source.name} of the part before is gone: it is made again.") from None
    except OSError:
        shutil.copyfile(source, target)


def move(source: Path, target: Path) -> None:
    """Move a file, whole or not at all, also to another disk."""
    try:
        os.replace(source, target)
    except OSError:
        draft = target.with_name(f".{target.name}.unfinished")
        shutil.copyfile(source, draft)
        os.replace(draft, target)
        source.unlink()


def main() -> None:
    worker = Worker(json.loads(sys.argv[1]))
    try:
        worker.start()
    except JobError as error:
        worker.say("broken", problem=str(error))
        sys.exit(1)
    tasks: list[str] = []
    there = threading.Condition()

    def listen() -> None:
        for line in sys.stdin:
            with there:
                tasks.append(line)
                there.notify()
        # the driver has ended; ComfyUI goes with this process
        os._exit(1)

    threading.Thread(target=listen, daemon=True).start()
    while True:
        with there:
            there.wait_for(lambda: bool(tasks))
            line = tasks.pop(0)
        worker.run(json.loads(line))


if __name__ == "__main__":
    main()
