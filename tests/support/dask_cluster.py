"""A real Dask cluster on the loopback of this machine, for tests."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec


def wait_until(condition: Callable[[], object], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


class Cluster:
    """A scheduler, and workers that their nannies start again when they die.

    Attributes:
        address: of the scheduler.
        directory: where scheduler.log and worker.log are, and the workers' cache.
    """

    def __init__(self, directory: Path, processes: ExitStack, tls: list[str]) -> None:
        self.directory = directory
        self._processes = processes
        self._tls = tls
        self._workers = 0
        file = directory / "scheduler.json"
        self.scheduler = self._start(
            "scheduler",
            *("--host", "127.0.0.1", "--port", "0", "--no-dashboard"),
            *("--scheduler-file", str(file)),
        )
        wait_until(lambda: file.is_file() and file.read_text().endswith("}"))
        self.address: str = msgspec.json.decode(file.read_bytes())["address"]

    def add_worker(
        self, *options: str, threads: int = 1, **environment: str
    ) -> subprocess.Popen[bytes]:
        """Start a worker, named worker-0, worker-1 and so on; it need not have come when this
        returns.
        """
        name = f"worker-{self._workers}"
        self._workers += 1
        return self._start(
            "worker",
            *(self.address, "--host", "127.0.0.1", "--no-dashboard"),
            *("--name", name, "--nthreads", str(threads), *options),
            **environment,
        )

    def _start(self, kind: str, *options: str, **environment: str) -> subprocess.Popen[bytes]:
        log = self._processes.enter_context((self.directory / f"{kind}.log").open("a"))
        process = subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.dask_{kind}", *options, *self._tls],
            stderr=log,
            cwd=self.directory,
            env={**os.environ, "XDG_CACHE_HOME": str(self.directory), **environment},
        )
        self._processes.callback(_end, process)
        return process


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(timeout=60)


@contextmanager
def started_cluster(directory: Path, *tls: str) -> Iterator[Cluster]:
    """A scheduler that runs until the end of the block.

    Args:
        directory: for logs and the workers' cache.
        tls: options that scheduler and workers share.
    """
    with ExitStack() as processes:
        yield Cluster(directory, processes, list(tls))
