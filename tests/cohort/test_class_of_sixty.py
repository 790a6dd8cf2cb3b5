"""A class of sixty from the command line: undisturbed, killed again and again, and on a cluster."""

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from grader.cohort.store import Store
from grader.cohort.summary import StudentSummary
from tests.support.class_of_sixty import Pupil, make_class
from tests.support.dask_cluster import started_cluster

pytestmark = [pytest.mark.slow, pytest.mark.timeout(5400)]

GRADE = Path(sys.executable).with_name("grade")
KILLS = 10


@pytest.fixture(scope="module")
def school(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Pupil]]:
    """The submissions, and what must come of them."""
    directory = tmp_path_factory.mktemp("school") / "submissions"
    directory.mkdir()
    return directory, {pupil.id: pupil for pupil in make_class(directory)}


@pytest.fixture(scope="module")
def undisturbed(school, tmp_path_factory) -> dict[str, StudentSummary]:
    """The class graded in one go."""
    output = tmp_path_factory.mktemp("undisturbed")
    with _grading(school[0], output) as process:
        assert process.wait() == 1
    return _summaries(output)


def _grading(directory: Path, output: Path, *options: str) -> subprocess.Popen[bytes]:
    """`grade batch` with a run cache of its own, in the background."""
    command = [GRADE, "batch", directory, "--practice", "--output", output, *options]
    environment = {**os.environ, "XDG_CACHE_HOME": str(output / "cache"), "NO_COLOR": "1"}
    with (output / "log.txt").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, env=environment)


def _summaries(output: Path) -> dict[str, StudentSummary]:
    with Store.open_existing(output) as store:
        return {summary.student.id: summary for summary in store.summaries()}


def _grades(summaries: Mapping[str, StudentSummary]) -> dict[str, Any]:
    """All that a grade is made of."""
    return {
        student_id: (
            summary.status,
            summary.score,
            [(item.id, item.outcome, item.score, item.accuracy) for item in summary.items],
        )
        for student_id, summary in summaries.items()
    }


def test_verdicts(school, undisturbed):
    """Every status and every outcome is the expected one."""
    _, pupils = school
    assert set(undisturbed) == set(pupils)
    statuses = {student_id: summary.status for student_id, summary in undisturbed.items()}
    assert statuses == {student_id: pupil.status for student_id, pupil in pupils.items()}
    outcomes = {
        student_id: {item.id: item.outcome for item in summary.items}
        for student_id, summary in undisturbed.items()
    }
    assert outcomes == {student_id: pupil.outcomes() for student_id, pupil in pupils.items()}


def test_killed_resumes(school, undisturbed, tmp_path: Path):
    """Killed at random moments, the grading ends with the same grades."""
    generator = random.Random(20261125)
    for _ in range(KILLS):
        process = _grading(school[0], tmp_path)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=generator.uniform(2, 40))
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait()
        _, alive = psutil.wait_procs(children, timeout=10)
        assert not alive
        for summary in (
            _summaries(tmp_path).values() if (tmp_path / "class.sqlite").exists() else ()
        ):
            assert _grades({summary.student.id: summary}) == _grades(
                {summary.student.id: undisturbed[summary.student.id]}
            )
    assert _grading(school[0], tmp_path).wait() == 1
    assert _grades(_summaries(tmp_path)) == _grades(undisturbed)


def test_lost_worker(school, undisturbed, tmp_path: Path):
    """A cluster that loses a worker gives the same grades."""
    with started_cluster(tmp_path) as cluster:
        victim = cluster.add_worker(threads=1)
        cluster.add_worker(threads=1)
        process = _grading(school[0], tmp_path, "--scheduler", cluster.address)
        killer = threading.Thread(target=_kill_when_busy, args=(victim, tmp_path))
        killer.start()
        assert process.wait() == 1
        killer.join()
    assert _grades(_summaries(tmp_path)) == _grades(undisturbed)


def _kill_when_busy(worker: Any, output: Path) -> None:
    """Kill a worker once the class is half done."""
    while not (output / "class.sqlite").exists() or len(_summaries(output)) < 35:
        time.sleep(0.5)
    for child in psutil.Process(worker.pid).children(recursive=True):  # its nanny stays
        with suppress(psutil.NoSuchProcess):
            child.kill()
