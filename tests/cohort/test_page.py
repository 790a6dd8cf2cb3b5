"""The class page as a file: what it says of a class, and that nothing in it can act."""

import base64
import hashlib
import re
import subprocess
import sys
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import pytest

from grader.cohort import statistics
from grader.cohort.page import SHOWN_GROUPS, render_class_page, write_class_page
from grader.cohort.similarity import Likeness, Shared, SimilarGroup, Similarity
from grader.cohort.statistics import Rate, Reason, concerns
from grader.cohort.summary import CheckSummary, ItemSummary, Status, summarize_items
from grader.results import Lateness, Outcome
from grader.text import make_visible
from tests.support.class_samples import ERROR_MESSAGE, UNUSABLE_MESSAGE, make_summaries, summary_of
from tests.support.golden import assert_golden, stable_html
from tests.support.result_sample_items import score_of
from tests.support.result_samples import (
    HOSTILE_STRINGS,
    broken_result,
    good_result,
    map_strings,
    unfinished_result,
)

TITLE = "Set 4"


class Page(HTMLParser):
    """A parsed page: its elements, what a reader sees, and what style sheet and script hold."""

    def __init__(self, source) -> None:
        super().__init__()
        self.elements, self.text, self.inlined = [], "", {"style": "", "script": ""}
        self._tag = ""
        self.feed(source)
        self.close()

    def handle_starttag(self, tag, attributes):
        self._tag = tag
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        self._tag = ""

    def handle_data(self, data):
        if self._tag in self.inlined:
            self.inlined[self._tag] += data
        else:
            self.text += data

    def all(self, tag):
        return [attributes for own_tag, attributes in self.elements if own_tag == tag]

    def rows(self):
        return [row for row in self.all("tr") if "data-flags" in row]


def render(summaries, similar=None):
    return render_class_page(summaries, similar or Similarity(), title=TITLE)


def row_of(source, student_id):
    """The table's row of one student, without markup."""
    rows = re.findall(r"<tr data-failed.*?</tr>", source, re.DOTALL)
    (row,) = [row for row in rows if f"<td>{student_id}" in row]
    return [unescape(re.sub("<[^>]*>", "", cell)) for cell in re.split("</t[hd]>", row)[:-1]]


@pytest.fixture(scope="module")
def summaries():
    return make_summaries(60)


@pytest.fixture(scope="module")
def source(summaries):
    return render(summaries)


def test_whole_page():
    """The whole page of a class with every kind of student and likeness is the golden file."""
    summaries = make_summaries(20)
    first, second = (summary.student.id for summary in summaries[:2])
    both = frozenset({first, second})
    shared = (
        Shared(kind=Likeness.MODEL, subject="2C", student_ids=both | {"s0002"}),
        Shared(kind=Likeness.CODE, subject="problem_2.py", student_ids=both, share=0.97),
    )
    similar = Similarity(
        groups=(SimilarGroup(student_ids=(first, second), shared=shared),),
        common=(Shared(kind=Likeness.ANSWER, subject="3D", student_ids=frozenset("abcdefghi")),),
        not_compared="it took longer than 900 seconds",
    )
    assert_golden(stable_html(render(summaries, similar)), "class_page.html")


def test_whole_class_without_script(summaries, source):
    """Nothing is hidden but the controls, which need the script."""
    page = Page(source)
    assert len(page.rows()) == len(summaries)
    hidden = [
        (tag, attributes["id"]) for tag, attributes in page.elements if "hidden" in attributes
    ]
    assert hidden == [("form", "controls")]
    assert all(f"<td>{summary.student.id}" in source for summary in summaries)


def test_row_of_a_graded_student():
    """A graded student's row: name, id, result, points, what is awaited, parts, remarks."""
    summary = summary_of("ada", items=summarize_items(broken_result()), name="Ada", folder="a b?")
    page = render([summary])
    name, student_id, verdict, points, awaited, failed, _ = row_of(page, "ada")
    assert (name, student_id, verdict) == ("Ada", "ada", "fell short")
    assert float(points) == summary.score.earned
    assert float(awaited) == summary.score.pending
    assert failed.split(", ") == statistics.failed_parts(summary)
    assert 'href="./a%20b%3F/report.html"' in page


def test_rows_without_a_grade(source):
    """An error and a missing submission count no points; what is unusable counts none earned."""
    error, unusable, missing = (row_of(source, one) for one in ("s0007", "s0011", "s0013"))
    assert error[2:4] == ["grader error", ""]
    assert ERROR_MESSAGE in error[-1]
    assert unusable[2:4] == ["unusable", "0"]
    assert UNUSABLE_MESSAGE in unusable[-1]
    assert missing[2:4] == ["missing", ""]
    assert "/s0007/" not in source


