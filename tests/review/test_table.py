"""Judgements out to a spreadsheet and back, under the rules of the page."""

import csv

import pytest
from click.testing import CliRunner

from grader.cli.review import review
from grader.errors import UsageError
from grader.review.answers import collect_answers
from grader.review.store import ConflictError
from grader.review.table import COLUMNS, Imported, export_table, import_table
from tests.support.review_class import SET4, give, hand_in, make_class

FORMULA = '=HYPERLINK("https://evil.example","points")'


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """Two students; one answers with a formula, and is named like one."""
    return make_class(tmp_path_factory.mktemp("class"), {"ada": {}, "=bob": {"2B": FORMULA}})


@pytest.fixture
def table(tmp_path, store):
    """An exported table."""
    path = tmp_path / "answers.csv"
    assert export_table(store, SET4, path) == 16
    return path


def read_rows(path):
    """The rows as a spreadsheet would read them."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def fill_in(path, changes):
    """Change cells: by item and student, the columns' new values."""
    rows = read_rows(path)
    for row in rows:
        row.update(changes.get((row["item"], row["student"]), {}))
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def current(store, item_id, student_id):
    """A student's judgement."""
    entries = store.entries(item_id)
    return next(entry.current for entry in entries if entry.student_id == student_id)


def test_no_cell_is_a_formula(store, table):
    """Answers, names and comments that look like one are text to every spreadsheet."""
    give(store, "1A", "ada", comment="+1 for the idea")
    export_table(store, SET4, table)
    cells = [cell for row in read_rows(table) for cell in row.values()]
    assert f"'{FORMULA}" in cells
    assert "'=bob" in cells
    assert "'+1 for the idea" in cells
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in cells)


def test_import(store, table):
    """Rubric items, adjustment, comment and flag are read; "none" finds nothing."""
    fill_in(
        table,
        {
            ("1A", "ada"): {
                "found": "forward, for-ever",
                "adjustment": "-0,5",
                "comment": "'-1 would be harsh",
                "flagged": "yes",
            },
            ("2B.text", "'=bob"): {"found": "none"},
        },
    )
    imported = import_table(store, SET4, table, grader="grace")
    # Both students gave the first answer, and only one the second.
    assert imported == Imported(judged=3, unchanged=0, empty=13)
    assert current(store, "1A", "=bob").rubric_items == ("forward", "for-ever")
    judgement = current(store, "1A", "ada")
    assert judgement.rubric_items == ("forward", "for-ever")
    assert (judgement.adjustment, judgement.flagged) == (-0.5, True)
    assert judgement.comment == "-1 would be harsh"
    assert current(store, "2B.text", "=bob").rubric_items == ()
    assert store.newest_changes(9)[0].kind == "import"


def test_round_trip(store, table):
    """An exported table changes no judgement when it comes back."""
    give(store, "1A", "ada", "forward", comment="=Fine\n'so'", flagged=True)
    give(store, "1B", "ada", adjustment=1.5)
    export_table(store, SET4, table)
    imported = import_table(store, SET4, table, grader="hal")
    # Both students gave these two answers, so there are four judgements.
    assert imported == Imported(judged=0, unchanged=4, empty=12)
    assert current(store, "1A", "ada").grader == "grace"


@pytest.mark.parametrize(
    ("cells", "sentence"),
    [
        ({"found": "forward nonsense"}, "the rubric has no item 'nonsense'; it has forward"),
        ({"adjustment": "much"}, "the adjustment 'much' is not a number"),
        ({"comment": "x" * 10_001}, "the comment has more than 10,000 characters"),
        ({"student": "eve"}, r"row 2 \(1A, eve\): the class has no such answer"),
        ({"item": "2C"}, "the class has no such answer"),
    ],
)
def test_wrong_row(cells, sentence, store, table):
    """One wrong row refuses the whole table; the message names the row and the mistake."""
    first = read_rows(table)[0]
    fill_in(
        table,
        {
            (first["item"], first["student"]): {"found": "none"} | cells,
            ("1B", "ada"): {"found": "not-zero"},
        },
    )
    with pytest.raises(UsageError, match=sentence):
        import_table(store, SET4, table, grader="grace")
    assert store.newest_changes(1) == []


