"""The `grade` command, as a user runs it: real submissions, the real sandbox, real training."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import psutil
import pytest

from grader.cli.batch import is_open_scheduler
from grader.cohort.store import Store
from tests.support.paths import ROOT

GRADE = Path(sys.executable).with_name("grade")
WRITTEN = ("1A", "1B", "1C", "1E", "2B", "3A", "3F", "3G")


def grade(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a clean terminal of 100 columns."""
    return subprocess.run(
        [GRADE, *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "100", "NO_COLOR": "1", **environment},
        check=False,
        timeout=170,
    )


def read_result(output: Path, name: str) -> dict[str, object]:
    """The result.json that was written."""
    return json.loads((output / name / "result.json").read_text())


def items_of(result: dict[str, object]) -> dict[str, dict[str, object]]:
    """Every item by its id."""
    return {
        item["id"]: item
        for problem in result["problems"]
        for part in problem["parts"]
        for item in part["items"]
    }


def failed_checks(item: dict[str, object]) -> str:
    """All that a student is told about what failed."""
    return "\n".join(
        f"{check['observed']} | {check['next_step']} | {check['location']}"
        for check in item["checks"]
        if check["outcome"] == "failed"
    )


@pytest.fixture(name="submission")
def copy_reference(tmp_path: Path) -> Path:
    """A copy of the reference solution, to be broken."""
    return Path(shutil.copytree(ROOT / "reference", tmp_path / "student"))


def append(file: Path, code: str) -> None:
    """Later definitions of a function replace earlier ones."""
    file.write_text(file.read_text() + "\n\n" + dedent(code))


def test_help_teaches():
    """Every option, examples and the exit codes are there."""
    shown = grade("--help").stdout + grade("submission", "--help").stdout
    for option in ("--only", "--data", "--practice", "--seeds", "--device", "--output", "--quiet"):
        assert option in shown
    assert "Examples:" in shown
    assert "Exit codes:" in shown


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "there is no directory"),
        (lambda path: path.mkdir(), "problem_1.py"),
        (lambda path: path.write_text("text"), "not a directory"),
    ],
    ids=["missing", "empty", "a file"],
)
def test_unusable_directory(tmp_path: Path, make, message):
    """Exit code 2, what is wrong, and no traceback."""
    make(tmp_path / "work")
    ended = grade(tmp_path / "work", "--output", tmp_path / "out")
    assert ended.returncode == 2
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr


def test_unknown_part(submission: Path, tmp_path: Path):
    """--only names the parts there are."""
    ended = grade(submission, "--only", "9Z", "--output", tmp_path / "out")
    assert ended.returncode == 2
    assert "no part '9Z'" in ended.stderr
    assert "2C" in ended.stderr


def test_wrong_data_directory(submission: Path, tmp_path: Path):
    """A directory that was named is not silently replaced by the practice set."""
    ended = grade(submission, "--data", tmp_path, "--output", tmp_path / "out")
    assert ended.returncode == 3
    assert "--practice" in ended.stderr
    assert not (tmp_path / "out").exists()


def test_unwritable_place(tmp_path: Path):
    """No traceback, and not the grader's fault."""
    ended = grade("gradescope", "build", "-o", tmp_path / "absent" / "x.zip")
    assert ended.returncode == 3
    assert "absent/x.zip: No such file or directory" in " ".join(ended.stderr.split())
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("name", ["-o", "--to", "--output"])
def test_names_of_the_upload(tmp_path: Path, name: str):
    """`-o` is `--to` in every command; the older name works."""
    ended = grade("gradescope", "build", name, tmp_path / "x.zip")
    assert ended.returncode == 0
    assert (tmp_path / "x.zip").stat().st_size > 100_000


@pytest.mark.parametrize("name", ["-o", "--to", "--file"])
def test_names_of_the_export(tmp_path: Path, name: str):
    """`-o` is `--to` in every command; the older name works."""
    Store(tmp_path / "class.sqlite").close()
    ended = grade("export", "csv", "--output", tmp_path, name, tmp_path / "grades.csv")
    assert "no class has been graded here yet" in ended.stderr


def test_empty_class(tmp_path: Path):
    """The empty store of a class that could not be read is not a class."""
    Store(tmp_path / "class.sqlite").close()
    ended = grade("export", "csv", "--output", tmp_path)
    assert ended.returncode == 2
    assert "no class has been graded here yet" in ended.stderr


def test_show(submission: Path, tmp_path: Path):
    """--show prints where everything was found, grades nothing, and ends with 0."""
    (submission / "written" / "3A.md").unlink()
    ended = grade(submission, "--show", "--only", "2C,3A", "--output", tmp_path / "out")
    assert ended.returncode == 0, ended.stderr
    assert "problem_2.py:" in ended.stdout
    assert "Linear(784, 100)" in ended.stdout
    assert "3A.md was not handed in" in ended.stdout
    assert "2D" not in ended.stdout
    assert not (tmp_path / "out").exists()


def test_quick(submission: Path, tmp_path: Path):
    """A student who writes gets all checks and one training step of each model."""
    ended = grade(submission, "--quick", "--output", tmp_path / "out")
    assert ended.returncode == 0, ended.stderr
    result = read_result(tmp_path / "out", "student")
    assert not result["complete"]
    model = items_of(result)["2C"]
    assert model["outcome"] == "skipped"
    assert {check["id"]: check["outcome"] for check in model["checks"]}["one-step"] == "passed"
    assert result["score"]["lost"] == 0


