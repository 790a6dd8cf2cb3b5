"""Gradescope's results file, and the upload."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from packaging.requirements import Requirement

import grader
from grader.assignment.bundled.set4 import ASSIGNMENT
from grader.errors import MachineError
from grader.platforms.gradescope import upload as upload_module
from grader.platforms.gradescope.results import render_gradescope
from grader.platforms.gradescope.upload import CPU_INDEX, build_upload
from tests.support.gradescope_tree import ROOT, settings
from tests.support.result_samples import (
    ALL_SAMPLES,
    PROVENANCE,
    broken_result,
    good_result,
    hostile_results,
    practice_result,
    unfinished_result,
)

GRADE = Path(sys.executable).with_name("grade")
VISIBILITY = {"enum": ["hidden", "after_due_date", "after_published", "visible"]}
FORMAT = {"enum": ["text", "html", "simple_format", "md", "ansi"]}
TEST = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "score": {"type": "number"},
        "max_score": {"type": "number"},
        "status": {"enum": ["passed", "failed"]},
        "name": {"type": "string"},
        "name_format": FORMAT,
        "number": {"type": "string"},
        "output": {"type": "string"},
        "output_format": FORMAT,
        "tags": {"type": "array", "items": {"type": "string"}},
        "visibility": VISIBILITY,
        "extra_data": {"type": "object"},
    },
}
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["score", "tests"],
    "properties": {
        "score": {"type": "number"},
        "execution_time": {"type": "number"},
        "output": {"type": "string"},
        "output_format": FORMAT,
        "test_output_format": FORMAT,
        "test_name_format": FORMAT,
        "visibility": VISIBILITY,
        "stdout_visibility": VISIBILITY,
        "extra_data": {"type": "object"},
        "tests": {"type": "array", "items": TEST},
        "leaderboard": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["name", "value"],
                "properties": {
                    "name": {"type": "string"},
                    "value": {"type": ["number", "string"]},
                    "order": {"const": "asc"},
                },
            },
        },
    },
}
"""Every field that Gradescope knows, and no other."""


def rendered(result: Any, **options: Any) -> dict[str, Any]:
    """The file as Gradescope reads it."""
    results = json.loads(render_gradescope(result, **options))
    jsonschema.validate(results, SCHEMA)
    return results


def by_number(results: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The tests by their numbers."""
    return {test["number"]: test for test in results["tests"]}


@pytest.mark.parametrize("name", ALL_SAMPLES)
def test_fits_the_format(name):
    """There is a test for each part, and their scores add up to the whole."""
    result = ALL_SAMPLES[name]()
    results = rendered(result, leaderboard=True)
    parts = [part for problem in result.problems for part in problem.parts]
    assert [test["number"] for test in results["tests"]] == [part.id for part in parts]
    assert sum(test.get("score", 0) for test in results["tests"]) == results["score"]
    assert results["score"] == result.score.earned


def test_statuses():
    """Passed and failed are Gradescope's; what is neither has no status."""
    tests = by_number(rendered(broken_result()))
    assert tests["2A"]["status"] == "passed"
    assert tests["2D"]["status"] == "failed"
    assert "status" not in tests["1A"]
    assert "status" not in by_number(rendered(unfinished_result()))["2E"]


def test_pending_has_not_failed():
    """A written part has no score; a part with both has that of its automatic items."""
    tests = by_number(rendered(good_result()))
    written, both = tests["1A"], tests["1E"]
    assert not written.keys() & {"score", "max_score", "status"}
    assert written["name"].endswith("(a person gives 5)")
    assert "It did not fail" in written["output"]
    assert (both["score"], both["max_score"], both["status"]) == (5, 5, "passed")


def test_failure_has_next_step():
    """The output of a failed part holds its check's three sentences."""
    check = next(
        item.checks[0] for item in broken_result().items() if item.id == "2D" and item.checks
    )
    output = by_number(rendered(broken_result()))["2D"]["output"]
    for heading in ("Observed", "Expected", "Next step"):
        assert f"<th>{heading}</th>" in output
    assert check.observed in output


def test_hidden_parts():
    """Neither their test, nor the summary, nor the leaderboard shows them to students."""
    results = rendered(good_result(), hidden={"2C"}, leaderboard=True)
    assert by_number(results)["2C"]["visibility"] == "hidden"
    assert "visibility" not in by_number(results)["2D"]
    assert "2C" not in results["output"]
    assert not any("2C" in row["name"] for row in results["leaderboard"])


def test_leaderboard():
    """A small model that learns nothing is no feat."""
    rows = {row["name"]: row for row in rendered(broken_result(), leaderboard=True)["leaderboard"]}
    assert rows["3G accuracy"]["value"] == pytest.approx(0.962)
    assert rows["3G parameters"]["order"] == "asc"
    assert rows["2D accuracy"]["value"] == 0
    assert "2D parameters" not in rows
    assert "leaderboard" not in rendered(broken_result())


def test_banners():
    """Practice, a cut grading and the grader's own failure are said first."""
    assert rendered(practice_result())["output"].startswith("<p><strong>PRACTICE.")
    assert "The time was up" in rendered(unfinished_result(), out_of_time=True)["output"]
    assert "no fault of yours,</strong> in 2C" in rendered(unfinished_result())["output"]


def test_provenance():
    """Everything that reproduces the result is in `extra_data`."""
    provenance = rendered(good_result())["extra_data"]["provenance"]
    assert provenance["torch_version"] == "2.14.1+cpu"
    assert len(provenance["assignment_sha256"]) == 64


