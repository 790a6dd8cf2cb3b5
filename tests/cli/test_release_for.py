"""`grade release --for`: what each platform takes back, through the command line."""

from __future__ import annotations

import csv
import zipfile
from pathlib import Path

from tests.cli.test_class_settings import ASSIGNMENT, run
from tests.support.archive_samples import make_zip
from tests.support.data_samples import plane, save_arrays

WORKSHEET = """\
Identifier,Full name,Email address,Status,Grade,Maximum Grade,Feedback comments
Participant 11,Ada Lovelace,ada@b.org,Submitted,,10,
Participant 12,Ben Birne,ben@b.org,No submission,,10,
"""
GRADEBOOK = 'Student,ID,SIS User ID,SIS Login ID,Section\n"Lovelace, Ada",11,s1,ada,A\n'


def release(directory: Path, roster: str, name: str, platform: str) -> Path:
    """Grade a class of Ada's one file, and release it for a platform."""
    (directory / "mine.py").write_text(ASSIGNMENT)
    (directory / "roster.csv").write_text(roster)
    make_zip(directory / "class.zip", {name: "Because it is zero."})
    options = ("--assignment", directory / "mine.py", "--roster", directory / "roster.csv")
    assert run(directory, "batch", directory / "class.zip", *options).exit_code == 0
    target = directory / "feedback"
    result = run(directory, "release", "-o", target, "--for", platform)
    assert result.exit_code == 0, result.output
    return target


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_moodle(tmp_path: Path) -> None:
    """The zip has Moodle's directories, and the worksheet the points and a few sentences."""
    submitted = "Ada Lovelace_11_assignsubmission_file/written/1A.md"
    target = release(tmp_path, WORKSHEET, submitted, "moodle")
    names = zipfile.ZipFile(target / "feedback.zip").namelist()
    assert {name.partition("_assign")[0] for name in names} == {"Ada Lovelace_11", "Ben Birne_12"}
    assert all(name.endswith("/report.html") for name in names)
    ada, ben = rows_of(target / "worksheet.csv")
    assert ada["Grade"] == "0"
    assert "Not graded yet: 1A" in ada["Feedback comments"]
    assert "Nothing was submitted." in ben["Feedback comments"]


def test_canvas(tmp_path: Path) -> None:
    """The report has the beginning of the name of the student's own file."""
    target = release(tmp_path, GRADEBOOK, "lovelaceada_11_900_1A.md", "canvas")
    names = zipfile.ZipFile(target / "feedback.zip").namelist()
    assert names == ["lovelaceada_11_900_report.html"]


def test_mail(tmp_path: Path) -> None:
    """Each student has an address, sentences, and a report that is there."""
    submitted = "Ada Lovelace_11_assignsubmission_file/written/1A.md"
    target = release(tmp_path, WORKSHEET, submitted, "mail")
    rows = rows_of(target / "mail.csv")
    assert [row["email"] for row in rows] == ["ada@b.org", "ben@b.org"]
    assert "Nothing was submitted." in rows[1]["text"]
    assert all((target / row["report"]).is_file() for row in rows)


TRAINED = """
from grader.assignment import *

item = ModelItem(
    title="Plane", points=10, file="models.py", model="plane", optimizer="optimizer_plane",
    scheduler="scheduler_plane", reported="reported_plane", constraints=(),
    recipe=Recipe(epochs=1, maximum_epochs=1, batch_size=8, minimum_batch_size=4, fixed=True),
    dataset=FileDataset({source}), threshold=Threshold(0.9),
)
problem = Problem(
    id="1", title="Models", parts=(Part(id="1A", title="Plane", items=(("", item),)),)
)
ASSIGNMENT = Assignment(id="mine", title="Mine", points=10, problems=(problem,))
"""


def test_no_practice_set(tmp_path: Path) -> None:
    """An assignment that trains, and has no practice set, is released."""
    source = save_arrays(tmp_path, "plane.npz", plane())
    named = f'"{source.file}", sha256="{source.sha256}"'
    (tmp_path / "mine.py").write_text(TRAINED.replace("{source}", named))
    (tmp_path / "class" / "ada").mkdir(parents=True)
    (tmp_path / "class" / "ada" / "notes.md").write_text("Nothing yet.")
    options = ("--assignment", tmp_path / "mine.py")
    graded = run(tmp_path, "batch", tmp_path / "class", *options)
    assert graded.exit_code == 1, graded.output
    released = run(tmp_path, "release", "-o", tmp_path / "released")
    assert released.exit_code == 0, released.exception
