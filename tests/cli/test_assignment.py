"""`grade assignment`, as an author would use it, and the kit, as a student would."""

import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from grader.assignment.loading import bundled_assignments, load_assignment
from grader.errors import AssignmentError
from tests.cli.test_grade import GRADE, failed_checks, grade, items_of, read_result
from tests.support.paths import ROOT


@pytest.fixture(name="course")
def write_course(tmp_path: Path) -> Path:
    """A new assignment."""
    run = grade("assignment", "new", tmp_path / "course")
    assert run.returncode == 0, run.stderr
    return tmp_path / "course"


def change(file: Path, before: str, after: str) -> None:
    """Replace a text that stands in a file."""
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after))


def test_new(course: Path, tmp_path: Path):
    """A new assignment has the directory's name, loads, and is never written over."""
    assert load_assignment(str(course), needs_key=True).id == "course"
    again = grade("assignment", "new", course)
    assert again.returncode == 2
    assert "course is not empty" in again.stderr


def test_show(course: Path):
    """The handout names every part with its points, and no accepted value."""
    run = grade("assignment", "show", course)
    assert run.returncode == 0
    for part in ("1A", "1B", "1C", "1D", "1E", "2A", "2B", "2C"):
        assert f"### {part} " in run.stdout
    assert "Test accuracy at least 95.00% in the final epoch: 8 points" in run.stdout
    assert "80" not in re.findall(r"\d+", run.stdout)


def test_every_constructor_mistake(course: Path):
    """Misspelt and missing fields are reported together, each with its line."""
    file = course / "assignment.py"
    change(file, "question=", "qestion=")
    change(file, "units=32", "unit=32")
    with pytest.raises(AssignmentError) as caught:
        load_assignment(str(course))
    text = str(caught.value)
    assert re.search(r"assignment\.py:\d+: WrittenItem\.qestion: .*did you mean 'question'", text)
    assert re.search(r"assignment\.py:\d+: MaxHiddenUnits\.unit: .*did you mean 'units'", text)
    assert "WrittenItem: question is missing" in text


def test_mistakes_have_lines(course: Path):
    """A mistake in an item names the line of its part."""
    file = course / "assignment.py"
    change(
        file, "points=8,\n                        file", "points=9,\n                        file"
    )
    change(file, "Threshold(0.93)", "Threshold(93)")
    with pytest.raises(AssignmentError) as caught:
        load_assignment(str(course))
    line = file.read_text().splitlines().index('            id="2A",') + 1
    assert f"assignment.py:{line}: item 2A.threshold.accuracy: is 93" in str(caught.value)
    assert "write 0.975, not 97.5" in str(caught.value)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("Threshold(0.90, points=4", "Threshold(0.96, points=4", "must be harder than the one"),
        ('points=4, epoch="final"', 'points=9, epoch="final"', "the points must rise"),
        ('points=8, epoch="final"', 'points=7, epoch="final"', "give points to each"),
        ("Threshold(0.93)", "Threshold(rmse=0.3)", "give accuracy, which is what CrossEntropyLoss"),
        ("Threshold(0.93)", "Threshold(0.9, rmse=1)", "exactly one of accuracy and rmse"),
        ("Threshold(0.93)", 'Threshold(0.9), loss="MSELoss"', "digits has 10 classes"),
        ("Threshold(0.93)", 'Threshold(0.9), loss="BCEWithLogitsLoss"', "is for 2 classes"),
        ('"model_c.pt"', '"model_c.zip"', "must be a relative path that ends in .pt, .pth"),
        ('"2B.model"', '"2C"', "there is no model item '2C'"),
    ],
)  # fmt: skip
def test_wrong_thresholds(course: Path, before: str, after: str, message: str):
    """Thresholds, losses and weights that cannot be meant so are the author's mistakes."""
    change(course / "assignment.py", before, after)
    with pytest.raises(AssignmentError, match=re.escape(message)):
        load_assignment(str(course))


slow = pytest.mark.slow


@slow
@pytest.mark.parametrize("name", bundled_assignments())
def test_bundled_assignments(name: str):
    """Each bundled assignment passes its check, on embedded data where it has practice data."""
    practice = ["--practice"] if load_assignment(name).practice else []
    run = grade("assignment", "check", name, *practice)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "the reference earns every point, the template none" in run.stdout


@slow
def test_every_fault_at_once(course: Path):
    """A wrong reference, an answer in the template and a threshold out of reach are all named."""
    change(course / "reference" / "basics.py", "8 * (1 * 3 * 3 + 1)", "81")
    change(course / "template" / "basics.py", '"""1B', 'return 80\n    """1B')
    change(course / "assignment.py", "Threshold(0.93)", "Threshold(0.999)")
    run = grade("assignment", "check", course)
    assert run.returncode == 1
    assert "reference, 1B: loses 2 of 2 points" in run.stdout
    assert "reference, 2A: loses 4 of 4 points. Test accuracy:" in run.stdout
    assert "`grade assignment calibrate` proposes a threshold" in run.stdout
    assert "template, 1B: earns 2 of 2 points as it is" in run.stdout
    assert "3 mistakes" in run.stdout


@slow
def test_calibrate(course: Path):
    """Each model has a row, and a patch sets the proposed thresholds."""
    run = grade("assignment", "calibrate", course, "--seeds", "3")
    assert run.returncode == 0, run.stderr
    assert re.search(r"^2A +9\d\.\d\d% ", run.stdout, re.MULTILINE)
    assert re.search(r"^2B\.model +9\d\.\d\d% ", run.stdout, re.MULTILINE)
    patched = subprocess.run(
        ["git", "apply", "-p1"] if shutil.which("git") else ["patch", "-p1"],
        cwd=course,
        input=run.stdout[run.stdout.index("---") :],
        text=True,
        check=False,
    )
    assert patched.returncode == 0
    load_assignment(str(course))


