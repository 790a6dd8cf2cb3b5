"""Training runs kept on disk, so that the same job is never trained twice.

An entry is believed only if its checksum is right and it is the entry of exactly the job that is
asked for. The checksum guards against damage, not against a forger: who can write to the cache
directory is trusted, and the sandbox cannot.
"""

from __future__ import annotations

import hashlib
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from grader.digest import digest_of
from grader.results import TrainingRun

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from grader.training.job import TrainingJob

_SUFFIX = ".run"


@dataclass(frozen=True, kw_only=True)
class CacheInfo:
    """What the cache holds.

    Attributes:
        directory: where.
        entries: how many runs.
        size_bytes: how much room they take.
    """

    directory: Path
    entries: int
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """What a file holds, after the checksum of its bytes."""

    digest: str
    run: TrainingRun


class RunCache:
    """Runs by the digest of their job, one file each."""

    def __init__(self, directory: Path, *, dataset_sha256: str, device: str = "cpu") -> None:
        """Open the cache; nothing is read or made yet.

        Args:
            directory: the grader's cache directory.
            dataset_sha256: the checksum of the data that jobs are trained on.
            device: "cpu" or "cuda".
        """
        self._directory = directory / "runs"
        self._dataset_sha256 = dataset_sha256
        self._device = device

    def load(self, job: TrainingJob, stack: Sequence[TrainingJob] = ()) -> TrainingRun | None:
        """The run of this job, or None if there is none that answers it.

        Args:
            job: what was trained.
            stack: all jobs that it was trained together with as one network, itself included.
        """
        digest = self._digest(job, stack)
        try:
            content = self._path(digest).read_bytes()
        except OSError:
            return None
        checksum, _, encoded = content.partition(b"\n")
        if checksum != _checksum(encoded):
            return None
        try:
            entry = msgspec.json.decode(encoded, type=_Entry)
        except msgspec.MsgspecError:
            return None
        return entry.run if entry.digest == digest and _answers(entry.run, job) else None

    def store(self, job: TrainingJob, run: TrainingRun, stack: Sequence[TrainingJob] = ()) -> None:
        """Keep a run. A cache that cannot be written only costs time, so that is no error.

        Args:
            job: what was trained.
            run: how it went.
            stack: as for `load`.
        """
        digest = self._digest(job, stack)
        encoded = msgspec.json.encode(_Entry(digest=digest, run=run))
        path = self._path(digest)
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
                file.write(_checksum(encoded) + b"\n" + encoded)
            Path(file.name).replace(path)

    def _digest(self, job: TrainingJob, stack: Sequence[TrainingJob]) -> str:
        own, *others = (
            member.digest(dataset_sha256=self._dataset_sha256, device=self._device)
            for member in (job, *stack)
        )
        return digest_of(own, others) if others else own

    def _path(self, digest: str) -> Path:
        return self._directory / digest[:2] / f"{digest}{_SUFFIX}"


def cache_info(directory: Path) -> CacheInfo:
    """What the run cache in the grader's cache directory holds."""
    sizes = [path.stat().st_size for path in _entries(directory)]
    return CacheInfo(directory=directory / "runs", entries=len(sizes), size_bytes=sum(sizes))


def clear_cache(directory: Path) -> CacheInfo:
    """Remove every run, and nothing else; returns what there was."""
    info = cache_info(directory)
    for path in (directory / "runs").glob("*/*"):  # with what an interrupted writer left
        path.unlink(missing_ok=True)
    return info


def _entries(directory: Path) -> Iterator[Path]:
    return (directory / "runs").glob(f"*/*{_SUFFIX}")


def _checksum(encoded: bytes) -> bytes:
    return hashlib.sha256(encoded).hexdigest().encode()


def _answers(run: TrainingRun, job: TrainingJob) -> bool:
    """Whether the run tells as much as the job would: it may have stopped at another threshold."""
    if not run.stopped_early:
        return True
    return job.stop_at_accuracy is not None and run.best_accuracy >= job.stop_at_accuracy