def test_bad_answers(submission: Path, tmp_path: Path):
    """One submission, many mistakes: each is told apart, and the rest is graded."""
    (submission / "problem_1.py").write_text("def or_network(:\n    pass\n")
    append(
        submission / "problem_2.py",
        """
        def versions():
            return input("which versions? ")

        def image_size():
            import sys
            sys.exit(0)

        def dataset_sizes(split):
            return 60_000, 10_000

        def model_c():
            return nn.Sequential(nn.Linear(100, 10))

        def model_d():
            return None

        def training_e():
            return {"epochs": 0}
        """,
    )
    append(
        submission / "problem_3.py",
        """
        def conv_parameters():
            import os
            os._exit(0)

        def average_pool():
            for _ in range(100_000):
                print("x" * 1000)
            return [[[1.0, 0.5], [0.5, 0.3]]] * 4

        del max_pool

        def optimizer_g(model):
            return torch.optim.Adam(model_g().parameters(), lr=1e-3)
        """,
    )
    (submission / "written" / "1A.md").unlink()
    (submission / "written" / "1B.md").write_bytes(
        "Weil das Gefälle null ist, für alle.".encode("cp1252")
    )
    ended = grade(submission, "--quick", "--output", tmp_path / "out")
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    items = items_of(read_result(tmp_path / "out", "student"))
    expected = {
        "1A": "written/1A.md",
        "1B": "UTF-8",
        "1D": "problem_1.py:1",
        "1E.network": "problem_1.py:1",
        "2A": "waits for input",
        "2B.image_size": "exit",
        "2B.dataset_sizes": "split",
        "2C": "100",
        "2D": "None",
        "2E": "epochs is 0",
        "3B": "exit",
        "3D": "a list of shape (4, 2, 2) is wanted",
        "3E": "max_pool",
        "3G.model": "optimizer_g",
    }
    for item_id, text in expected.items():
        assert items[item_id]["outcome"] == "failed", item_id
        assert text in failed_checks(items[item_id]), (item_id, failed_checks(items[item_id]))
    kept = items["3D"]["output"][0]
    assert len(kept["text"]) < 30_000
    assert kept["dropped_bytes"] > 90_000_000
    still_graded = ("1C", "2B.text", "3A", "3F", "3G.text")
    assert {items[item_id]["outcome"] for item_id in still_graded} == {"pending"}


@pytest.fixture(name="graded", scope="module")
def grade_reference(tmp_path_factory: pytest.TempPathFactory):
    """The reference on the practice data: trained, trained again, and from the run cache."""
    output = tmp_path_factory.mktemp("reports")
    cache = {"XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache"))}
    arguments = (ROOT / "reference", "--practice", "--output")
    ended = [
        grade(*arguments, output / "trained", **cache),
        grade(*arguments, output / "again", "--no-cache", **cache),
        grade(*arguments, output / "cached", **cache),
    ]
    return ended, output


def test_reference_passes(graded):
    """All automatic points, the written ones pending, a report to read."""
    ended, output = graded
    assert ended[0].returncode == 0, ended[0].stdout + ended[0].stderr
    result = read_result(output / "trained", "reference")
    assert result["score"] == {
        "possible": 100.0,
        "earned": 61.0,
        "pending": 39.0,
        "lost": 0.0,
        "undecided": 0.0,
    }
    assert "PRACTICE" in ended[0].stdout
    assert "PRACTICE" in (output / "trained" / "reference" / "report.html").read_text()


def test_same_bytes_again(graded):
    """Nothing in a result depends on the moment, the order, or on whether a run was kept."""
    _, output = graded
    trained, again, cached = (
        re.sub(
            r'("\w+_(?:seconds|at)": )[^,\n]+',
            r"\1null",
            (output / run / "reference" / "result.json").read_text(),
        )
        for run in ("trained", "again", "cached")
    )
    assert trained == again
    assert trained == cached


def test_starter(tmp_path: Path):
    """The starter code runs and misses the thresholds, and the report names what is missing."""
    ended = grade(
        ROOT / "student_template", "--practice", "--output", tmp_path, "--only", "1,2A,2C,3B,3G"
    )
    assert ended.returncode == 1
    assert "Traceback" not in ended.stdout + ended.stderr
    items = items_of(read_result(tmp_path, "student_template"))
    assert read_result(tmp_path, "student_template")["score"]["earned"] == 2
    assert items["1A"]["outcome"] == "failed"
    assert items["2C"]["outcome"] == "failed"
    assert items["2C"]["training"]["accuracy"] > 0.5


def test_ctrl_c(submission: Path, tmp_path: Path):
    """The report is written with the rest marked as not graded."""
    with subprocess.Popen(
        [GRADE, submission, "--practice", "--no-cache", "--verbose", "--output", tmp_path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "NO_COLOR": "1"},
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "epoch 1 of" in line:
                break
        children = psutil.Process(process.pid).children(recursive=True)
        assert children
        process.send_signal(signal.SIGINT)
        _, alive = psutil.wait_procs(children, timeout=20)
        process.communicate(timeout=60)
    assert process.returncode == 130
    assert not alive
    result = read_result(tmp_path, "student")
    assert not result["complete"]
    assert items_of(result)["1D"]["outcome"] == "passed"


@pytest.mark.parametrize(
    ("address", "is_open"),
    [
        ("tcp://head:8786", True),
        ("tcp://10.0.0.7:8786", True),
        ("tcp://127.0.0.1:8786", False),
        ("tcp://localhost:8786", False),
        ("tls://head:8786", False),
        ("", False),
    ],
)
def test_open_scheduler(address, is_open):
    """Only an address without TLS that other machines reach brings the warning."""
    assert is_open_scheduler(address) is is_open
