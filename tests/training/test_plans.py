"""Many plans run over one trainer."""

import heapq
from concurrent.futures import Future
from dataclasses import replace
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grader.errors import MachineError, ModelError
from grader.models.spec import LayerSpec, ModelSpec, default_optimizer
from grader.training.job import TrainingJob
from grader.training.plans import PlanRunner, Round, run_plans
from tests.support.item_samples import TableTrainer

MODEL = ModelSpec(
    layers=(
        LayerSpec(kind="Dropout", path="0", arguments={"p": 0.5, "inplace": False}),
        LayerSpec(
            kind="Linear",
            path="1",
            arguments={"in_features": 784, "out_features": 10, "bias": True},
        ),
    )
)
JOB = TrainingJob(
    model=MODEL,
    optimizer=default_optimizer(MODEL),
    scheduler=None,
    epochs=10,
    batch_size=32,
    seed=0,
    dataset="mnist",
    dataset_sha256="data",
    input_shape=(784,),
    counted_epoch="best",
    stop_at_accuracy=None,
)


@pytest.mark.parametrize(
    "failure", [MachineError("the process was killed"), ModelError("SGD cannot be built")]
)
def test_error_ends_one_plan(failure):
    """One item's lost worker, or model that PyTorch refuses, costs no other item its grade."""

    def accuracy(job: TrainingJob) -> float:
        if job.epochs == 7:
            raise failure
        return 0.99

    def plan(epochs: int):
        return (yield Round(jobs=[replace(JOB, epochs=epochs)]))

    plans = {"broken": plan(7), "whole": plan(3)}
    outcomes = dict(run_plans(plans, TableTrainer(accuracy), lambda *_: None))
    assert outcomes["broken"] is failure
    assert outcomes["whole"][0].best_accuracy == 0.99


class Machine:
    """Trains in virtual time on some cores, in the order of submission; epochs are seconds."""

    def __init__(self, cores: int) -> None:
        self.now = 0
        self._cores = [0] * cores
        self._number = count()
        self._running: list[tuple[int, int, Future]] = []

    def submit(self, requested, on_epochs):
        futures = []
        for job in requested.jobs:
            end = max(heapq.heappop(self._cores), self.now) + job.epochs
            heapq.heappush(self._cores, end)
            futures.append(Future())
            self._running.append((end, next(self._number), futures[-1]))
        return futures

    def advance(self) -> None:
        """Go on to the next end."""
        self.now, _, future = first = min(self._running)
        self._running.remove(first)
        future.set_result(None)


Students = st.lists(
    st.tuples(st.booleans(), st.lists(st.integers(1, 9), min_size=1, max_size=3)),
    min_size=1,
    max_size=12,
)


@settings(max_examples=200, deadline=None)
@given(students=Students, cores=st.integers(1, 4), known=st.booleans())
def test_nobody_waits_longer_than_fair(students, cores, known):
    """In any order, a student waits for its own work and the others' divided by the cores."""

    def plan(rounds):
        for epochs in rounds:
            yield Round(jobs=[replace(JOB, epochs=epochs)])

    machine = Machine(cores)
    runner = PlanRunner(machine, lambda *_: None, rounds_at_once=cores)
    costs = []
    for number, (is_hostile, rounds) in enumerate(students):
        costs.append([100 * epochs for epochs in rounds] if is_hostile else rounds)
        runner.add(number, plan(costs[-1]), work=sum(costs[-1]), waits_for_all=known and is_hostile)
    ended = {}
    while runner.futures():
        machine.advance()
        ended |= {number: machine.now for number, _ in runner.collect()}
    for number, cost in enumerate(costs):
        others = sum(map(sum, costs)) - sum(cost)
        assert ended[number] <= sum(cost) + others / cores
