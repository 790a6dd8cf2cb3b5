"""Which runs a verdict takes, with a trainer that answers from a table."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future

import pytest

from grader.errors import GraderError, MachineError, ModelError
from grader.models.spec import LayerSpec, ModelSpec, default_optimizer
from grader.results import EpochResult, TrainingRun
from grader.training.job import TrainingJob
from grader.training.plans import EpochCallback, Round, plan_model, plan_sweep, run_plans

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
    input_shape=(784,),
    counted_epoch="best",
    stop_at_accuracy=None,
)


class TableTrainer:
    """Trains nothing: the accuracy of a job comes from a function of it."""

    def __init__(self, accuracy: Callable[[TrainingJob], float]) -> None:
        self._accuracy = accuracy
        self.jobs: list[TrainingJob] = []

    def submit(self, wanted: Round, on_epochs: Sequence[EpochCallback]):
        return [
            self._train(job, on_epoch) for job, on_epoch in zip(wanted.jobs, on_epochs, strict=True)
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


def run_model(accuracies: dict[int, float], *, every_seed: bool = False, full: bool = False):
    """The seeds that were run for a threshold of 0.975 on 10,000 test images."""
    trainer = TableTrainer(lambda job: accuracies[job.seed])
    plan = plan_model(
        JOB,
        threshold=0.975,
        seeds=(1, 2, 3),
        test_examples=10_000,
        every_seed=every_seed,
        full=full,
    )
    ((_, runs),) = run_plans({"2C": plan}, trainer, lambda *_: None)
    assert [run.seed for run in runs] == [job.seed for job in trainer.jobs]
    return trainer.jobs


@pytest.mark.parametrize(
    ("accuracies", "seeds"),
    [
        ({1: 0.9751}, [1]),
        ({1: 0.9600}, [1]),
        ({1: 0.9745, 2: 0.9760}, [1, 2]),
        ({1: 0.9745, 2: 0.9740, 3: 0.9741}, [1, 2, 3]),
    ],
    ids=["a clear pass", "a clear failure", "met by the second seed", "met by none"],
)
def test_further_seeds_run_only_when_chance_explains_the_shortfall(accuracies, seeds):
    """A clear verdict costs one run, an unclear one up to three."""
    assert [job.seed for job in run_model(accuracies)] == seeds


def test_every_seed_runs_when_asked():
    """--seeds runs all of them, whatever comes out."""
    jobs = run_model({1: 0.99, 2: 0.99, 3: 0.99}, every_seed=True)
    assert [job.seed for job in jobs] == [1, 2, 3]


def test_a_best_epoch_run_may_stop_once_its_verdict_is_clear_unless_full():
    """Clearly past the threshold the verdict of a best-epoch part is certain."""
    assert run_model({1: 0.99})[0].stop_at_accuracy == pytest.approx(0.97806, abs=1e-5)
    assert run_model({1: 0.99}, full=True)[0].stop_at_accuracy is None


def run_sweep(accuracy, reported, *, judged=True):
    trainer = TableTrainer(accuracy)
    plan = plan_sweep(
        JOB,
        epochs=1,
        probabilities=(0.0, 0.5, 1.0),
        reported=reported,
        judged=judged,
        minimum_agreeing=3,
        seeds=(1, 2),
    )
    ((_, runs),) = run_plans({"3G.sweep": plan}, trainer, lambda *_: None)
    return trainer.jobs, runs


def dropout_of(job: TrainingJob) -> object:
    return job.model.layers[0].arguments["p"]


def test_a_sweep_sets_every_dropout_and_trains_the_epochs_it_says():
    """Ten probabilities are ten models."""
    jobs, runs = run_sweep(lambda job: 0.9, (0.9, 0.9, 0.9))
    assert [dropout_of(job) for job in jobs] == [0.0, 0.5, 1.0]
    assert {job.epochs for job in jobs} == {1}
    assert {probability: len(found) for probability, found in runs.items()} == {
        0.0: 1,
        0.5: 1,
        1.0: 1,
    }


def test_only_the_disagreeing_probabilities_of_a_sweep_get_another_seed():
    """What agrees already is not paid for again."""
    jobs, runs = run_sweep(
        lambda job: 0.9 if job.seed == 2 or dropout_of(job) == 0.0 else 0.5,
        (0.9, 0.9, 0.9),
    )
    assert [(job.seed, dropout_of(job)) for job in jobs[3:]] == [(2, 0.5), (2, 1.0)]
    assert len(runs[1.0]) == 2


def test_a_sweep_that_is_not_judged_runs_once():
    """On the practice set the reported values are only shown."""
    jobs, _ = run_sweep(lambda job: 0.1, (0.9, 0.9, 0.9), judged=False)
    assert len(jobs) == 3


@pytest.mark.parametrize(
    "failure", [MachineError("the process was killed"), ModelError("SGD cannot be built")]
)
def test_an_error_ends_its_own_plan_only(failure):
    """One item's lost worker, or model that PyTorch refuses, costs no other item its grade."""

    def accuracy(job: TrainingJob) -> float:
        if job.epochs == 7:
            raise failure
        return 0.99

    def plan(epochs: int):
        job = TrainingJob(**{**vars(JOB), "epochs": epochs})
        return plan_model(
            job, threshold=0.9, seeds=(1,), test_examples=100, every_seed=False, full=False
        )

    plans = {"broken": plan(7), "whole": plan(3)}
    outcomes = dict(run_plans(plans, TableTrainer(accuracy), lambda *_: None))
    assert outcomes["broken"] is failure
    assert outcomes["whole"][0].best_accuracy == 0.99
