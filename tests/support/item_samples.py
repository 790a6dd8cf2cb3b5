"""Items of set 4 and the context that their checks see, for tests of the kinds of items."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

import torch

from grader.assignment.loading import load_assignment
from grader.errors import GraderError
from grader.grading.items.interface import Context
from grader.grading.options import Options, Setting
from grader.intake.written import WrittenAnswer
from grader.results import EpochResult, TrainingRun
from grader.sandbox.isolation.own_work import OwnWork
from grader.training.data_sources.vision import TorchvisionDataset
from grader.training.datasets import Dataset, Datasets
from grader.training.job import EpochCallback, TrainingJob
from grader.training.plans import Plan, Round, run_plans

ITEMS = dict(load_assignment("set4").item_ids())


def make_context(*, options: Options | None = None, **changes: Any) -> Context:
    """A submission's context on the full MNIST, without the images."""
    setting = Setting(
        assignment=load_assignment("set4"),
        options=options or Options(),
        datasets=Datasets.of(
            Dataset(
                name="mnist",
                sha256="",
                facts=TorchvisionDataset("MNIST").facts(),
                train_inputs=torch.empty(0),
                train_targets=torch.zeros(60_000),
                test_inputs=torch.empty(0),
                test_targets=torch.zeros(10_000),
            )
        ),
        practice=False,
        sandbox=OwnWork(),
        device="cpu",
    )
    usual: dict[str, Any] = {
        "setting": setting,
        "extractions": {},
        "read_written": lambda _file, _below: WrittenAnswer(),
    }
    return Context(**usual | changes)


class TableTrainer:
    """Trains nothing: the accuracy of a job comes from a function of the job."""

    def __init__(self, accuracy: Callable[[TrainingJob], float]) -> None:
        self._accuracy = accuracy
        self.jobs: list[TrainingJob] = []

    def submit(
        self, requested: Round, on_epochs: Sequence[EpochCallback]
    ) -> list[Future[TrainingRun]]:
        """Train every job of a round at once."""
        return [
            self._train(job, on_epoch)
            for job, on_epoch in zip(requested.jobs, on_epochs, strict=True)
        ]

    def _train(self, job: TrainingJob, on_epoch: EpochCallback) -> Future[TrainingRun]:
        self.jobs.append(job)
        future: Future[TrainingRun] = Future()
        try:
            epoch = EpochResult(train_loss=0.1, test_accuracy=self._accuracy(job))
        except GraderError as error:
            future.set_exception(error)
        else:
            on_epoch(1, epoch)
            future.set_result(TrainingRun(seed=job.seed, epochs=(epoch,)))
        return future


def run_plan(
    plan: Plan[Any], accuracy: Callable[[TrainingJob], float]
) -> tuple[list[TrainingJob], Any]:
    """Run one plan; return the jobs in their order, and the plan's outcome."""
    trainer = TableTrainer(accuracy)
    ((_, outcome),) = run_plans({"item": plan}, trainer, lambda *_: None)
    return trainer.jobs, outcome