def test_points_before_and_after_penalties(summaries, source):
    """The raw score stays beside the final one; the column is left out where nobody was late."""
    late = next(one for one in summaries if one.late.penalty_points)
    cells = row_of(source, late.student.id)
    assert float(cells[3]) == pytest.approx(late.final_points, abs=0.01)
    assert float(cells[4]) == late.score.earned
    assert "Before penalty" in source
    assert "Before penalty" not in render(summaries[:3])


def test_reasons(summaries, source):
    """Every reason of the class has its heading with the number of students."""
    for reason, heading in (
        (Reason.ERROR, "No grade because of an error"),
        (Reason.UNUSABLE, "No usable submission"),
        (Reason.LATE_UNKNOWN, "Late by an unknown time"),
        (Reason.BORDERLINE, "Borderline: chance may have decided"),
        (Reason.REPORTED, "Reported accuracy not reproduced"),
    ):
        number = sum(reason in concerns(summary) for summary in summaries)
        assert number
        assert re.search(f"{heading} <span[^>]*>{number} student", source)


def test_unclear_files():
    """A file that may cost points by its name alone stands under what needs a person."""
    unclear = "problem_2.py: not handed in; there is final.py"
    page = Page(render([summary_of("ada", items=(), unclear_files=unclear)])).text
    assert "Files whose names or form are unclear" in page
    assert unclear in page


def test_class_without_problems():
    """No heading stands over an empty list."""
    items = tuple(item for item in summarize_items(good_result()) if item.kind == "answer")
    page = Page(render([summary_of("ada", items=items)])).text
    assert "No result needs a person." in page
    assert "No check failed." in page
    assert "No model was trained." in page


def test_empty_class():
    """A class without graded students has a page, too."""
    assert "No student is graded yet." in render([])


def test_incomplete_is_not_passed():
    """A student with items left out by --only or --quick has not passed."""
    items = tuple(
        item
        for item in summarize_items(unfinished_result())
        if item.outcome in {Outcome.PASSED, Outcome.SKIPPED}
    )
    page = render([summary_of("ada", items=items, complete=False)])
    assert row_of(page, "ada")[2] == "incomplete"


def test_practice():
    """Over the page, in its title, and in words: these are not grades."""
    page = render(make_summaries(5, practice=True))
    assert 'class="class-page practice"' in page
    assert "<title>PRACTICE: " in page
    assert "5 of 5 results" in page
    assert "PRACTICE" not in Page(render(make_summaries(5))).text


def test_many_groups(summaries):
    """The page stays readable, whatever is alike."""
    shared = (Shared(kind=Likeness.MODEL, subject="2C", student_ids=frozenset("ab")),)
    group = SimilarGroup(student_ids=("a", "b"), shared=shared)
    page = Page(render(summaries, Similarity(groups=(group,) * (SHOWN_GROUPS + 3)))).text
    assert "3 more groups share less." in page
    assert page.count("2C: same model and recipe") == SHOWN_GROUPS


def hostile_class(shift):
    """Students with hostile text in every field."""
    texts = HOSTILE_STRINGS[shift:] + HOSTILE_STRINGS[:shift]
    number = iter(range(10**6))
    summaries = [
        summary_of("x", items=summarize_items(broken_result()), name="x", email="x", message="x"),
        summary_of("x", status=Status.ERROR, message="x"),
        summary_of("x", late=Lateness(needs_person=True, reason="x")),
    ]
    made = [map_strings(one, lambda _: texts[next(number) % len(texts)]) for one in summaries]
    return [replace(summary, graded_at="2026-11-25T08:00:00+00:00") for summary in made]


@pytest.mark.parametrize("shift", range(len(HOSTILE_STRINGS)))
def test_hostile_text_is_inert(shift):
    """No element, attribute or address of theirs, and nothing invisible, reaches the page."""
    summaries = hostile_class(shift)
    shared = Shared(
        kind=Likeness.CODE, subject=HOSTILE_STRINGS[shift], student_ids=frozenset(HOSTILE_STRINGS)
    )
    group = SimilarGroup(student_ids=HOSTILE_STRINGS, shared=(shared,))
    similar = Similarity(groups=(group,), common=(shared,), not_compared=HOSTILE_STRINGS[shift])
    source = render_class_page(summaries, similar, title=HOSTILE_STRINGS[shift])
    page = Page(source)
    assert make_visible(source) == source
    assert {tag for tag, _ in page.elements} <= {tag for tag, _ in Page(render([])).elements} | {
        tag for tag, _ in Page(render(make_summaries(60), similar)).elements
    }
    assert len(page.all("script")) == len(page.all("style")) == 1
    for _, attributes in page.elements:
        assert not any(name.startswith("on") or name in {"style", "src"} for name in attributes)
        assert re.match(r"#|\./|data:,$|$", attributes.get("href", ""))
    assert '<script>document.title = "owned"</script>' in page.text


