"""The command: read the stories, render them, tell how far it is, and say at the end what came of it."""

from __future__ import annotations

import argparse
import json
import shlex
import signal
import sys
import time
from pathlib import Path
from typing import Any

from .driver import Driver, Rules
from .errors import JobError
from .jobs import Job, make_jobs, parse_seeds, parse_set, read_story
from .journal import ASIDE, Journal, only_driver, read_json, write_text
from .pages import chunks_of, contact_sheet, dashboard, table, time_left_s, words_of
from .parts import CONTENTS, cut_job
from .scripts import PROMPT_S
from .server import PACK, find_installation
from .workers import Executor, ProcessExecutor

DONE, SOME_ASIDE, WRONG, STOPPED = 0, 1, 2, 130
TEMPLATE = PACK / "workflows" / "official_story.json"
PAGES_EVERY_S = 2.0

HELP = """Render stories in headless ComfyUIs: on this machine, or on many.

STORY is a workflow (as ComfyUI saves it, in its API form, or by MemFlow Export Job), a video that was rendered, a
schedule's text, or a file of scripts. Without any, what was begun in --out goes on.

Exit code: 0 all done, 1 some were set aside, 2 something in what was given is wrong, 130 stopped."""


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m memflow_core.render", description=HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("stories", nargs="*", type=Path, metavar="STORY")
    add("--out", type=Path, default=Path("rendered"), metavar="DIR", help="folder for the results (rendered)")
    add("--seeds", default="", metavar="1,2,5-8", help="make each story once for each of these seeds")
    add(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="another value: length=240, MemFlowMemory.preset=...",
    )
    add("--workflow", type=Path, default=TEMPLATE, metavar="FILE", help="what schedules and scripts are put into")
    add(
        "--prompt-seconds",
        type=float,
        default=PROMPT_S,
        metavar="S",
        help="of each prompt of a script without times (10)",
    )
    add("--cluster", default="", metavar="ADDRESS|local:N", help="on Ray: N workers on this machine, or a cluster's")
    add("--processes", type=int, default=1, metavar="N", help="workers on this machine, without Ray (1)")
    add(
        "--gpus-per-story",
        type=int,
        default=1,
        metavar="P",
        help="GPUs that make one story together: of 12 heads 2, 3, 4 or 6 have an equal share (1)",
    )
    add(
        "--every",
        type=float,
        default=60.0,
        metavar="S",
        help="longest time between two moments, in seconds of film (60)",
    )
    add(
        "--moments",
        choices=CONTENTS,
        default="exact",
        help="what a moment keeps: exact (bit by bit) or compact (small)",
    )
    add("--tries", type=int, default=3, metavar="N", help="errors until a job is set aside (3)")
    add(
        "--silence",
        type=float,
        default=60.0,
        metavar="S",
        help="seconds until a worker that says nothing is replaced (60)",
    )
    add("--stuck", type=float, default=3600.0, metavar="S", help="the same for a part without progress (3600)")
    add("--retry", action="store_true", help="also what was set aside before")
    add("--check", action="store_true", help="only say what would be made, and what is wrong")
    add("--back", type=Path, metavar="RESULT", help="write the workflow of a rendered video or job file, and end")
    add("--comfyui", metavar="DIR", help="the ComfyUI to use (the one that this pack is in, or COMFYUI_PATH)")
    add("--base", metavar="DIR", help="its base directory, with models, input and custom_nodes (its own folder)")
    add("--comfyui-options", default="", metavar="OPTIONS", help="more options for it, as in '--lowvram'")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command. Returns the exit code."""
    given = arguments().parse_args(argv)
    # a plain kill has to stop the workers too
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(STOPPED))
    try:
        if given.back is not None:
            print(write_back(given.back, None if given.out == Path("rendered") else given.out))
            return DONE
        return render(given)
    except JobError as error:
        print(error, file=sys.stderr)
        return WRONG
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return STOPPED


def write_back(result: Path, out: Path | None) -> Path:
    """Write the workflow that a result was made by, beside it or into a folder; for ComfyUI's page to open."""
    story = read_story(result)
    content = story.workflow or story.graph
    if content is None:
        raise JobError(f"{result.name}: it is no result of a workflow: give a video or a job file.")
    target = (out or result.parent) / f"{result.stem}.workflow.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    write_text(target, json.dumps(content, ensure_ascii=False, indent=1))
    return target


def render(given: argparse.Namespace) -> int:
    """Render what the command line asks for."""
    check_numbers(given)
    seeds = parse_seeds(given.seeds) if given.seeds else []
    settings = [parse_set(text) for text in given.set]
    stories = [read_story(path, given.prompt_seconds) for path in given.stories]
    template = read_story(given.workflow)
    journal = Journal(given.out)
    if not stories and not journal.jobs.is_dir():
        raise JobError(f"there is no STORY, and nothing was begun in {given.out}: name a workflow, schedule or script.")
    journal.make()
    installation = find_installation(given.comfyui, given.base, shlex.split(given.comfyui_options))
    rules = Rules(tries=given.tries, silence_s=given.silence, stuck_s=given.stuck)
    with only_driver(journal), Driver(journal, _executor(given, installation), rules, content=given.moments) as driver:
        say("starting ComfyUI")
        infos = read_json(driver.wait_for_infos()) or {}
        jobs = make_jobs(stories, infos, template=template, seeds=seeds, settings=settings) or _begun(journal)
        cuts = [(job, _cut(job, infos, given)) for job in jobs]
        if given.check:
            for job, cut in cuts:
                print(
                    f"{job.id}: {len(cut.parts)} parts", *(f"  {told}" for told in (*job.notes, *cut.notes)), sep="\n"
                )
            return DONE
        for job, cut in cuts:
            for told in (*job.notes, *cut.told):
                say(f"{job.name}: {told}")
        driver.take(cuts, given.retry)
        return _drive(driver, journal)


