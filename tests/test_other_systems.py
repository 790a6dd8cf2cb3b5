"""A whole grading with `--own-work` where all that Windows and macOS lack was taken away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.other_system import BOOT
from tests.support.paths import REFERENCE

MAIN = "from grader.__main__ import main; main()"
LINUX_ONLY = (
    *("grader.sandbox.isolation.dedicated_user", "grader.sandbox.isolation.linux"),
    *("grader.sandbox.isolation.supervised", "grader.sandbox.isolation.same_user"),
    *("grader.sandbox.supervisor.main", "grader.sandbox.worker.manager"),
    *("grader.sandbox.worker.processes", "grader.testing.server"),
)
LOAD = """
import importlib, pkgutil, grader
failed = []
for module in pkgutil.walk_packages(grader.__path__, "grader."):
    if module.name.startswith(("grader.cohort", "grader.review", "grader.training.cluster")):
        continue
    try:
        importlib.import_module(module.name)
    except (ImportError, AttributeError, OSError) as error:
        failed.append(module.name)
print(*failed)
"""
SMALL = """
from grader.assignment.records import (
    Assignment, ModelItem, Part, Practice, Problem, Recipe, Threshold
)
model = ModelItem(
    title="A model", points=2, file="answers.py", model="model", optimizer="optimizer",
    scheduler="scheduler", reported="reported", constraints=(),
    recipe=Recipe(epochs=1, fixed=True, batch_size=32),
    threshold=Threshold(accuracy=0.5, epoch="best"),
)
ASSIGNMENT = Assignment(
    id="small", title="Small", points=2, dataset="mnist", seeds=(1,),
    problems=(Problem(id="1", title="One", parts=(
        Part(id="1A", title="A", items=(("", model),)),
    )),),
    practice=Practice(dataset="mnist-5k", thresholds=(("1A", 0.3),)),
)
"""
ANSWERS = """
import torch
def model():
    print("p→q", flush=True)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10))
def optimizer(model):
    return torch.optim.SGD(model.parameters(), lr=0.1)
def reported():
    return 0.8
"""


def grade_on(
    platform: str, directory: Path, *arguments: object
) -> subprocess.CompletedProcess[bytes]:
    """Run `grade` on another system, with Windows' code page for what is printed."""
    return subprocess.run(
        [sys.executable, "-c", BOOT.format(platform=platform) + MAIN, *map(str, arguments)],
        cwd=directory,
        env={**os.environ, "PYTHONIOENCODING": "cp1252", "COLUMNS": "150", "NO_COLOR": "1"},
        capture_output=True,
        check=False,
        timeout=390,
    )


def test_modules_load() -> None:
    """Of the modules that grade one submission, only those for Linux need what Windows lacks."""
    done = subprocess.run(
        [sys.executable, "-c", BOOT.format(platform="win32") + f"exec({LOAD!r})"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(done.stdout.split()) <= set(LINUX_ONLY)


@pytest.mark.slow
@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_grading(platform: str, tmp_path: Path) -> None:
    """A model is asked for and trained; terminal, report and result say that it is own work."""
    work = tmp_path / "my work"
    work.mkdir()
    (work / "answers.py").write_text(ANSWERS, encoding="utf-8")
    (tmp_path / "small.py").write_text(SMALL, encoding="utf-8")
    assignment = ("--assignment", tmp_path / "small.py", "--practice", "--no-cache")
    done = grade_on(platform, work, ".", *assignment, "--own-work", "--output", tmp_path / "out")
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
    shown = done.stdout.decode("utf-8")
    assert "OWN WORK" in shown
    assert "─" in shown
    (result_file,) = tmp_path.glob("out/*/result.json")
    result = json.loads(result_file.read_text(encoding="utf-8"))
    assert result["score"]["earned"] == 2
    assert result["provenance"]["unsafe"] is True
    assert "p→q" in result_file.read_text(encoding="utf-8")
    report = result_file.with_name("report.html").read_text(encoding="utf-8")
    assert "OWN WORK" in report


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_reference(tmp_path: Path) -> None:
    """Every question of the bundled assignment is answered."""
    done = grade_on(
        "win32", REFERENCE, ".", "--practice", "--quick", "--own-work", "--output", tmp_path
    )
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
    (result_file,) = tmp_path.glob("*/result.json")
    assert json.loads(result_file.read_text(encoding="utf-8"))["score"]["lost"] == 0


@pytest.mark.slow
@pytest.mark.parametrize(("platform", "name"), [("win32", "Windows"), ("darwin", "macOS")])
def test_without_the_option(platform: str, name: str, tmp_path: Path) -> None:
    """One line says what is missing and what to type; the doctor warns, and help is there."""
    done = grade_on(platform, REFERENCE, ".", "--practice", "--quick", "--output", tmp_path)
    assert done.returncode == 3
    assert done.stderr.decode("utf-8").strip() == (
        f"error: {name} has no sandbox for student code. To grade your own work without one, add "
        "--own-work: grade . --own-work"
    )
    doctor = grade_on(platform, tmp_path, "doctor", "--json", "--data", tmp_path)
    findings = {found["name"]: found for found in json.loads(doctor.stdout)["findings"]}
    assert findings["isolation"]["status"] == "warning"
    assert "grade . --own-work" in findings["isolation"]["remedy"]
    assert b"Traceback" not in doctor.stderr
    assert b"--own-work" in grade_on(platform, tmp_path, "submission", "--help").stdout
    for command in ("batch", "review", "export", "release", "diff", "gradescope", "cache"):
        assert grade_on(platform, tmp_path, command, "--help").returncode == 0, command