@slow
def test_leak_stops_the_kit(course: Path, tmp_path: Path):
    """A model answer in the template is found, and no kit is written."""
    (course / "template" / "notes.md").write_text("A convolution uses the same few weights at\n"
        "every place of the image.")  # fmt: skip
    run = grade("assignment", "publish", course, "-o", tmp_path / "kit")
    assert run.returncode == 2
    assert "work/notes.md:1: holds the key of 1A" in run.stdout
    assert not (tmp_path / "kit").exists()


@slow
def test_kit_reveals_nothing(course: Path, tmp_path: Path):
    """In the kit a right and a wrong answer read alike, and hidden tests are for later."""
    kit = tmp_path / "kit"
    assert grade("assignment", "publish", course, "-o", kit).returncode == 0
    told = []
    for number, value in (("right", 80), ("wrong", 79)):
        file = kit / "work" / "basics.py"
        text = (course / "reference" / "basics.py").read_text()
        file.write_text(text.replace("8 * (1 * 3 * 3 + 1)", str(value)))
        output = tmp_path / number
        run = grade(
            kit / "work", "--quick", "--assignment", kit / "assignment", "--only", "1", "-o", output
        )
        items = items_of(read_result(output, "work"))
        told.append([check["observed"] for check in items["1B"]["checks"]])
        assert items["1B"]["score"]["pending"] == 2, run.stdout
        assert items["1C"]["score"] == {
            "possible": 4, "earned": 3, "pending": 1, "lost": 0, "undecided": 0,
        }  # fmt: skip
    assert [re.sub(r"\d+", "", str(each)) for each in told[:1]] == [
        re.sub(r"\d+", "", str(each)) for each in told[1:]
    ]


def test_untrusted_assignment(course: Path, tmp_path: Path):
    """An assignment that grader.toml names is not run unless the user says so."""
    proof = tmp_path / "proof"
    (course / "assignment.py").write_text(f"open({str(proof)!r}, 'w').close()\n")
    work = tmp_path / "work"
    work.mkdir()
    (work / "basics.py").write_text("")
    (tmp_path / "grader.toml").write_text('assignment = "course"\n')
    run = grade(work, "--quick", "-o", tmp_path / "out", XDG_CONFIG_HOME=str(tmp_path / "config"))
    assert run.returncode == 2
    assert "is not trusted on this machine" in run.stderr
    assert not proof.exists()


def test_bundled_name_needs_no_trust(tmp_path: Path):
    """A bundled assignment that grader.toml names is graded at once."""
    (tmp_path / "basics.py").write_text("def convolution_parameters():\n    return 80\n")
    (tmp_path / "grader.toml").write_text('assignment = "digits"\n')
    run = grade(tmp_path, "--quick", "--only", "1B", "-o", tmp_path / "out")
    assert "the assignment is digits, named by grader.toml" in run.stderr
    item = items_of(read_result(tmp_path / "out", tmp_path.name))["1B"]
    assert item["score"]["earned"] == 2, failed_checks(item)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("assignment = ", "cannot be read"),
        ("assignmnet = 'digits'\n", "has no line assignment = "),
        ("assignment = 'nowhere'\n", "names the assignment 'nowhere', which is not there"),
    ],
)
def test_wrong_settings(tmp_path: Path, text: str, message: str):
    """A broken grader.toml is named with the option that replaces it."""
    (tmp_path / "grader.toml").write_text(text)
    (tmp_path / "basics.py").write_text("")
    run = grade(tmp_path, "--quick")
    assert run.returncode == 2
    assert message in " ".join(run.stderr.split())
    assert "give --assignment" in run.stderr


@slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs a terminal of Linux")
def test_trusted_once(course: Path, tmp_path: Path):
    """The user is asked once, and again after the assignment has changed."""
    (tmp_path / "grader.toml").write_text('assignment = "course"\n')
    environment = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path / "config"), "COLUMNS": "100"}
    command = [GRADE, course / "reference", "--quick", "--only", "1B", "-o", tmp_path / "out"]
    (course / "grader.toml").write_text('assignment = "."\n')

    def run(answer: str) -> int:
        master, slave = pty.openpty()
        os.write(master, answer.encode())
        ended = subprocess.run(
            command, stdin=slave, capture_output=True, env=environment, check=False
        )
        os.close(slave)
        os.close(master)
        return ended.returncode

    assert run("n\n") == 2
    assert run("y\n") == 0
    assert run("") == 0
    change(course / "assignment.py", 'title="Digits"', 'title="Numbers"')
    assert run("n\n") == 2


@slow
def test_documented_commands(tmp_path: Path):
    """Every command of "From nothing to a graded class" runs as it is written there."""
    text = (ROOT / "docs" / "authoring.md").read_text(encoding="utf-8")
    section = text.partition("## From nothing")[2].partition("\n## ")[0]
    commands = re.findall(r"^\$ (grade [^#\n]*)", section, re.MULTILINE)
    assert len(commands) == 9
    for command in commands[:-1]:  # the last one serves a page until it is stopped
        if command.startswith("grade batch"):
            for student in ("ada", "alan"):
                shutil.copytree(
                    tmp_path / "course" / "reference", tmp_path / "submissions" / student
                )
        run = subprocess.run(
            [GRADE, *command.split()[1:]], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, (command, run.stdout, run.stderr)
    assert (tmp_path / "reports" / "index.html").is_file()
