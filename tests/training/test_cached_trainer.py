"""The cached trainer: each run is trained once, by a pool that starts only when needed."""

from concurrent.futures import Future
from contextlib import contextmanager
from itertools import chain

import pytest

from grader.errors import MachineError
from grader.results import EpochResult, TrainingRun
from grader.training.cached_trainer import CachedTrainer
from grader.training.plans import Round
from grader.training.run_cache import RunCache
from tests.support.specs import mlp
from tests.support.training_samples import training_job

JOBS = [training_job(mlp(8), seed=seed) for seed in (1, 2)]
RUNS = [
    TrainingRun(seed=seed, epochs=(EpochResult(train_loss=0.5, test_accuracy=0.9),))
    for seed in (1, 2)
]


class Pool:
    """Keeps the futures it gave, for the test to end."""

    def __init__(self) -> None:
        self.stacks = []
        self.budgets = []
        self.futures = []

    def submit_stacked(self, jobs, on_epochs=None, *, budget):
        self.stacks.append(list(jobs))
        self.budgets.append(budget)
        self.futures.append([Future() for _ in jobs])
        return self.futures[-1]


@pytest.fixture
def pool():
    return Pool()


@pytest.fixture
def make_trainer(pool, tmp_path):
    """Make trainers that share a cache directory, over a pool that trains nothing."""

    @contextmanager
    def start_pool():
        yield pool

    def make(*, use_cache=True):
        cache = RunCache(tmp_path) if use_cache else None
        return CachedTrainer(start_pool=start_pool, cache=cache)

    return make


def submit(trainer, requested):
    return trainer.submit(requested, [lambda *epoch: None for _ in requested.jobs])


@pytest.mark.parametrize("stacked", [False, True])
def test_kept_runs_are_replayed(make_trainer, pool, stacked):
    """A kept run ends at once, with its epochs reported, and starts no pool."""
    requested = Round(jobs=JOBS, stacked=stacked)
    with make_trainer() as trainer:
        submit(trainer, requested)
        assert pool.stacks == ([JOBS] if stacked else [[job] for job in JOBS])
        for future, run in zip(chain(*pool.futures), RUNS, strict=True):
            future.set_result(run)
        assert (trainer.trained_runs, trainer.reused_runs) == (2, 0)
    heard = []
    with make_trainer() as trainer:
        again = trainer.submit(requested, [lambda *epoch: heard.append(epoch)] * 2)
        assert [future.result(timeout=0) for future in again] == RUNS
        assert heard == [(1, RUNS[0].epochs[0]), (1, RUNS[1].epochs[0])]
        assert (trainer.trained_runs, trainer.reused_runs) == (0, 2)
        assert len(pool.stacks) == (1 if stacked else 2)


def test_stack_is_found_whole(make_trainer, pool):
    """A stack with one run missing is trained again, and a run of a stack is no single run."""
    with make_trainer() as trainer:
        submit(trainer, Round(jobs=JOBS, stacked=True))
        pool.futures[0][0].set_result(RUNS[0])
        pool.futures[0][1].set_exception(MachineError("memory ran out"))
        submit(trainer, Round(jobs=JOBS, stacked=True))
        submit(trainer, Round(jobs=JOBS[:1]))
    assert pool.stacks == [JOBS, JOBS, JOBS[:1]]


@pytest.mark.parametrize("use_cache", [False, True])
def test_job_in_training_is_shared(make_trainer, pool, use_cache):
    """Two students with the same model cost one run, with or without a cache."""
    with make_trainer(use_cache=use_cache) as trainer:
        first = submit(trainer, Round(jobs=JOBS, stacked=True))
        assert submit(trainer, Round(jobs=JOBS, stacked=True)) is first
        assert (trainer.trained_runs, trainer.reused_runs) == (2, 2)
    assert pool.stacks == [JOBS]


def test_failed_run_is_retried(make_trainer, pool):
    """A failure is not kept: the next request trains the job again."""
    with make_trainer() as trainer:
        (future,) = submit(trainer, Round(jobs=JOBS[:1]))
        future.set_exception(MachineError("memory ran out"))
        (again,) = submit(trainer, Round(jobs=JOBS[:1]))
    assert again is not future
    assert len(pool.stacks) == 2
