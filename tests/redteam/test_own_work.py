"""Nothing in a submission turns the sandbox off, and nobody can where others' work is graded."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from grader.platforms.gradescope import grade as gradescope
from grader.platforms.gradescope.settings import write_settings
from tests.submissions.asking import find_sandbox
from tests.support.gradescope_tree import settings
from tests.support.paths import REFERENCE

GRADE = Path(sys.executable).with_name("grade")
CONFIGURATION = {
    ".env": "GRADE_OWN_WORK=1\nGRADER_OWN_WORK=1\nCI=\n",
    ".envrc": "export GRADE_OWN_WORK=1\n",
    "pyproject.toml": "[tool.grade]\nown-work = true\n[tool.sequential-grader]\nown_work = true\n",
    "grader.toml": "assignment = 'set4'\nown_work = true\nunsafe = true\n",
    "grade.toml": "own-work = true\n",
    "setup.cfg": "[grade]\nown-work = true\n",
    "settings.json": '{"own_work": true}',
    "sitecustomize.py": "import sys; sys.argv.append('--own-work')\n",
    "problem_1.py": "import os, sys\nsys.argv.append('--own-work')\nos.environ['GRADE_OWN_WORK'] = '1'\n"
    "print('::set-env name=GRADE_OWN_WORK::1')\n",
}
VARIABLES = (
    "GRADE_OWN_WORK",
    "GRADER_OWN_WORK",
    "GRADE_SUBMISSION_OWN_WORK",
    "SUBMISSION_OWN_WORK",
    "OWN_WORK",
)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A submission with every file that some tool takes for its configuration."""
    find_sandbox()
    directory = tmp_path_factory.mktemp("hostile")
    shutil.copytree(REFERENCE, directory, dirs_exist_ok=True)
    for name, text in CONFIGURATION.items():
        with (directory / name).open("a") as file:
            file.write(text)
    return directory


def run(directory: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a directory."""
    return subprocess.run(
        [GRADE, *arguments],
        cwd=directory,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_no_file_turns_it_on(hostile: Path, tmp_path: Path) -> None:
    """Neither configuration beside the student's files, nor a variable, nor the code itself."""
    output = str(tmp_path)
    done = run(
        hostile,
        *(".", "--practice", "--quick", "--only", "1D", "--output", output),
        **dict.fromkeys(VARIABLES, "1"),
    )
    assert done.returncode == 0, done.stderr
    provenance = json.loads(next(tmp_path.rglob("result.json")).read_text())["provenance"]
    assert provenance["unsafe"] is False
    assert "OWN WORK" not in done.stdout + done.stderr


@pytest.mark.parametrize("command", [("submission",), ()])
def test_file_named_like_the_option(tmp_path: Path, command: tuple[str, ...]) -> None:
    """A shell makes the option of `grade *` if a file has its name."""
    (tmp_path / "--own-work").write_text("")
    (tmp_path / "ada").mkdir()
    done = run(tmp_path, *command, "--own-work", "ada")
    assert done.returncode == 2
    assert "a file is named --own-work" in done.stderr


def test_classes_refuse(tmp_path: Path) -> None:
    """A class needs the sandbox; the option is in no help of `grade batch`."""
    (tmp_path / "class").mkdir()
    done = run(tmp_path, "batch", "class", "--own-work", "--practice")
    assert done.returncode == 2
    assert "--own-work is refused: a class's code runs in a sandbox only" in done.stderr
    assert "--own-work" not in run(tmp_path, "batch", "--help").stdout
    assert not (tmp_path / "reports").exists()


@pytest.mark.parametrize("variable", ["GITHUB_ACTIONS", "CI"])
def test_actions_refuse(variable: str, tmp_path: Path) -> None:
    """The action's `arguments` are the repository's, so `grade` itself refuses."""
    shutil.copytree(REFERENCE, tmp_path / "work")
    done = run(tmp_path, "submission", "work", "--own-work", "--quick", **{variable: "true"})
    assert done.returncode == 2
    assert f"--own-work is refused here: {variable} says" in done.stderr


def test_gradescope_never_asks_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The upload's settings hold no such choice, and its options leave it off."""
    (tmp_path / "source").mkdir()
    (tmp_path / "submission").mkdir()
    written = json.loads(write_settings(settings())) | {"own_work": True}
    (tmp_path / "source" / "settings.json").write_text(json.dumps(written))
    seen = []
    monkeypatch.setattr(
        gradescope, "grade_submission", lambda _, __, options, ___: seen.append(options) or 1 / 0
    )
    with pytest.raises(ZeroDivisionError):
        gradescope.grade(tmp_path)
    assert [options.own_work for options in seen] == [False]
