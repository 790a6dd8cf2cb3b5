"""The run cache: runs that are found again, and entries that are refused."""

import json
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from grader.results import EpochResult, MisclassifiedExample, TrainingRun
from grader.training.job import TrainingJob
from grader.training.run_cache import RunCache, _checksum, cache_info, clear_cache
from tests.support.specs import mlp
from tests.support.training_samples import training_job

JOB = training_job(mlp(8))
RUN = TrainingRun(
    seed=1,
    epochs=(
        EpochResult(train_loss=0.1234567890123456, test_accuracy=0.9),
        EpochResult(train_loss=0.1, test_accuracy=0.95),
    ),
    confusion=((1, 2), (3, 4)),
    misclassified=(
        MisclassifiedExample(index=3, label=1, predicted=7, confidence=0.99, pixels_base64="AA=="),
    ),
    wall_seconds=1.5,
)


@pytest.fixture
def cache(tmp_path):
    return RunCache(tmp_path)


def only_file(directory):
    (path,) = (path for path in directory.rglob("*") if path.is_file())
    return path


def test_run_is_found_again(cache):
    """A stored run is loaded without loss."""
    assert cache.load(JOB) is None
    cache.store(JOB, RUN)
    assert cache.load(JOB) == RUN


def test_older_graders_run_is_found(monkeypatch):
    """A run that the grader kept before November 2026 is still the run of the same job.

    `data/runs` has part 2C of the reference solution on the practice set, trained by commit
    bf6555a with torch 2.14.1+cu130; `data/job.json` describes the job. The version of torch is
    part of the digest, so the test sets it.
    """
    directory = Path(__file__).parent / "data"
    job = msgspec.json.decode((directory / "job.json").read_bytes(), type=TrainingJob)
    monkeypatch.setattr("torch.__version__", "2.14.1+cu130")
    run = RunCache(directory).load(job)
    assert run is not None
    assert (len(run.epochs), run.seed, run.stopped_early) == (8, job.seed, True)
    assert run.epochs[-1] == EpochResult(train_loss=0.16207339715957642, test_accuracy=0.921)


def test_newer_run_replaces_the_older(cache, tmp_path):
    """One job has one entry, and nothing else is left behind."""
    cache.store(JOB, RUN)
    cache.store(JOB, replace(RUN, wall_seconds=9.0))
    assert cache.load(JOB) == replace(RUN, wall_seconds=9.0)
    assert only_file(tmp_path).suffix == ".run"


@pytest.mark.parametrize(
    "changed", [replace(JOB, seed=2), replace(JOB, epochs=3), replace(JOB, model=mlp(9))]
)
def test_another_job_is_not_found(cache, changed):
    """A job that differs in anything has a run of its own."""
    cache.store(JOB, RUN)
    assert cache.load(changed) is None


def test_other_data_and_devices(cache, tmp_path):
    """Runs on other data or another device are other runs."""
    cache.store(JOB, RUN)
    assert cache.load(replace(JOB, dataset_sha256="other")) is None
    assert RunCache(tmp_path, device="H100").load(JOB) is None


def test_other_trainer_and_torch(cache, monkeypatch):
    """Another trainer or another torch could give other numbers."""
    cache.store(JOB, RUN)
    with monkeypatch.context() as patch:
        patch.setattr("grader.training.job.TRAINER_VERSION", 999)
        assert cache.load(JOB) is None
    with monkeypatch.context() as patch:
        patch.setattr("torch.__version__", "1.0")
        assert cache.load(JOB) is None
    assert cache.load(JOB) == RUN


def test_changed_byte_is_noticed(cache, tmp_path):
    """An entry that was damaged anywhere is ignored."""
    cache.store(JOB, RUN)
    path = only_file(tmp_path)
    content = path.read_bytes()
    for position in range(len(content)):
        path.write_bytes(
            content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]
        )
        assert cache.load(JOB) is None
    path.write_bytes(content)
    assert cache.load(JOB) == RUN


@pytest.mark.parametrize("content", [b"", b"\n", b"{}", b"\x00" * 200])
def test_foreign_content_is_ignored(cache, tmp_path, content):
    """A file that is no entry at all is ignored, and replaced at the next run."""
    cache.store(JOB, RUN)
    path = only_file(tmp_path)
    path.write_bytes(content)
    assert cache.load(JOB) is None
    cache.store(JOB, RUN)
    assert cache.load(JOB) == RUN


def test_truncated_entry_is_ignored(cache, tmp_path):
    """An entry that was cut off is ignored."""
    cache.store(JOB, RUN)
    path = only_file(tmp_path)
    path.write_bytes(path.read_bytes()[:-10])
    assert cache.load(JOB) is None


def test_entry_of_another_job_is_ignored(cache, tmp_path):
    """An intact entry under another job's name is not that job's run."""
    cache.store(JOB, RUN)
    intact = only_file(tmp_path).read_bytes()
    clear_cache(tmp_path)
    other = replace(JOB, seed=2)
    cache.store(other, replace(RUN, seed=2))
    only_file(tmp_path).write_bytes(intact)
    assert cache.load(other) is None


def test_entry_of_another_schema(cache, tmp_path):
    """An entry with a right checksum and other fields is ignored."""
    cache.store(JOB, RUN)
    path = only_file(tmp_path)
    entry = json.loads(path.read_bytes().partition(b"\n")[2])
    del entry["run"]["epochs"]
    encoded = json.dumps(entry).encode()
    path.write_bytes(_checksum(encoded) + b"\n" + encoded)
    assert cache.load(JOB) is None


@pytest.mark.parametrize(
    ("stopped_early", "stop_at", "found"),
    [
        (False, None, True),
        (False, 0.99, True),
        (False, 0.95, True),
        (False, 0.5, False),
        (True, None, False),
        (True, 0.95, True),
        (True, 0.90, False),
        (True, 0.96, False),
    ],
)
def test_run_answers_another_threshold(cache, stopped_early, stop_at, found):
    """A run is found only by a job that would end after the same epoch if it were trained now."""
    run = replace(RUN, stopped_early=stopped_early)
    cache.store(replace(JOB, stop_at_accuracy=0.95), run)
    loaded = cache.load(replace(JOB, stop_at_accuracy=stop_at))
    assert loaded == (run if found else None)


def test_cache_that_cannot_be_written(tmp_path):
    """It costs time and is no error."""
    (tmp_path / "file").write_text("")
    cache = RunCache(tmp_path / "file")
    cache.store(JOB, RUN)
    assert cache.load(JOB) is None


def test_info_and_clear(cache, tmp_path):
    """Runs are counted and removed; other files in the cache directory stay."""
    (tmp_path / "mnist-5k.npy").write_bytes(b"data")
    assert cache_info(tmp_path).entries == 0
    cache.store(JOB, RUN)
    cache.store(replace(JOB, seed=2), RUN)
    info = cache_info(tmp_path)
    assert (info.entries, info.directory) == (2, tmp_path / "runs")
    assert info.size_bytes > 200
    assert clear_cache(tmp_path) == info
    assert cache_info(tmp_path).entries == 0
    assert cache.load(JOB) is None
    assert (tmp_path / "mnist-5k.npy").read_bytes() == b"data"


def test_run_of_a_stack(cache):
    """Stacked models share their dropout masks' generator, so another stack gives other numbers."""
    second, third = replace(JOB, seed=2), replace(JOB, seed=3)
    cache.store(JOB, RUN, [JOB, second])
    assert cache.load(JOB, [JOB, second]) == RUN
    assert cache.load(JOB) is None
    assert cache.load(JOB, [JOB, third]) is None
