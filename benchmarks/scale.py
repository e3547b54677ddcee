"""Simulate a service that makes many stories at once: waiting, work that deaths cost, and what moments cost.

    python -m benchmarks.scale [--seed 0] [--stories 20000] [--out docs/scale]

Arrivals are Poisson, lengths of stories log-normal, workers die at random, and a story goes on from its last moment.
Work is counted in FLOP, never timed: a worker is a number of FLOP a second that it keeps up. The page: docs/scale.md.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

# counted: python -m benchmarks.stream --size 1.3b --count, and the Wan 2.1 VAE's decoder on meta tensors
GENERATOR_TFLOP, DECODER_TFLOP = 160.6, 40.5  # a chunk, 832 x 480, bank of 3
CHUNK_S = 0.75
CONTEXT_PASS = 1 / 5  # of a chunk's generator work: one pass of its five
REBUILD_PASSES = 10  # to go on from a compact state: 5 to 10
RATED_TFLOPS = 989.0  # an H100 SXM in bf16, dense, as its maker rates it
COMPACT_GB, EXACT_GB = 0.015, 5.8  # a state; exact with the Wan decoder's carry
FILM_MBIT_S = 2.0  # H.264 at 832 x 480, crf 18, moving noise


@dataclass(frozen=True)
class Service:
    """What is assumed of a service.

    workers      GPUs, one story at a time each.
    kept_up      share of the rated FLOP/s that a worker keeps up over all of a chunk.
    median_s     median length of a story, in seconds of film; spread: sigma of its logarithm.
    days_between_deaths  of one worker; restart_s: until another has loaded its models.
    moment_s     seconds of film between two moments; exact: whether their states are exact.
    load         of the workers by the stories alone, from 0 to 1.
    """

    workers: int = 68
    kept_up: float = 0.4
    median_s: float = 60.0
    spread: float = 0.8
    days_between_deaths: float = 7.0
    restart_s: float = 120.0
    moment_s: float = 60.0
    exact: bool = False
    load: float = 0.85

    @property
    def speed(self) -> float:
        """Seconds of film that a worker makes in a second."""
        return CHUNK_S * RATED_TFLOPS * self.kept_up / (GENERATOR_TFLOP + DECODER_TFLOP)

    @property
    def rebuild_s(self) -> float:
        """Seconds that it takes to go on from a moment."""
        work = 0.0 if self.exact else REBUILD_PASSES * CONTEXT_PASS * GENERATOR_TFLOP
        return work / (RATED_TFLOPS * self.kept_up)

    @property
    def mean_s(self) -> float:
        """Mean length of a story in seconds of film."""
        return self.median_s * math.exp(self.spread**2 / 2)


@dataclass(frozen=True)
class Outcome:
    """What a simulation found. wait_*: seconds until a story begins; lost, rebuilt: shares of all work."""

    wait_median_s: float
    wait_95_s: float
    wait_99_s: float
    lost: float
    rebuilt: float
    busy: float
    deaths: int


def simulate(service: Service, stories: int, seed: int) -> Outcome:
    """Simulate first come, first served. The same seed gives the same stories, whatever the service is."""
    arrivals, lengths, deaths = random.Random(seed), random.Random(seed + 1), random.Random(seed + 2)
    rate = service.load * service.workers * service.speed / service.mean_s
    free = [0.0] * service.workers
    now, waits = 0.0, []
    useful = lost = rebuilt = 0.0
    died = 0
    for _ in range(stories):
        now += arrivals.expovariate(rate)
        start = max(now, heapq.heappop(free))
        work = lengths.lognormvariate(math.log(service.median_s), service.spread) / service.speed
        spent, again, times = _make(service, work, deaths)
        waits.append(start - now)
        heapq.heappush(free, start + spent)
        useful, lost, rebuilt, died = useful + work, lost + again, rebuilt + spent - work - again, died + times
    waits.sort()
    total = useful + lost + rebuilt
    end = max(free)
    return Outcome(
        wait_median_s=_quantile(waits, 0.5),
        wait_95_s=_quantile(waits, 0.95),
        wait_99_s=_quantile(waits, 0.99),
        lost=lost / total,
        rebuilt=rebuilt / total,
        busy=total / (end * service.workers),
        deaths=died,
    )


def _make(service: Service, work: float, deaths: random.Random) -> tuple[float, float, int]:
    """(seconds in all, seconds that deaths cost, deaths) for a story of so many seconds of work."""
    step = service.moment_s / service.speed
    until_death = deaths.expovariate(1 / (service.days_between_deaths * 86400))
    spent = again = 0.0
    died = 0
    while work > 0:
        part = min(step, work) + (service.rebuild_s if spent else 0.0)
        if until_death >= part:
            spent, until_death, work = spent + part, until_death - part, work - step
            continue
        # what was made since the last moment is made again, by a worker that has to load its models
        spent, again = spent + until_death + service.restart_s, again + until_death + service.restart_s
        until_death = deaths.expovariate(1 / (service.days_between_deaths * 86400))
        died += 1
    return spent, again, died


def _quantile(values: Sequence[float], share: float) -> float:
    return values[min(len(values) - 1, int(share * len(values)))]


# -- plain sums -------------------------------------------------------------------------------------------------------


def gpus_for(stories: int, service: Service) -> float:
    """Workers that so many stories at 16 frames a second keep busy, rebuilding at moments included."""
    return stories / service.speed * (1 + service.rebuild_s * service.speed / service.moment_s)


def gpu_s_a_minute(service: Service) -> float:
    """Seconds of a GPU for a minute of film."""
    return 60 * gpus_for(1, service)


def storage_gb_s(stories: int, service: Service) -> tuple[float, float]:
    """(states, films) in GB a second that so many stories write."""
    state = EXACT_GB if service.exact else COMPACT_GB
    return stories * state / service.moment_s, stories * FILM_MBIT_S / 8000


# -- pictures ---------------------------------------------------------------------------------------------------------

Curve = tuple[str, Sequence[tuple[float, float]]]
_COLOURS = ("#2a6fdb", "#c4471d", "#2c8a4b", "#8a4fb5")
_W, _H, _LEFT, _TOP = 640, 360, 64, 40


def plot(title: str, across: str, up: str, curves: Sequence[Curve]) -> str:
    """An SVG of curves over a linear scale from zero."""
    points = [point for _, line in curves for point in line]
    (x0, x1), y1 = (min(x for x, _ in points), max(x for x, _ in points)), max(y for _, y in points) or 1.0

    def place(x: float, y: float) -> tuple[float, float]:
        wide, high = _W - _LEFT - 24, _H - _TOP - 56
        return round(_LEFT + wide * (x - x0) / (x1 - x0), 1), round(_TOP + high * (1 - y / y1), 1)

    parts = [f'<text x="{_LEFT}" y="22" font-size="15">{title}</text>']
    for mark in range(5):
        x, y = place(x0 + (x1 - x0) * mark / 4, 0)[0], place(x0, y1 * mark / 4)[1]
        parts.append(f'<line x1="{_LEFT}" y1="{y}" x2="{_W - 24}" y2="{y}" stroke="#8884"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">{y1 * mark / 4:.3g}</text>')
        parts.append(f'<text x="{x}" y="{_H - 36}" text-anchor="middle">{x0 + (x1 - x0) * mark / 4:.3g}</text>')
    for number, (name, line) in enumerate(curves):
        colour = _COLOURS[number]
        drawn = " ".join(f"{x},{y}" for x, y in (place(*point) for point in line))
        parts.append(f'<polyline points="{drawn}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="{_LEFT + 12}" y="{_TOP + 16 + 18 * number}" fill="{colour}">{name}</text>')
    parts.append(f'<text x="{(_LEFT + _W) / 2}" y="{_H - 12}" text-anchor="middle">{across}</text>')
    parts.append(f'<text x="14" y="{_H / 2}" transform="rotate(-90 14 {_H / 2})" text-anchor="middle">{up}</text>')
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_W} {_H}" font-family="sans-serif" font-size="12">'
    body = "\n".join(parts)
    return f'{head}\n<rect width="100%" height="100%" fill="#fff"/>\n{body}\n</svg>\n'


def pictures(stories: int, seed: int) -> dict[str, str]:
    """SVGs by name: waiting over load, work lost over deaths, cost of moments over their distance."""
    base = Service()
    loads = (0.6, 0.7, 0.8, 0.85, 0.9, 0.94, 0.97)
    waits = {load: simulate(replace(base, load=load), stories, seed) for load in loads}
    waiting: list[Curve] = [
        ("median", [(100 * load, found.wait_median_s) for load, found in waits.items()]),
        ("19 of 20 wait less", [(100 * load, found.wait_95_s) for load, found in waits.items()]),
        ("99 of 100", [(100 * load, found.wait_99_s) for load, found in waits.items()]),
    ]
    days = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0)
    lost: list[Curve] = []
    for name, moment in (("a moment every 60 s", 60.0), ("every 10 s", 10.0), ("none", 1e9)):
        made = [simulate(replace(base, days_between_deaths=day, moment_s=moment), stories, seed) for day in days]
        lost.append((name, [(24 * day, 100 * found.lost) for day, found in zip(days, made, strict=True)]))
    distances = (5.0, 10.0, 20.0, 40.0, 60.0, 120.0)
    compact = [(s, 100 * replace(base, moment_s=s).rebuild_s * base.speed / s) for s in distances]
    return {
        "waiting": plot("Waiting for a worker, 68 workers", "load of the workers, %", "seconds", waiting),
        "deaths": plot("Work that deaths cost", "hours between two deaths of a worker", "% of all work", lost),
        "moments": plot("Work to go on from compact moments", "seconds of film between moments", "% of all work",
                        [("10 passes each", compact)]),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--stories", type=int, default=20_000)
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parents[1] / "docs" / "scale")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for name, svg in pictures(args.stories, args.seed).items():
        (args.out / f"{name}.svg").write_text(svg)
    rows = []
    for kept_up in (0.25, 0.4, 0.55):
        service = replace(Service(), kept_up=kept_up)
        rows.append({"kept_up": kept_up, "speed": service.speed, "gpus": gpus_for(10_000, service),
                     "gpu_s_a_minute": gpu_s_a_minute(service)})  # fmt: skip
    exact = replace(Service(), exact=True)
    found = {
        "sums": rows,
        "storage_compact": storage_gb_s(10_000, Service()),
        "storage_exact": storage_gb_s(10_000, exact),
        "by_load": {
            load: asdict(simulate(replace(Service(), load=load), args.stories, args.seed)) for load in (0.7, 0.85, 0.94)
        },
        "by_days": {
            days: asdict(simulate(replace(Service(), days_between_deaths=days), args.stories, args.seed))
            for days in (0.1, 1.0, 7.0)
        },
    }
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