def test_student_text_is_inert():
    """No tag of a student's reaches the page."""
    honest = {"provenance": PROVENANCE, "timing": good_result().timing}
    for result in hostile_results():
        results = rendered(dataclasses.replace(result, **honest), leaderboard=True)
        pages = "".join([results["output"], *(test["output"] for test in results["tests"])])
        assert not any(tag in pages.lower() for tag in ("<script", "<img", "<iframe", "<svg"))


def test_hiding_a_part_keeps_the_digest():
    """Hiding a part does not change the digest, so no student is graded again."""
    problems = [
        dataclasses.replace(
            problem, parts=tuple(dataclasses.replace(part, hidden=True) for part in problem.parts)
        )
        for problem in ASSIGNMENT.problems
    ]
    hidden = dataclasses.replace(ASSIGNMENT, problems=tuple(problems))
    assert hidden != ASSIGNMENT
    assert hidden.digest() == ASSIGNMENT.digest()


@pytest.fixture(name="upload", scope="module")
def build(tmp_path_factory):
    """The upload that the command builds."""
    path = tmp_path_factory.mktemp("upload") / "autograder.zip"
    subprocess.run([GRADE, "gradescope", "build", "-o", path], check=True, capture_output=True)
    with zipfile.ZipFile(path) as archive:
        yield archive


def test_scripts(upload):
    """The two scripts lie at the root, can be executed, and are bash that parses."""
    for name in ("setup.sh", "run_autograder"):
        assert upload.getinfo(name).external_attr >> 16 & 0o111 == 0o111
        subprocess.run(["bash", "-n"], input=upload.read(name), check=True)


def test_pins_every_version(upload):
    """PyTorch comes from an index without CUDA; pip takes all versions from the constraints."""
    assert upload.read("torch.txt").decode().split() == [
        *("--index-url", CPU_INDEX),
        *("torch", "torchvision"),
    ]
    pinned = upload.read("constraints.txt").decode().splitlines()
    assert f"msgspec=={version('msgspec')}" in pinned
    assert f"torch=={version('torch').partition('+')[0]}" in pinned
    assert all(re.fullmatch(r"[a-z0-9-]+==[^+]+", line) for line in pinned)
    assert len({line.split("==")[0] for line in pinned}) == len(pinned)


def test_own_assignment(tmp_path):
    """The author's file goes along; the command says what to set on Gradescope."""
    own = tmp_path / "mine.py"
    own.write_text("from grader.assignment.bundled.set4 import ASSIGNMENT\n")
    path = tmp_path / "autograder.zip"
    command = [GRADE, "gradescope", "build", "-o", path, "--assignment", own, "--leaderboard"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "autograder points  61" in said
    assert "people give 39 points" in said
    with zipfile.ZipFile(path) as archive:
        chosen = json.loads(archive.read("settings.json"))
        assert archive.read("assignment.py") == own.read_bytes()
    assert (chosen["assignment"], chosen["leaderboard"]) == ("assignment.py", True)


def test_reproducible():
    """Gradescope need not rebuild its image if nothing changed."""
    first, second = (
        build_upload(settings(), author_files={}, torch_index=CPU_INDEX) for _ in range(2)
    )
    assert first == second


def test_source_is_the_running_grader(upload, tmp_path):
    """The tree holds every file of the package, and runs."""
    upload.extractall(tmp_path)
    source = tmp_path / "grader-source"
    files = [path for path in (ROOT / "grader").rglob("*") if path.suffix not in {"", ".pyc"}]
    assert ROOT / "grader" / "report" / "templates" / "gradescope_part.html" in files
    for path in files:
        assert (source / path.relative_to(ROOT)).read_bytes() == path.read_bytes()
    assert (source / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    assert "__pycache__" not in "".join(upload.namelist())
    shown = subprocess.run(
        [sys.executable, "-P", "-m", "grader", "--version"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(source)},
    ).stdout
    assert shown == f"grade, version {grader.__version__}\n"


def test_requirements_of_the_source(upload):
    """The project file has the requirements and the version of the installed package."""
    project = tomllib.loads(upload.read("grader-source/pyproject.toml").decode())["project"]
    assert project["version"] == grader.__version__
    assert project["dependencies"] == requires("sequential-grader")
    needed = [Requirement(text) for text in project["dependencies"]]
    assert "torch" in {requirement.name for requirement in needed if not requirement.marker}


@pytest.mark.slow
def test_pip_installs_the_source(upload, tmp_path):
    """The tree can be built and installed; that needs a package registry for the build backend."""
    upload.extractall(tmp_path / "source")
    target = tmp_path / "installed"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", target]
    constraints = ["--constraint", tmp_path / "source" / "constraints.txt"]
    source = tmp_path / "source" / "grader-source"
    subprocess.run([*command, *constraints, source], check=True)
    for path in ("report/templates/gradescope_part.html", "platforms/gradescope/files/setup.sh"):
        assert (target / "grader" / path).read_bytes() == (ROOT / "grader" / path).read_bytes()
    (metadata,) = target.glob("sequential_grader-*.dist-info/METADATA")
    assert "Requires-Dist: msgspec" in metadata.read_text()


def test_not_installed(monkeypatch):
    """Without metadata the upload cannot list what it needs, and says what to do."""

    def refuse(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(upload_module, "distribution", refuse)
    with pytest.raises(MachineError, match="not installed as a package") as caught:
        build_upload(settings(), author_files={}, torch_index=CPU_INDEX)
    assert "pip install" in caught.value.next_step
