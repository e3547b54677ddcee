"""Render 24 stories with three shared beginnings while workers are killed, and compare every frame.

    python -m benchmarks.cluster [--kills 10] [--cluster local:2] [--out DIR]

Runs the command three times on the tiny story model: one worker; two workers; two workers that are killed at random
moments, and the driver once. Prints JSON. Wall times want quiet cores.
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
import time
from pathlib import Path

import av

ROOT = Path(__file__).resolve().parents[1]
BEGINNINGS = ("the meadow lies empty", "the beach lies empty", "nobody is in the city")
SECOND = "a robot walks across the meadow"
ENDS = (
    "a cat walks across the city",
    "the robot returns to the meadow",
    "the meadow lies empty",
    "the beach lies empty",
)
STORIES = 24
CHUNKS = 2  # of each prompt


def write_stories(folder: Path) -> list[str]:
    """Schedules of four prompts; a third of them begins in each of three ways. Returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(STORIES):
        prompts = [BEGINNINGS[number % 3], SECOND, ENDS[number // 3 % 4], ENDS[(number // 12 + number // 3 + 1) % 4]]
        lines = [f"{CHUNKS * place}c: {prompt}" for place, prompt in enumerate(prompts)]
        path = folder / f"story{number:02}.txt"
        path.write_text("\n".join([f"length: {CHUNKS * len(prompts)}c", *lines]))
        paths.append(str(path))
    return paths


def command(paths: list[str], out: Path, *options: str) -> list[str]:
    tiny = str(ROOT / "workflows" / "tiny_story.json")
    return [sys.executable, "-m", "memflow_core.render", *paths, "--out", str(out), "--workflow", tiny, *options]


def render(paths: list[str], out: Path, *options: str) -> float:
    """Render all stories; seconds. Raises CalledProcessError unless all were made."""
    begin = time.monotonic()
    subprocess.run(command(paths, out, *options), cwd=ROOT, check=True)
    return time.monotonic() - begin


def render_under_fire(paths: list[str], out: Path, kills: int, seed: int, *options: str) -> dict[str, int]:
    """The same, while workers are killed so many times at random moments, and the driver once."""
    dice = random.Random(seed)
    left, drivers = kills, 0
    while True:
        driver = subprocess.Popen(command(paths, out, *options), cwd=ROOT)
        drivers += 1
        kill_driver_at = kills // 2 if drivers == 1 else -1
        while driver.poll() is None:
            time.sleep(dice.uniform(2, 12))
            workers = workers_in(out)
            if left and workers and made(out):
                os.kill(dice.choice(workers), signal.SIGKILL)
                left -= 1
                if left == kill_driver_at:
                    driver.kill()
        if driver.wait() == 0:
            return {"kills": kills - left, "drivers": drivers}
        if drivers > 2:
            raise SystemExit("the driver ended by itself; its output says why")


def workers_in(out: Path) -> list[int]:
    """Process ids of the workers that work in a folder."""
    listing = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cluster", default="local:2")
    parser.add_argument("--out", type=Path, default=None)
    args = parser.parse_args()
    folder = args.out or Path(tempfile.mkdtemp())
    paths = write_stories(folder / "stories")
    found: dict[str, object] = {}
    found["one_worker_s"] = render(paths, folder / "one")
    found["two_workers_s"] = render(paths, folder / "two", "--cluster", args.cluster)
    found["two_equal"] = compare(folder / "one", folder / "two")
    found["fire"] = render_under_fire(paths, folder / "fire", args.kills, args.seed, "--cluster", args.cluster)
    found["fire_equal"] = compare(folder / "one", folder / "fire")
    found["parts"] = {name: made(folder / name) for name in ("one", "two", "fire")}
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