def test_policy(source):
    """The policy allows exactly the inlined styles and scripts."""
    page = Page(source)
    (policy,) = [one["content"] for one in page.all("meta") if "http-equiv" in one]
    hashes = {
        name: base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for name, text in page.inlined.items()
    }
    assert policy == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{hashes['style']}'; "
        f"script-src 'sha256-{hashes['script']}'; base-uri 'none'; form-action 'none'"
    )


def test_ids_and_links(source):
    """Labels, descriptions and links find what they name."""
    page = Page(source)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    named = {
        name
        for _, attributes in page.elements
        for key in ("for", "aria-labelledby")
        for name in attributes.get(key, "").split()
    }
    linked = {link["href"][1:] for link in page.all("a") if link["href"].startswith("#")}
    assert named | linked <= set(ids)


def test_page_is_replaced_at_once(summaries, tmp_path):
    """It is written beside the earlier one, then takes its place."""
    path = tmp_path / "index.html"
    path.write_text("earlier")
    write_class_page(summaries, Similarity(), path, title=TITLE)
    assert path.read_text(encoding="utf-8") == render(summaries)
    assert [entry.name for entry in tmp_path.iterdir()] == ["index.html"]


def test_page_is_small():
    """A student takes less than a kilobyte: no check of a single student is in the page."""
    few, many = (len(render(make_summaries(count))) for count in (20, 120))
    assert (many - few) / 100 < 1000


def test_nothing_heavy_is_loaded():
    """The page is written by a grader that may have trained nothing."""
    code = (
        "import sys; from grader.cohort.page import render_class_page\n"
        "from tests.support.class_samples import make_summaries\n"
        "from grader.cohort.similarity import Similarity\n"
        "render_class_page(make_summaries(30), Similarity(), title='x')\n"
        "print(sorted({'torch', 'matplotlib', 'copydetect'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def item(outcome, *, part="1A", observed="", checks=None):
    check = CheckSummary(id="value", title="Value", outcome=outcome, observed=observed)
    return ItemSummary(
        id=f"{part}.x",
        part=part,
        title="What",
        kind="answer",
        outcome=outcome,
        score=score_of(outcome, 4),
        checks=(check,) if checks is None else checks,
    )


def test_pass_rates():
    """Neither skipped items nor errors are one; while one is pending there is no rate yet."""
    outcomes = [*[Outcome.PASSED] * 3, Outcome.FAILED, Outcome.SKIPPED, Outcome.ERROR]
    summaries = [summary_of(str(n), items=(item(one),)) for n, one in enumerate(outcomes)]
    (part,) = statistics.part_rates(summaries)
    assert part.rate == part.checks[0].rate == Rate(passed=3, failed=1, undecided=2)
    assert part.rate.share == 0.75
    summaries.append(summary_of("last", items=(item(Outcome.PENDING),)))
    (part,) = statistics.part_rates(summaries)
    assert (part.rate.pending, part.rate.share) == (1, None)


def test_parts_pass_by_automatic_verdicts():
    """A written item beside an automatic one leaves the part's verdict to the automatic one."""
    written = replace(item(Outcome.PENDING), id="1A.text")
    summary = summary_of("ada", items=(item(Outcome.PASSED), written))
    (part,) = statistics.part_rates([summary])
    assert part.rate == Rate(passed=1)


def test_common_failures():
    """Only the first failure of an item counts, since the others may follow from it."""
    follows = CheckSummary(id="later", title="Later", outcome=Outcome.FAILED)
    first = item(Outcome.FAILED, observed="600").checks[0]
    summaries = [
        summary_of(str(n), items=(item(Outcome.FAILED, checks=(first, follows)),)) for n in range(3)
    ]
    rare = item(Outcome.FAILED, part="1B", observed="7")
    summaries.append(summary_of("last", items=(rare,)))
    found = statistics.common_failures(summaries)
    assert [(one.item_id, one.title, one.students, one.observed) for one in found] == [
        ("1A.x", "Value", 3, "600"),
        ("1B.x", "Value", 1, "7"),
    ]
