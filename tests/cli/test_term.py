"""A whole term by docs/teaching.md, command by command, ends alike in every layout of a class."""

from __future__ import annotations

import csv
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from grader.cli import caller, cli
from grader.cohort.store import STORE_NAME, Store
from grader.intake.pictures import list_pictures
from grader.review import server
from grader.review.accounts import invite
from grader.review.app import make_app
from grader.review.publishing import publish
from tests.review.test_app import Browser
from tests.support.class_layouts import LAYOUTS, ROSTER, ClassLayout
from tests.support.paths import ROOT

pytestmark = pytest.mark.slow

PUBLIC_HALF = """
from grader.assignment import AnswerItem, Assignment, Part, Problem, WrittenItem

def called(points, name):
    return AnswerItem(title=name, points=points, file="answers.py", function=name)

def written(points, id):
    return WrittenItem(title=id, points=points, question="Why?", file=f"written/{id}.md")

def problem(id, **items):
    parts = tuple(Part(id=id, title=item.title, items=(("", item),)) for id, item in items.items())
    return Problem(id=id, title=id, parts=parts)

problems = (
    problem("1", **{"1A": written(30, "1A"), "1B": written(10, "1B")}),
    problem("2", **{"2A": called(40, "number"), "2C": called(20, "layer")}),
)
ASSIGNMENT = Assignment(id="mine", title="Mine", points=100, seeds=(1,), problems=problems)
"""
KEY = """
from grader.assignment import Key, Rubric, RubricItem

def rubric(**points):
    items = tuple(RubricItem(id=id, text=id, points=one) for id, one in points.items())
    return Rubric(items=items, model_answer="So.")

KEY = Key(
    accepted=(("2A", (6,)), ("2C", ("relu",))),
    rubrics=(("1A", rubric(reason=20, clear=10)), ("1B", rubric(all=10))),
)
"""
WRONG, RIGHT = '"2A", (6,)', '"2A", (7,)'

JUDGED = {
    "ada": ("reason clear", "all"),
    "ben": ("reason", "none"),
    "zoe": ("reason", "all"),
    "dan": ("reason clear", "all"),
    "mara": ("reason", "all"),
    "anna1": ("reason clear", "none"),
    "anna2": ("clear", "all"),
    "ann": ("reason clear", "all"),
    "bob": ("reason clear", "all"),
    "dora": ("reason", "all"),
    "pia": ("reason clear", "all"),
    "fred": ("none", "all"),
    "siobhan": ("reason", "none"),
    "jose": ("reason clear", "all"),
    "minh": ("clear", "all"),
    "li": ("reason clear", "none"),
    "lukasz": ("reason", "all"),
    "piet": ("none", "none"),
    "sukarno": ("reason clear", "all"),
    "jeanluc": ("reason clear", ""),
    "grace": ("reason", "all"),
}
"""What people find in the answers to 1A and 1B."""

FIRST, ON_THE_LAPTOP = "ada", "minh"
"""Whose answer to 1A is judged on the page, and whose in the copy of the class."""

GRADEBOOK = {
    "ada": "60",  # 30 + 10, and by the right key 0 + 20
    "ben": "70",  # 20 + 0, 40, and 10 by decision
    "zoe": "90",  # 20 + 10, 40 + 20; a day late, for which she has a slip day
    "dan": "32",  # 30 + 10; three days late with one slip day left, so a fifth is lost
    "mara": "30",  # 20 + 10; in time, as a person decided
    "anna1": "30",
    "anna2": "20",
    "ann": "42",  # as Bob, and 2 extra
    "bob": "40",
    "dora": "30",
    "paul": "80",  # on paper
    "nils": "",
    "pia": "40",
    "fred": "10",
    "siobhan": "20",
    "jose": "40",
    "minh": "20",
    "li": "30",
    "lukasz": "30",
    "piet": "0",
    "sukarno": "40",
    "jeanluc": "30",
    "grace": "30",
}
"""Everybody's final points, but those of Carl, who left."""

SLIP_DAYS = {"zoe": "1", "dan": "5"}
"""Used until now, the earlier assignments included."""


