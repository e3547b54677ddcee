"""Render 24 stories with three shared beginnings while workers are killed, and compare every frame.

    python -m benchmarks.cluster [--kills 10] [--within 12] [--workers 2] [--out DIR] [--steps 1000,500]
                                [--stories 24] [--only plain,alone,one,many,fire]

On the tiny story model:

    plain  one story of 24 seeds in one ComfyUI, each in one piece, as without this command
    alone  the same by one Ray worker, in parts with a moment between two: its overhead over plain
    one    24 stories with three shared beginnings by one Ray worker
    many   the same by several: how it scales
    fire   the same while workers are killed by `kill -9` at random moments, and the driver once

Prints JSON: seconds of each, with (`s`) and without (`work_s`) the start of ComfyUI and Ray, seconds of CPU time of all
its processes with that start (`cpu_s`, on Linux), how many parts were made, and how many films are equal to those of
`one`, frame by frame. Wall times want quiet cores; it says how busy they were.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import av
import torch

from memflow_core.render import failure
from tools.comfy_host import ROOT, Layout
from tools.comfy_server import Server
from tools.command_line import comfyui_folder

from .machine import conditions

BEGINNINGS = ("the meadow lies empty", "the beach lies empty", "nobody is in the city")
SECOND = "a robot walks across the meadow"
ENDS = (
    "a cat walks across the city",
    "the robot returns to the meadow",
    "the meadow lies empty",
    "the beach lies empty",
)
MARK = "MEMFLOW_BENCHMARK"
CHUNKS = 2  # of each prompt


@dataclass(frozen=True)
class Fire:
    """How many workers are killed, at moments that a seed decides, so many seconds apart at most."""

    kills: int
    seed: int
    within_s: float


@dataclass(frozen=True)
class Times:
    """How long a rendering took, with and without its start, in CPU time, and how many parts it made."""

    s: float
    work_s: float
    cpu_s: float
    parts: int


class CpuTime:
    """CPU time of all processes that begin within a context, daemons too.

    They are known by an environment variable, which children inherit; what one does in its last half second is lost.
    """

    def __enter__(self) -> CpuTime:
        os.environ[MARK] = self._mark = f"{os.getpid()}-{time.monotonic_ns()}"
        self._of: dict[str, float] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._ended.set()
        self._thread.join()
        del os.environ[MARK]

    def _watch(self) -> None:
        ticks, mark = os.sysconf("SC_CLK_TCK"), f"{MARK}={self._mark}".encode()
        while not self._ended.wait(0.5):
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    if mark in (process / "environ").read_bytes().split(b"\0"):
                        fields = (process / "stat").read_text().rpartition(")")[2].split()
                        self._of[process.name] = (int(fields[11]) + int(fields[12])) / ticks
                except OSError:
                    # it has ended
                    continue

    @property
    def s(self) -> float:
        return round(sum(self._of.values()), 1)


def write_stories(folder: Path, count: int) -> list[str]:
    """Schedules of four prompts; a third of them begins in each of three ways. Returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(count):
        prompts = [BEGINNINGS[number % 3], SECOND, ENDS[number // 3 % 4], ENDS[(number // 12 + number // 3 + 1) % 4]]
        lines = [f"{CHUNKS * place}c: {prompt}" for place, prompt in enumerate(prompts)]
        path = folder / f"story{number:02}.txt"
        path.write_text("\n".join([f"length: {CHUNKS * len(prompts)}c", *lines]))
        paths.append(str(path))
    return paths


def command(paths: list[str], out: Path, workers: int, *options: str) -> list[str]:
    to = ["--out", str(out), "--workflow", str(ROOT / "workflows" / "tiny_story.json"), "--cluster", f"local:{workers}"]
    return [sys.executable, "-m", "memflow_core.render", *paths, *to, *options]


def render(paths: list[str], out: Path, workers: int, *options: str) -> Times:
    """Render all stories. Raises CalledProcessError unless all were made."""
    begin = time.monotonic()
    with CpuTime() as cpu:
        subprocess.run(command(paths, out, workers, *options), cwd=ROOT, check=True)
    return Times(round(time.monotonic() - begin, 1), work_s(out), cpu.s, made(out))


def render_plain(rendered: Path, out: Path) -> Times:
    """Run the graphs of another rendering one after the other in one ComfyUI, each in one piece."""
    records = [json.loads(path.read_text()) for path in sorted((rendered / ".render" / "jobs").glob("*.json"))]
    out.mkdir(parents=True)
    begin = time.monotonic()
    with CpuTime() as cpu, Server(comfyui_folder(), Layout(ROOT).base) as server:
        started = time.monotonic()
        for record in records:
            problem = failure(server.run(record["graph"]).history)
            if problem is not None:
                raise SystemExit(f"ComfyUI failed: {problem}")
        # its last half second
        time.sleep(1)
        end = time.monotonic() - 1
    return Times(round(end - begin, 1), round(end - started, 1), cpu.s, len(records))


def work_s(out: Path) -> float:
    """Seconds from the begin of the first part to the end of the last."""
    ends = {path: path.stat().st_mtime for path in (out / ".render" / "parts").glob("*.json")}
    begin = min(end - json.loads(path.read_text())["seconds"] for path, end in ends.items())
    return round(max(ends.values()) - begin, 1)


def render_under_fire(paths: list[str], out: Path, workers: int, fire: Fire, *options: str) -> dict[str, int]:
    """Render all stories while workers are killed so many times at random moments, and the driver once."""
    dice = random.Random(fire.seed)
    left, drivers, again = fire.kills, 0, {}
    while True:
        driver = subprocess.Popen(command(paths, out, workers, *options), cwd=ROOT)
        drivers += 1
        kill_driver_at = fire.kills // 2 if drivers == 1 else -1
        while driver.poll() is None:
            time.sleep(dice.uniform(0.5, fire.within_s))
            alive = workers_in(out)
            if left and alive and made(out):
                os.kill(dice.choice(alive), signal.SIGKILL)
                left -= 1
                if left == kill_driver_at:
                    driver.kill()
            # a part that is whole is never made again
            for path in (out / ".render" / "parts").glob("*.json"):
                again.setdefault(path, set()).add(path.stat().st_mtime_ns)
        if driver.wait() == 0:
            twice = sum(len(times) > 1 for times in again.values())
            return {"kills": fire.kills - left, "drivers": drivers, "made_twice": twice}
        if drivers > 2:
            raise SystemExit("the driver ended by itself; its output says why")


def workers_in(out: Path) -> list[int]:
    """Process ids of the workers that work in a folder."""
    listing = subprocess.run(["ps", "-wweo", "pid,args"], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 1) for line in listing.splitlines()[1:]]
    return [int(row[0]) for row in rows if "memflow_core.render.worker" in row[1] and str(out.resolve()) in row[1]]


def made(out: Path) -> int:
    """How many parts are made."""
    return len(list((out / ".render" / "parts").glob("*.json")))


def frames(path: Path) -> list[bytes]:
    with av.open(str(path)) as file:
        return [frame.to_ndarray(format="rgb24").tobytes() for frame in file.decode(video=0)]


def compare(one: Path, other: Path) -> dict[str, int]:
    """How many films two folders have in common by name, and how many of these are equal in every frame."""
    names = sorted({path.name for path in one.glob("*.mp4")} & {path.name for path in other.glob("*.mp4")})
    return {"films": len(names), "equal": sum(frames(one / name) == frames(other / name) for name in names)}


WAYS = ("plain", "alone", "one", "many", "fire")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--within", type=float, default=12, help="seconds between two kills, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--stories", type=int, default=24)
    parser.add_argument("--steps", default="1000, 750, 500, 250", help="denoising steps of each chunk")
    parser.add_argument("--only", default=",".join(WAYS))
    args = parser.parse_args()
    folder = args.out or Path(tempfile.mkdtemp())
    paths = write_stories(folder / "stories", args.stories)
    only = args.only.split(",")
    # as many threads for each worker in all ways: on a CPU, another number rounds sums in another order
    threads = os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // args.workers)))
    steps = ["--set", f"steps={args.steps}"]
    load = [round(os.getloadavg()[0], 1)]
    found: dict[str, Any] = {
        "steps": args.steps,
        "threads": threads,
        "load": load,
        "machine": conditions(torch.device("cpu"))["device"],
    }
    for way in [way for way in ("alone", "plain", "one", "many", "fire") if way in only]:
        out = folder / way
        if way == "alone":
            # seeds of their own: then no two stories begin alike
            found[way] = asdict(render(paths[:1], out, 1, *steps, "--seeds", f"1-{args.stories}"))
        elif way == "plain":
            found[way] = asdict(render_plain(folder / "alone", out))
        elif way == "fire":
            found[way] = render_under_fire(paths, out, args.workers, Fire(args.kills, args.seed, args.within), *steps)
            found[way] |= {"parts": made(out)} | compare(folder / "one", out)
        else:
            found[way] = asdict(render(paths, out, 1 if way == "one" else args.workers, *steps))
            found[way] |= compare(folder / "one", out)
        load.append(round(os.getloadavg()[0], 1))
        print(json.dumps(found, indent=1), flush=True)


if __name__ == "__main__":
    main()
