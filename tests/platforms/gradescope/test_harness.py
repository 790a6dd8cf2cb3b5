"""The harness in Gradescope's container always leaves a valid result."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from psutil import process_iter

from grader.platforms.gradescope import harness
from grader.platforms.gradescope.harness import failure_results, is_valid, run, write_results
from tests.platforms.gradescope.test_upload import SCHEMA, by_number
from tests.support.gradescope_tree import ROOT, lay_out, settings


@pytest.fixture(name="root")
def make_root(tmp_path, monkeypatch):
    """Gradescope's directory with a result left over, and a harness that is not patient."""
    monkeypatch.setattr(harness, "FINISHING_SECONDS", 1.0)
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "results.json").write_text('{"score": 1000, "tests": []}')
    return tmp_path


def results_after(root: Path, program: str, seconds: float = 20.0) -> dict[str, Any]:
    """Run a program as the grader, and return the results; `take(bytes)` sends results."""
    take = "import os, sys, time\ndef take(content): os.write(int(sys.argv[1]), content)\n"
    run(root, [sys.executable, "-c", take + program], seconds=seconds)
    results = json.loads((root / "results" / "results.json").read_bytes())
    jsonschema.validate(results, SCHEMA)
    assert [path.name for path in (root / "results").iterdir()] == ["results.json"]
    return results


WHOLE = """take(b'{"score": 7, "tests": []}')\n"""


@pytest.mark.parametrize(
    ("program", "score", "reason"),
    [
        pytest.param(WHOLE, 7, None, id="whole"),
        pytest.param(WHOLE + "os.abort()", 7, None, id="dies after its results"),
        pytest.param("""take(b'{"score": 7, "te')""", 0, "exit code 0", id="half a result"),
        pytest.param("""take(b'[1, 2]')""", 0, "exit code 0", id="no results but JSON"),
        pytest.param("raise SystemExit(3)", 0, "exit code 3", id="fails"),
        pytest.param("os.abort()", 0, "ended by signal 6", id="crashes"),
        pytest.param("os.kill(os.getpid(), 9)", 0, "memory ran out", id="out of memory"),
    ],
)
def test_valid_result(root, program, score, reason):
    """The grader's results, or 0 points with the reason; never what was there before."""
    results = results_after(root, program)
    assert results["score"] == score
    if reason:
        assert reason in results["output"]


def test_interrupts_at_the_limit(root):
    """The grader then reports what it has."""
    program = f"try: time.sleep(60)\nexcept KeyboardInterrupt: {WHOLE}"
    assert results_after(root, program, seconds=1.0)["score"] == 7


def test_kills_after_the_limit(root):
    """The time limit holds, for what the grader started too."""
    program = """
import signal, subprocess
signal.signal(signal.SIGINT, signal.SIG_IGN)
print(subprocess.Popen(["sleep", "61.25"]).pid)
time.sleep(60)
"""
    assert "time limit of 1 seconds" in results_after(root, program, seconds=1.0)["output"]
    assert ["sleep", "61.25"] not in [found.info["cmdline"] for found in process_iter(["cmdline"])]


def test_no_grader(root):
    """A Python that cannot start is no crash of the harness."""
    run(root, [str(root / "missing")], seconds=1.0)
    results = json.loads((root / "results" / "results.json").read_bytes())
    assert "could not be started: No such file" in results["output"]


def test_full_disk(tmp_path, monkeypatch):
    """The first results stay whole if they cannot be replaced."""
    write_results(tmp_path, failure_results("A reason."))
    before = (tmp_path / "results.json").read_bytes()

    def refuse(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    write_results(tmp_path, failure_results("Another reason."))
    assert (tmp_path / "results.json").read_bytes() == before
    assert is_valid(before)


@pytest.fixture(name="home")
def make_home(tmp_path):
    """This environment where `setup.sh` would install one."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "venv").symlink_to(sys.prefix)
    return home


def run_autograder(autograder: Path, home: Path) -> dict[str, Any]:
    """Run the script, and return its results."""
    subprocess.run(
        [autograder / "run_autograder"],
        env={**os.environ, "AUTOGRADER_ROOT": str(autograder), "GRADER_HOME": str(home)},
        check=True,
        capture_output=True,
    )
    results = json.loads((autograder / "results" / "results.json").read_bytes())
    jsonschema.validate(results, SCHEMA)
    return results


def test_run_autograder_grades(tmp_path, home):
    """The scripts of the upload grade a submission of one file, with the real sandbox."""
    submission = tmp_path / "handed_in"
    submission.mkdir()
    shutil.copy(ROOT / "reference" / "problem_1.py", submission)
    lay_out(tmp_path / "autograder", submission, settings())
    results = run_autograder(tmp_path / "autograder", home)
    assert results["score"] == 12
    assert by_number(results)["1D"]["status"] == "passed"
    assert results["extra_data"]["provenance"]["practice"] is True


def test_run_autograder_without_python(tmp_path):
    """If nothing was installed, the shell still leaves a result."""
    (tmp_path / "handed_in").mkdir()
    lay_out(tmp_path / "autograder", tmp_path / "handed_in", settings())
    results = run_autograder(tmp_path / "autograder", tmp_path / "nowhere")
    assert results["score"] == 0
    assert "could not be started" in results["output"]


@pytest.mark.slow
def test_missing_data(tmp_path, home):
    """Missing data gives 0 points with the reason, and not a verdict."""
    submission = tmp_path / "handed_in"
    submission.mkdir()
    shutil.copy(ROOT / "reference" / "problem_1.py", submission)
    chosen = settings(practice=False, data_directory=str(tmp_path / "no_data"))
    lay_out(tmp_path / "autograder", submission, chosen)
    results = run_autograder(tmp_path / "autograder", home)
    assert results["score"] == 0
    assert "does not exist" in results["output"]
    assert "not a verdict on your work" in results["output"]