def documented() -> Iterator[tuple[str, ...]]:
    """The commands of docs/teaching.md, in its order."""
    text = (ROOT / "docs" / "teaching.md").read_text(encoding="utf-8")
    for block in re.findall(r"^```console\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            yield tuple(shlex.split(line.removeprefix("$ "), comments=True))


@dataclass(kw_only=True)
class Term:
    """A class in one layout, and what a person does between the commands.

    Attributes:
        told: what the commands printed, by command.
    """

    course: Path
    layout: ClassLayout
    told: dict[str, str] = field(default_factory=dict)

    def run(self) -> None:
        """Run the term of docs/teaching.md."""
        for command in documented():
            if command[:3] == ("grade", "class", "remove"):
                for more in self.layout.more:
                    self.call(more)
            self.prepare(command)
            self.call(command)

    def call(self, command: tuple[str, ...]) -> None:
        """Run a command with this layout's names, unless it is about what the layout knows."""
        words = {
            "submissions.zip": self.layout.submissions,
            "gradebook.csv": self.layout.roster,
            "canvas": self.layout.export,
            "moodle": self.layout.back,
            **self.layout.words,
        }
        if "team7" in command and "team7" not in words:
            return
        done = self.invoke(*(words.get(word, word) for word in command[1:]))
        assert done.exit_code in ({0, 1} if "batch" in command else {0}), (command, done)
        self.told[" ".join(command)] = done.output

    def invoke(self, *arguments: str) -> Result:
        done = CliRunner().invoke(cli, arguments)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done

    def prepare(self, command: tuple[str, ...]) -> None:
        """Do what a person does before a command."""
        match command[1:]:
            case ("review", "import", table):
                self.fill_in(self.course / table)
            case ("batch", _, "--change-settings"):
                (self.course / "course" / "key.py").write_text(KEY.replace(WRONG, RIGHT))

    def fill_in(self, table: Path) -> None:
        """Judge in the spreadsheet what is not judged yet, but for the laptop's answer."""
        with table.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
        for row in rows:
            key = self.key_of(row["student"])
            first, second = JUDGED[key]
            is_left = (key, row["item"]) == (ON_THE_LAPTOP, "1A")
            found = "" if is_left else first if row["item"] == "1A" else second
            row["found"] = row["found"] or found
        with table.open("w", encoding="utf-8-sig", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)

    def points(self, table: str, column: str, ids: str = "id") -> dict[str, str]:
        """A column of an exported table, by student."""
        with (self.course / table).open(encoding="utf-8-sig", newline="") as file:
            return {self.key_of(row[ids]): row[column] for row in csv.DictReader(file) if row[ids]}

    def key_of(self, identity: str) -> str:
        """The student of an id, or of Moodle's number."""
        words = {word: key for key, word in self.layout.words.items()}
        numbers = {f"{500 + one.number}": one.key for one in ROSTER}
        return words.get(identity) or numbers[re.sub(r"\D+", "", identity)]


def judge_on_the_page(store, assignment, output, **_address: object) -> None:
    """Stand in for the server: judge one answer to 1A in a browser, then publish as at its end."""
    browser = Browser(make_app(store, assignment, output, ""))
    browser.join(invite(store, "Ina", by="Ina"))
    whose = ON_THE_LAPTOP if output.name == "laptop" else FIRST
    page = browser.open("/items/1A/next")
    for _ in JUDGED:
        if f"Because {whose} says" in page.text:
            assert browser.judge(page, found=JUDGED[whose][0].split()).status_code == 303
            break
        page = browser.open(re.search(r'href="([^"]+)"[^>]*>Next', page.text)[1])
    else:
        raise AssertionError(f"no page has the answer of {whose}")
    publish(store, assignment, output)


@pytest.fixture(
    name="term",
    scope="module",
    params=[name for name in LAYOUTS if name != "classroom" or shutil.which("git")],
)
def run_term(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Term:
    """The term of a class in one layout, at its end."""
    course = tmp_path_factory.mktemp("course")
    (course / "course").mkdir()
    (course / "course" / "assignment.py").write_text(PUBLIC_HALF)
    (course / "course" / "key.py").write_text(KEY)
    term = Term(course=course, layout=LAYOUTS[request.param](course))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(caller, "_directories", [course])
        patch.setattr(server, "serve", judge_on_the_page)
        patch.chdir(course)
        term.run()
    return term


def test_gradebook(term: Term) -> None:
    """Every layout ends with the same points, and the same slip days for the next assignment."""
    assert term.points("points.csv", "points") == GRADEBOOK
    assert set(term.points("points.csv", "points_pending").values()) == {"0", ""}
    slip_days = term.points("points.csv", "slip_days_used")
    assert {key: days for key, days in slip_days.items() if days != "0"} == SLIP_DAYS


CORRECTED = {"ada": ("100", "60"), "ben": ("20", "60"), "zoe": ("50", "90")}
"""The points by the wrong key and by the right one, of those who had something else."""


def test_correction_of_the_key(term: Term) -> None:
    """What the right key changes is told, and the same points are taken back."""
    found = re.findall(r"^.+?: (\d+) → (\d+) \(", term.told["grade diff"], re.MULTILINE)
    assert sorted(found) == sorted(CORRECTED.values())
    found = re.findall(r"^  (.+): (\d+) → (\d+)$", term.told["grade undo --yes"], re.MULTILINE)
    taken_back = {term.key_of(identity): (before, after) for identity, after, before in found}
    assert taken_back == CORRECTED


PLATFORM_COLUMNS = {
    "canvas": ("ID", "Mine"),
    "moodle": ("Identifier", "Grade"),
    "moodle-german": ("ID", "Bewertung"),
    "nbgrader": ("student_id", "score"),
}
"""The columns of ids and of points that a platform takes back."""


def test_taken_back(term: Term) -> None:
    """The platform's own table has the same points, and nobody waits for a person."""
    name = term.layout.name
    if name in PLATFORM_COLUMNS:
        found = term.points("grades.csv", PLATFORM_COLUMNS[name][1], PLATFORM_COLUMNS[name][0])
        assert found == GRADEBOOK
    page = (term.course / "reports" / "index.html").read_text()
    assert "grade class match" not in page
    assert (term.course / "feedback" / "students").is_dir()


def test_pictures(term: Term) -> None:
    """A photo and the page of a PDF, handed in for a text, are there for who judges them."""
    with Store(term.course / "reports" / STORE_NAME) as store:
        folders = {term.key_of(each.student.id): each.folder for each in store.summaries()}
    kept = {
        key: list_pictures(term.course / "reports" / one) for key, one in folders.items() if one
    }
    assert {key: len(pictures) for key, pictures in kept.items() if pictures} == {
        "pia": 1,
        "fred": 1,
    }


def test_told_of_decisions(term: Term) -> None:
    """Who was graded by a decision alone reads it, and who handed in nothing reads that."""
    without = term.told["grade release -o feedback/ --for moodle"].rpartition("says why: ")[2]
    assert [term.key_of(one) for one in without.strip().split(", ")] == ["nils"]


def test_documented(term: Term) -> None:
    """Every command of docs/teaching.md was run, but for a team that the platform knows."""
    commands = set(map(" ".join, documented()))
    assert len(commands) > 20
    known = set() if term.layout.name == "folders" else {"grade class match team7 ann,bob"}
    assert commands - term.told.keys() <= known
