"""Training runs kept on disk, so that the same job is never trained twice.

The checksum of an entry protects against damage, not against forgery: student code cannot write to
the cache directory, and whoever can is trusted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from grader.models.digest import digest_of
from grader.results import TrainingRun
from grader.training.job import KERNELS_VERSION, TrainingJob

_SUFFIX = ".run"


@dataclass(frozen=True, kw_only=True)
class CacheInfo:
    """The number of runs in a cache, and their size."""

    directory: Path
    entries: int
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """The content of a file after its first line, which is the content's checksum."""

    digest: str
    run: TrainingRun


class RunCache:
    """Runs by the digest of their job, one file each."""

    def __init__(self, directory: Path, *, device: str = "cpu") -> None:
        """Open the cache in the grader's cache directory; nothing is read or written yet."""
        self._directory = directory / "runs"
        self._device = device

    def load(self, job: TrainingJob, stack: Sequence[TrainingJob] = ()) -> TrainingRun | None:
        """Return the run of a job, as it would be trained now, or None if missing.

        `stack` are all jobs that were trained as one network, `job` included. A run by compiled
        kernels is preferred to one by PyTorch's layers.
        """
        for compiled in (True, False):
            digest = self._digest(job, stack, compiled=compiled)
            if run := self._read(digest, job) or self._read(_early(digest, job), job):
                return run
        return None

    def _read(self, digest: str, job: TrainingJob) -> TrainingRun | None:
        try:
            content = self._path(digest).read_bytes()
        except OSError:
            return None
        checksum, _, encoded = content.partition(b"\n")
        if checksum != _checksum(encoded):
            return None
        try:
            entry = msgspec.json.decode(encoded, type=_Entry)
        except msgspec.MsgspecError:  # written by another version of the grader
            return None
        return entry.run if entry.digest == digest and _is_as_trained(entry.run, job) else None

    def store(self, job: TrainingJob, run: TrainingRun, stack: Sequence[TrainingJob] = ()) -> None:
        """Keep a run. A cache that cannot be written only costs time and raises no error."""
        digest = self._digest(job, stack, compiled=run.compiled)
        if run.stopped_early:
            digest = _early(digest, job)
        encoded = msgspec.json.encode(_Entry(digest=digest, run=run))
        path = self._path(digest)
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(_checksum(encoded) + b"\n" + encoded)

    def _digest(self, job: TrainingJob, stack: Sequence[TrainingJob], *, compiled: bool) -> str:
        device = f"{self._device}, kernels {KERNELS_VERSION}" if compiled else self._device
        own, *others = (member.digest(device=device) for member in (job, *stack))
        return digest_of(own, others) if others else own

    def _path(self, digest: str) -> Path:
        return self._directory / digest[:2] / f"{digest}{_SUFFIX}"


def cache_info(directory: Path) -> CacheInfo:
    """Measure the run cache in the grader's cache directory."""
    runs = directory / "runs"
    sizes = [path.stat().st_size for path in runs.glob(f"*/*{_SUFFIX}")]
    return CacheInfo(directory=runs, entries=len(sizes), size_bytes=sum(sizes))


def clear_cache(directory: Path) -> CacheInfo:
    """Remove every run, and return the size of the cache before."""
    info = cache_info(directory)
    for path in info.directory.glob("*/*"):
        path.unlink(missing_ok=True)
    return info


def _checksum(encoded: bytes) -> bytes:
    return hashlib.sha256(encoded).hexdigest().encode()


def _early(digest: str, job: TrainingJob) -> str:
    """Return the name of a run that ended early, so that a whole one is kept beside it."""
    return digest_of(digest, job.stop_at_accuracy)


def _is_as_trained(run: TrainingRun, job: TrainingJob) -> bool:
    """Return True if a run has the epochs that training the job now would give.

    So a report does not depend on what the cache holds: a run of `--full` is not shown for a
    training that would have ended before.
    """
    target = job.stop_at_accuracy
    if target is None or job.counted_epoch == "final":
        return not run.stopped_early
    epochs = enumerate(run.epochs, 1)
    reached = (number for number, epoch in epochs if epoch.test_accuracy >= target)
    ends = next(reached, job.epochs)
    return len(run.epochs) == ends or run.diverged
