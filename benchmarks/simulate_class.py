"""`python -m benchmarks.simulate_class`: how long a class takes on many cores.

Nothing is trained. Run times are drawn from measured ones, and what the grader would do is acted
out: of all that can begin, the run with the most work goes to the first core that is free.
"""

from __future__ import annotations

import argparse
import heapq
import random
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MEASURED_SECONDS = {
    "2C": (2.1,),
    "2D": (2.7,),
    "2E": (8.5,),
    "3G": (15.8,),
    "3G, five of the sweep": (7.9,),
}
"""Of one core: the reference solution's models on MNIST, one run each, with all epochs (AMD EPYC,
AVX-512, 2 cores, torch 2.14.1, Python 3.11.7). Five of the sweep are five epochs of 3G."""

STACKS = 2
CORES = (4, 16, 64)


@dataclass(frozen=True, kw_only=True)
class Class:
    """The class and the workers.

    Attributes:
        workers: how many runs are trained at once.
        further_seed: how likely a model's run is to be followed by one from the next seed.
        seeds: how many a model has at most.
    """

    students: int
    workers: int
    further_seed: float
    seeds: int = 3


@dataclass(frozen=True, kw_only=True)
class Simulated:
    """The outcome, in seconds of workers as fast as the measured core.

    Attributes:
        runs: how many were trained; a stack counts as one.
        work_seconds: of all of them together.
        end_seconds: when the last one ended.
    """

    runs: int
    work_seconds: float
    end_seconds: float


def simulate(wanted: Class, chance: random.Random) -> Simulated:
    """Train a class in which no two students hand in the same model."""
    items = sorted(_draw_items(wanted, chance), reverse=True)
    waiting = [(-expected, number, runs) for number, (expected, runs) in enumerate(items)]
    heapq.heapify(waiting)
    training: list[tuple[float, int, list[float]]] = []
    expected_of = {number: expected for expected, number, _ in waiting}
    ended_at = 0.0
    while waiting or training:
        while waiting and len(training) < wanted.workers:
            _, number, (seconds, *further) = heapq.heappop(waiting)
            heapq.heappush(training, (ended_at + seconds, number, further))
        ended_at, number, further = heapq.heappop(training)
        if further:
            heapq.heappush(waiting, (expected_of[number], number, further))
    every_run = [seconds for _, runs in items for seconds in runs]
    return Simulated(runs=len(every_run), work_seconds=sum(every_run), end_seconds=ended_at)


def _draw_items(wanted: Class, chance: random.Random) -> Iterator[tuple[float, list[float]]]:
    """Yield the expected seconds of each item of each student, and of its runs in order."""
    *models, stack = MEASURED_SECONDS.values()
    for _ in range(wanted.students):
        for model in models:
            runs = [chance.choice(model)]
            while len(runs) < wanted.seeds and chance.random() < wanted.further_seed:
                runs.append(chance.choice(model))
            yield fmean(model), runs
        for _ in range(STACKS):
            yield fmean(stack), list(stack)


def main() -> None:
    """Print a Markdown table with a row for each number of cores."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulate_class")
    parser.add_argument("--students", type=int, default=100)
    parser.add_argument("--cores", type=int, nargs="+", default=CORES)
    parser.add_argument(
        "--further-seed",
        type=float,
        default=0.1,
        help="how likely a run is to be followed by one from the next seed",
    )
    arguments = parser.parse_args()
    print("| cores | the class | hours of one core | busy |")
    print("|---|---|---|---|")
    for cores in arguments.cores:
        wanted = Class(
            students=arguments.students, workers=cores, further_seed=arguments.further_seed
        )
        simulated = simulate(wanted, random.Random(0))
        hours, work = simulated.end_seconds / 3600, simulated.work_seconds / 3600
        print(f"| {cores} | {hours:.2f} h | {work:.1f} | {work / hours / cores:.1%} |")


if __name__ == "__main__":
    main()
