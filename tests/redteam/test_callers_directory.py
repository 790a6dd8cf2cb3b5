"""The command leaves the caller's directory, which may be a student's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import REFERENCE

GRADE = Path(sys.executable).with_name("grade")
MODULES = ("click", "matplotlib", "msgspec", "multiprocessing", "sitecustomize", "torch", "venv")
LIBRARY = """
#include <stdio.h>
__attribute__((constructor)) static void run(void) { fclose(fopen("TARGET", "w")); }
"""
COMMANDS = (
    ("submission", ".", "--practice", "--quick", "--output", "out"),
    ("batch", "class", "--practice", "--output", "out", "--only", "1D"),
    ("doctor",),
    ("export", "csv", "--output", "graded", "--practice"),
    ("release", "--output", "graded", "--practice", "--to", "released"),
    ("review", "export", "--output", "graded", "answers.csv"),
    ("gradescope", "build", "--practice"),
)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A submission with every file that Python, the loader or matplotlib might take for theirs."""
    directory = tmp_path_factory.mktemp("hostile")
    shutil.copytree(REFERENCE, directory, dirs_exist_ok=True)
    shutil.copytree(REFERENCE, directory / "class" / "ada")
    proof = directory.with_name("proof")
    for name in MODULES:
        (directory / f"{name}.py").write_text(f"open({str(proof)!r}, 'w').close()\n")
    (directory / "hostile.pth").write_text(f"import os; open({str(proof)!r}, 'w').close()\n")
    (directory / "matplotlibrc").write_text("text.usetex: True\n")
    (directory / ".env").write_text("GRADER_DATA=.\n")
    for name in ("pyproject.toml", "conftest.py"):
        (directory / name).write_text("hostile = [\n")
    compiler = shutil.which("cc")
    if compiler is not None:
        source = proof.with_suffix(".c")
        source.write_text(LIBRARY.replace("TARGET", str(proof)))
        library = directory / "libcuda.so.1"
        subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    run(directory, "batch", "class", "--practice", "--output", "graded", "--only", "1D")
    return directory


def run(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a directory."""
    return subprocess.run(
        [GRADE, *arguments], cwd=directory, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda arguments: arguments[0])
def test_runs_no_file_of_the_caller(hostile: Path, arguments: tuple[str, ...]) -> None:
    """No command loads a library, a module or a configuration from the caller's directory."""
    done = run(hostile, *arguments)
    assert done.returncode in {0, 1, 3}, done.stdout + done.stderr
    assert not hostile.with_name("proof").exists()


def test_relative_paths_are_the_callers(tmp_path: Path) -> None:
    """Relative options mean the caller's directory, and messages name them as they were typed."""
    shutil.copytree(REFERENCE, tmp_path / "work")
    done = run(tmp_path, "work", "--practice", "--quick", "--output", "out", "--junit", "j.xml")
    assert "Report: out/work/report.html" in done.stdout, done.stderr
    assert (tmp_path / "out" / "work" / "report.html").is_file()
    assert (tmp_path / "j.xml").is_file()


def test_relative_environment(tmp_path: Path) -> None:
    """Variables with paths are made absolute, and lists lose their relative entries."""
    program = (
        "import os, sys; import grader.__main__ as start\n"
        "import grader.cli; grader.cli.main = lambda: print(os.getcwd(), *map(os.environ.get, "
        "('GRADER_DATA', 'LD_LIBRARY_PATH', 'LD_PRELOAD')))\n"
        "start.main()"
    )
    changes = {"GRADER_DATA": "data", "LD_LIBRARY_PATH": "/lib::lib:", "MPLCONFIGDIR": "."}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, **changes},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["/", str(tmp_path / "data"), "/lib", "None"]


@pytest.mark.parametrize("name", ["reports", "junit.xml"])
def test_links_are_refused(tmp_path: Path, name: str) -> None:
    """A link in the caller's directory is not written through."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / name).symlink_to("elsewhere")
    done = run(tmp_path, ".", "--quick", "--practice", "--junit", "junit.xml")
    assert done.returncode == 2
    assert f"'{name}' is a link" in done.stderr
    assert not any((tmp_path / "elsewhere").iterdir())


def test_planted_reports_are_replaced(tmp_path: Path) -> None:
    """A link among earlier reports is replaced, and its target stays as it was."""
    precious = tmp_path / "precious"
    precious.write_text("mine")
    shutil.copytree(REFERENCE, tmp_path / "work")
    reports = tmp_path / "work" / "reports" / "work"
    reports.mkdir(parents=True)
    for name in ("report.html", "result.json"):
        (reports / name).symlink_to(precious)
    assert run(tmp_path / "work", ".", "--practice", "--quick", "--quiet").returncode == 0
    assert precious.read_text() == "mine"
    assert not (reports / "report.html").is_symlink()


def test_planted_links_of_a_class(tmp_path: Path) -> None:
    """In the directory of a class, links are replaced or refused, and no target is touched."""
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "problem_1.py").write_text("mine")
    (precious / "file").write_text("mine")
    shutil.copytree(REFERENCE, tmp_path / "class" / "ada")
    output = tmp_path / "out"
    (output / "ada").mkdir(parents=True)
    (output / "ada" / "files").symlink_to(precious)
    (output / "ada" / "pictures").symlink_to(precious)
    for name in (".lock", ".index.html.new"):
        (output / name).symlink_to(precious / "file")
    batch = ("batch", "class", "--practice", "--only", "1A", "--output", "out", "--quiet")
    assert run(tmp_path, *batch).returncode == 0
    assert (output / "ada" / "files" / "problem_1.py").is_file()
    for planted in ("class.sqlite", "class.sqlite-journal"):
        (output / planted).unlink(missing_ok=True)
        (output / planted).symlink_to(precious / "file")
        refused = run(tmp_path, *batch)
        assert refused.returncode == 2
        assert f"{planted} is a link" in refused.stderr.replace("\n", "")
        (output / planted).unlink()
    assert {path.name: path.read_text() for path in precious.iterdir()} == {
        "problem_1.py": "mine",
        "file": "mine",
    }
