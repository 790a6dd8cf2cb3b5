"""Tests of what GitHub Actions shows: the Markdown summary, and annotations."""

import dataclasses
from html.parser import HTMLParser
from pathlib import PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from grader.platforms.github.summary import (
    LARGEST_SUMMARY_BYTES,
    MOST_ANNOTATIONS,
    render_annotations,
    render_summary,
    write_summary,
)
from grader.text import clean_block
from tests.support.actions_runner import obeyed
from tests.support.golden import assert_golden
from tests.support.result_samples import (
    ALL_SAMPLES,
    HOSTILE_STRINGS,
    broken_result,
    change_item,
    good_result,
    hostile_results,
    map_strings,
    practice_result,
    unfinished_result,
)

TAGS = {
    *("h1", "h2", "h3", "p", "strong", "code", "pre", "details", "summary", "ul", "li"),
    *("blockquote", "table", "thead", "tbody", "tr", "th", "td"),
}


class Shown(HTMLParser):
    """A summary as a reader sees it: its elements, and the text in them."""

    def __init__(self, markdown: str) -> None:
        super().__init__()
        self.tags = []
        self.text = ""
        self.feed(MarkdownIt("commonmark").enable("table").render(markdown))

    def handle_starttag(self, tag, attributes):
        assert not attributes
        self.tags.append(tag)

    def handle_data(self, data):
        self.text += data


def annotations(result, folder="work"):
    """The annotations as the runner reads them."""
    return obeyed(render_annotations(result, PurePosixPath(folder)))


@pytest.mark.parametrize("name", ["broken", "recorded", "tested", "unfinished"])
def test_golden_summary(name):
    """The whole output is the golden file."""
    assert_golden(render_summary(ALL_SAMPLES[name]()), f"github_{name}.md")


@pytest.mark.parametrize("name", ALL_SAMPLES)
def test_markdown_elements(name):
    """Headings, tables and lists come out, and every failed item's facts can be read."""
    result = ALL_SAMPLES[name]()
    shown = Shown(render_summary(result))
    assert {"h1", "table"} <= set(shown.tags) <= TAGS
    for item in result.items():
        for check in item.checks:
            if check.next_step:
                assert check.next_step in shown.text


def test_practice_and_unsafe():
    """Neither can be taken for a grade."""
    assert "This is not a grade" in render_summary(practice_result())
    assert "without a sandbox" in render_summary(unfinished_result())
    assert "[!" not in render_summary(good_result())


def test_hostile_strings_are_inert():
    """No link, image, tag or table cell of a submission is made, and its text is still shown."""
    seen = ""
    for hostile in hostile_results():
        summary = render_summary(hostile)
        assert "://" not in summary
        shown = Shown(summary)
        assert set(shown.tags) <= TAGS
        seen += shown.text
    for text in HOSTILE_STRINGS:
        assert " ".join(clean_block(text).split())[:500] in " ".join(seen.split())


@settings(max_examples=30)
@given(text=st.text().filter(str.strip))
def test_any_text_is_inert(text):
    """The elements of a summary are the same whatever a student wrote."""
    result = broken_result()
    plain, odd = (Shown(render_summary(map_strings(result, lambda _, t=t: t))) for t in ("x", text))
    assert plain.tags == odd.tags


def test_largest_summary(tmp_path):
    """However much fails, it fits beside what the step wrote before, and says what it lacks."""
    result = map_strings(broken_result(), lambda text: f"{text}{'&' * 1000}")
    part = result.problems[0].parts[0]
    items = tuple(
        dataclasses.replace(item, id=f"{item.id}.{number}")
        for number in range(100)
        for item in result.items()
    )
    part = dataclasses.replace(part, items=items)
    problem = dataclasses.replace(result.problems[0], parts=(part,))
    path = tmp_path / "summary.md"
    path.write_text("before\n" * 50_000)
    write_summary(dataclasses.replace(result, problems=(problem,)), path)
    assert 1_000_000 < path.stat().st_size <= LARGEST_SUMMARY_BYTES < 2**20
    assert path.read_text().endswith("It is in the report.\n")


def test_no_room(tmp_path):
    """A full file stays as it is."""
    path = tmp_path / "summary.md"
    path.write_bytes(b"x" * LARGEST_SUMMARY_BYTES)
    write_summary(broken_result(), path)
    assert path.stat().st_size == LARGEST_SUMMARY_BYTES


def test_annotations_on_lines():
    """Those with a line come first, and of these the ones that cost most."""
    found = annotations(broken_result())
    assert len(found) == MOST_ANNOTATIONS
    assert {command.name for command in found} == {"error"}
    assert found[0].properties == {
        "file": "work/problem_2.py",
        "line": "40",
        "title": "2C: Best test accuracy",
    }
    assert "observed: 97.34% in the best epoch" in found[0].data
    assert "\nnext step: Train longer" in found[0].data
    assert "file" not in found[-1].properties


def test_at_most_ten_annotations():
    """GitHub would show no more."""
    result = broken_result()
    for number, item in enumerate(good_result().items()):
        failed = next(i for i in broken_result().items() if i.id == "3B")
        check = dataclasses.replace(failed.checks[-1], observed=f"fault {number}")
        result = change_item(result, item.id, outcome=failed.outcome, checks=(check,))
    assert len(annotations(result)) == MOST_ANNOTATIONS


def test_one_annotation_for_a_fault():
    """A file that cannot be imported fails all its items, and is one annotation."""
    result = broken_result()
    failed = next(item for item in result.items() if item.id == "3B")
    for item_id in ("3C", "3D"):
        result = change_item(result, item_id, outcome=failed.outcome, checks=failed.checks)
    titles = [command.properties["title"] for command in annotations(result)]
    assert "3D, 3B, 3C: Value" in titles


def test_grader_fault_is_a_warning():
    """It is not an error in the student's file."""
    assert [command.name for command in annotations(unfinished_result())] == ["warning"]


@pytest.mark.parametrize("location", ["../../etc/passwd:1", "/etc/passwd:1", ""])
def test_no_annotation_outside(location):
    """The message stays, and the place is left out."""
    result = map_strings(
        broken_result(), lambda text: location if text.startswith("problem_") else text
    )
    assert all("file" not in command.properties for command in annotations(result))


def test_submission_outside_the_repository():
    """The runner could not find the file."""
    commands = obeyed(render_annotations(broken_result(), None))
    assert len(commands) == MOST_ANNOTATIONS
    assert all(set(command.properties) == {"title"} for command in commands)


@given(text=st.text(min_size=1))
def test_any_text_stays_in_its_field(text):
    """Nothing that a student wrote ends an annotation, or adds a command or a property."""
    result = map_strings(broken_result(), lambda _: text)
    rendered = render_annotations(result, PurePosixPath("work"))
    commands = obeyed(rendered)
    assert len(commands) == len(rendered.split("\n")) - 1
    for command in commands:
        assert set(command.properties) <= {"file", "line", "title"}
        assert clean_block(text)[:600] in command.data
