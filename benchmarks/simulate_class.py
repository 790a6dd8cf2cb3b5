"""`python -m benchmarks.simulate_class`: how long a large class takes on a cluster.

Nothing is trained. Run times are drawn from measured ones and divided by an assumed speed of the
workers, and what the grader would do is acted out: of all that can begin, the run with the most
work goes to the first worker that is free.
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
    "2C": (9.8, 14.0, 13.7, 11.8, 13.3),
    "2D": (18.6, 11.7, 11.5, 11.1, 10.9),
    "2E": (37.1, 36.9, 64.4, 63.9, 45.6),
    "3G": (88.6, 144.3, 177.9, 127.4, 153.4),
    "3G, a stack of five of the sweep": (30.0,),
}
"""Of one core: the reference solution's models on MNIST, seeds 1 to 5, every epoch (AMD EPYC, 2
cores that did other work too, torch 2.14.1, Python 3.11.7). A stack is 5 x 6.00 s, the median of
docs/performance.md."""

STACKS = 2
SPEEDS = (1, 2, 5, 10, 20)


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
    """Print a Markdown table with a row for each speed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulate_class")
    parser.add_argument("--students", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=100, help="runs trained at once")
    parser.add_argument(
        "--further-seed",
        type=float,
        default=0.1,
        help="how likely a run is to be followed by one from the next seed",
    )
    arguments = parser.parse_args()
    simulated = simulate(Class(**vars(arguments)), random.Random(0))
    print(
        f"{arguments.students:,} students, {simulated.runs:,} runs, "
        f"{simulated.work_seconds / 3600:,.0f} hours of one core; {arguments.workers:,} workers "
        f"are busy {simulated.work_seconds / simulated.end_seconds / arguments.workers:.2%} of "
        "the time.\n"
    )
    print("| a worker is as fast as … cores | a run of 3G | the class |")
    print("|---|---|---|")
    for speed in SPEEDS:
        seconds, hours = fmean(MEASURED_SECONDS["3G"]) / speed, simulated.end_seconds / 3600 / speed
        print(f"| {speed} | {seconds:.0f} s | {hours:.1f} h |")


if __name__ == "__main__":
    main()
