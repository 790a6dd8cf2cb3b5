"""`python -m benchmarks`: measure, print Markdown tables, and keep the numbers as JSON."""

from __future__ import annotations

import argparse
import json
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from benchmarks.accuracies import compare_accuracies
from benchmarks.classes import measure_classes
from benchmarks.commands import measure_quick, measure_regrade
from benchmarks.epochs import measure_epochs
from benchmarks.functions import measure_functions
from benchmarks.measuring import Outcome, Settings
from benchmarks.review import measure_review
from benchmarks.sandbox import measure_sandbox
from benchmarks.whole import measure_whole
from grader.training.data_places import DATA_VARIABLE, default_cache_directory
from grader.training.pool import count_cores

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """One thing to measure.

    Attributes:
        title: above its table.
        measure: does it.
        takes_long: so that it is run only if it is named.
    """

    title: str
    measure: Callable[[Settings], Outcome]
    takes_long: bool = False


BENCHMARKS = {
    "epochs": Benchmark(
        title="One epoch with its evaluation, by the course's loop and the grader's",
        measure=measure_epochs,
    ),
    "quick": Benchmark(title="`grade DIR --quick`, cold", measure=measure_quick),
    "regrade": Benchmark(title="`grade DIR` with nothing changed, cold", measure=measure_regrade),
    "review": Benchmark(
        title="The next answer on the page of `grade review`", measure=measure_review
    ),
    "functions": Benchmark(
        title="Calls of student functions by an author's tests", measure=measure_functions
    ),
    "sandbox": Benchmark(title="`import torch` in each sandbox", measure=measure_sandbox),
    "classes": Benchmark(
        title="`grade batch` over classes, and again with nothing changed",
        measure=measure_classes,
        takes_long=True,
    ),
    "whole": Benchmark(
        title="All of `grade reference`, and the course's loop over the same models",
        measure=measure_whole,
        takes_long=True,
    ),
    "accuracies": Benchmark(
        title="Accuracies of both loops", measure=compare_accuracies, takes_long=True
    ),
}


def main() -> None:
    """Run the benchmarks that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"what to measure, of {', '.join(BENCHMARKS)}; by default all but "
        f"{' and '.join(name for name, one in BENCHMARKS.items() if one.takes_long)}, which take "
        "long",
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(os.environ.get(DATA_VARIABLE) or default_cache_directory()),
        help=f"the directory that holds MNIST/raw; {DATA_VARIABLE} or the grader's cache otherwise",
    )
    parser.add_argument(
        "--small", action="store_true", help="on little data, to see whether it runs"
    )
    parser.add_argument("--repetitions", type=int, help="of every measurement, or seeds")
    parser.add_argument(
        "--one-thread",
        action="store_true",
        help="never give the course loop torch's default number of threads: on a machine that is "
        "busy with something else they wait for each other, and the time says nothing",
    )
    parser.add_argument("--output", type=Path, default=Path("reports/benchmarks"))
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.names) - set(BENCHMARKS))
    if unknown:
        parser.error(f"there is no benchmark {', '.join(unknown)}: {', '.join(BENCHMARKS)}")
    settings = Settings(
        data_directory=arguments.data.resolve(),
        small=arguments.small,
        repetitions=arguments.repetitions,
        one_thread=arguments.one_thread,
    )
    print(f"{describe_machine()}\n", flush=True)
    arguments.output.mkdir(parents=True, exist_ok=True)
    for name, benchmark in BENCHMARKS.items():
        if name in arguments.names or not (arguments.names or benchmark.takes_long):
            load_before = os.getloadavg()[0]
            outcome = benchmark.measure(settings)
            print(f"## {benchmark.title}\n\n{outcome.as_markdown()}\n", flush=True)
            record = {
                "machine": describe_machine(),
                "load_average_before": load_before,
                "small": settings.small,
                **outcome.record,
            }
            path = arguments.output / f"{name}.json"
            path.write_text(json.dumps(record, indent=2) + "\n")
    print(f"Every single measurement is in {arguments.output}.")


def describe_machine() -> str:
    """Describe the machine of the measurements."""
    capability = torch.backends.cpu.get_cpu_capability()
    return (
        f"{platform.machine()}, {count_cores()} cores, {capability}, "
        f"torch {torch.__version__}, Python {platform.python_version()}"
    )


if __name__ == "__main__":
    main()