def check_numbers(given: argparse.Namespace) -> None:
    """Raise JobError for a number that means nothing."""
    if not 1 <= given.gpus_per_story <= 16:
        raise JobError(f"--gpus-per-story is {given.gpus_per_story}, but must be from 1 to 16.")
    for name, low in (
        ("prompt_seconds", 0.1),
        ("every", 0.1),
        ("silence", 2),
        ("stuck", 2),
        ("processes", 1),
        ("tries", 1),
    ):
        if not low <= getattr(given, name) <= 1e9:
            option = name.replace("_", "-")
            raise JobError(f"--{option} is {getattr(given, name):g}, but must be at least {low}.")


def _executor(given: argparse.Namespace, installation: Any) -> Executor:
    if not given.cluster:
        return ProcessExecutor(given.out, installation, given.processes, given.gpus_per_story)
    # loaded only here: Ray is an optional extra
    from .ray_workers import RayExecutor

    return RayExecutor(given.out, installation, given.cluster, given.gpus_per_story)


def _begun(journal: Journal) -> list[Job]:
    """The jobs of an earlier command for the same folder."""
    return [Job(r.id, r.name, r.graph, r.workflow, tuple(r.notes)) for r in journal.records()]


def _cut(job: Job, infos: dict[str, Any], given: argparse.Namespace) -> Any:
    try:
        return cut_job(job.graph, infos, every_s=given.every, content=given.moments, ranks=given.gpus_per_story)
    except JobError as error:
        raise JobError(f"{job.name}: {error}") from None


def _drive(driver: Driver, journal: Journal) -> int:
    begin = time.monotonic()
    for number in range(1, min(driver.executor.count, len(driver.tree.nodes))):
        driver.start_worker(number)
    parts = f"{len(driver.tree.nodes)} parts ({driver.tree.shared} more are shared)"
    say(f"{len(driver.records)} jobs in {parts}; {journal.out}/index.html")
    show = Progress()
    drawn, sheets = 0.0, -1
    try:
        while not driver.finished:
            driver.step()
            if time.monotonic() - drawn > PAGES_EVERY_S:
                drawn = time.monotonic()
                write_text(journal.out / "index.html", dashboard(driver))
                if len(driver.live) != sheets:
                    sheets = len(driver.live)
                    _write_sheet(journal)
            show(driver)
            time.sleep(0.05)
    finally:
        show.close()
        write_text(journal.out / "index.html", dashboard(driver, running=False))
        _write_sheet(journal)
    records = list(driver.records.values())
    print(table(records))
    say(f"done in {words_of(time.monotonic() - begin)}; {journal.out}/sheet.html")
    return SOME_ASIDE if any(record.state == ASIDE for record in records) else DONE


def _write_sheet(journal: Journal) -> None:
    write_text(journal.out / "sheet.html", contact_sheet(journal.records()))


class Progress:
    """Says how far the driver is: one line that is updated on a terminal, else a line for each finished job."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._shown = ""
        self._said = 0
        self._finished: set[str] = set()

    def __call__(self, driver: Driver) -> None:
        for line in driver.lines[self._said :]:
            self._line(line)
        self._said = len(driver.lines)
        ended = set(driver.records) - driver.live
        for id in sorted(ended - self._finished):
            self._line(f"{driver.records[id].state}: {driver.records[id].name} ({len(ended)} of {len(driver.records)})")
        self._finished = ended
        if self._terminal:
            self._update(progress_line(driver))

    def _line(self, text: str) -> None:
        clear = "\r\x1b[K" if self._terminal and self._shown else ""
        say(f"{clear}{text}")
        self._shown = ""

    def _update(self, text: str) -> None:
        if text != self._shown:
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
            self._shown = text

    def close(self) -> None:
        if self._terminal and self._shown:
            print(file=sys.stderr)


def progress_line(driver: Driver, width: int = 24) -> str:
    """One line: a bar of chunks over all jobs, who makes what, and the time left."""
    pairs = [chunks_of(driver, id) for id in driver.records]
    made, total = sum(pair[0] for pair in pairs), sum(pair[1] for pair in pairs)
    filled = width * made // total if total else 0
    left = time_left_s(driver)
    busy = [slot for slot in driver.slots if slot.key is not None]
    names = [
        f"{driver.records[driver.tree.nodes[slot.key].jobs[0]].name[:24]} {slot.progress.get('chunk', 0)}"
        for slot in busy
        if slot.key
    ]
    ends = [f"{words_of(left)} left"] if left is not None else []
    return " | ".join([f"[{'#' * filled}{'.' * (width - filled)}] {made} of {total} chunks", *names, *ends])


def say(text: str) -> None:
    """Print a line beside the results."""
    print(text, file=sys.stderr, flush=True)