def test_equal_answers_judged_alike(store, table):
    """Two rows of one answer must agree."""
    fill_in(table, {("1A", "ada"): {"found": "forward"}, ("1A", "'=bob"): {"found": "none"}})
    with pytest.raises(UsageError, match="gave the same answer to 1A, and are judged differently"):
        import_table(store, SET4, table, grader="grace")
    assert current(store, "1A", "ada") is None


def test_other_encodings(store, table):
    """A spreadsheet's Windows-1252 and UTF-16 are read."""
    for encoding in ("utf-16", "cp1252"):
        cells = {"found": "none", "comment": f"Für dich: {encoding}"}
        fill_in(table, {("1A", "ada"): cells, ("1A", "'=bob"): cells})
        table.write_bytes(table.read_text(encoding="utf-8-sig").encode(encoding, "replace"))
        import_table(store, SET4, table, grader="grace")
        assert current(store, "1A", "ada").comment == f"Für dich: {encoding}"
        export_table(store, SET4, table)


def test_judged_since_export(store, table):
    """The whole table is refused, and the message names the faster grader."""
    give(store, "1A", "ada", "forward", grader="hal")
    fill_in(table, {("1A", "ada"): {"found": "none"}, ("1B", "ada"): {"found": "not-zero"}})
    with pytest.raises(ConflictError, match="judged by hal since the export"):
        import_table(store, SET4, table, grader="grace")
    assert current(store, "1A", "ada").grader == "hal"
    assert current(store, "1B", "ada") is None


def test_changed_since_export(store, output, table):
    """A judgement of an earlier answer is refused."""
    fill_in(table, {("1A", "ada"): {"found": "forward"}})
    hand_in(store, output, "ada", {"1A": "Another answer."})
    collect_answers(store, output)
    with pytest.raises(ConflictError, match="another answer since the export"):
        import_table(store, SET4, table, grader="grace")


@pytest.mark.parametrize(("delimiter", "above"), [(";", ""), ("\t", ""), (";", "sep=;\n")])
def test_other_delimiters(delimiter, above, store, table):
    """A spreadsheet's semicolons and tabs are read as the roster's are."""
    give(store, "1A", "ada", "forward", comment="one; two,\tthree")
    export_table(store, SET4, table)
    with table.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))
    with table.open("w", encoding="utf-8", newline="") as file:
        file.write(above)
        csv.writer(file, delimiter=delimiter).writerows(rows)
    imported = import_table(store, SET4, table, grader="hal")
    assert imported == Imported(judged=0, unchanged=2, empty=14)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"a,b\n1,2\n", "lacks the columns"), (b"\xff\xfe\x00", "lacks the columns")],
)
def test_other_files(content, message, store, tmp_path):
    """Other files are refused."""
    path = tmp_path / "other.csv"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=message):
        import_table(store, SET4, path, grader="grace")


def test_commands(output, tmp_path):
    """Export, import, invite and revoke work as typed, and reports follow at once."""
    path = str(tmp_path / "answers.csv")
    own = ["--output", str(output)]
    runner = CliRunner()
    assert "16 answers in" in runner.invoke(review, ["export", path, *own]).output
    fill_in(tmp_path / "answers.csv", {("1A", "ada"): {"found": "forward", "comment": "So far."}})
    said = runner.invoke(review, ["import", path, *own, "--as", "grace"]).output
    assert said == (
        "2 judgements imported, 0 unchanged, 14 rows without a judgement; 2 reports written\n"
    )
    assert "So far." in (output / "ada" / "report.html").read_text()
    link = runner.invoke(review, ["invite", "hal", *own, "--public-url", "https://g.example/"])
    assert link.output.startswith("https://g.example/join?token=")
    assert runner.invoke(review, ["revoke", "hal", *own]).output == "hal can no longer grade\n"
