"""What would be graded, as `grade --show` prints it."""

import io

import pytest
from rich.console import Console

from grader.report.preview import print_preview
from grader.results import CheckResult, Outcome
from tests.support.golden import assert_golden
from tests.support.result_samples import (
    ALL_SAMPLES,
    hostile_results,
    recorded_result,
    with_items,
)


def preview(result, width=100):
    console = Console(file=io.StringIO(), width=width, color_system=None)
    print_preview(result, console)
    return console.file.getvalue()


def test_the_whole_preview():
    """The whole output for a notebook is the golden file."""
    lines = preview(recorded_result()).splitlines()
    assert_golden("\n".join([*map(str.rstrip, lines), ""]), "preview_recorded.txt")


@pytest.mark.parametrize("name", ALL_SAMPLES)
def test_width(name):
    """No line is longer than the terminal."""
    assert max(map(len, preview(ALL_SAMPLES[name](), 60).splitlines())) <= 60


def test_left_out():
    """Items that --only left out are not shown."""
    left_out = CheckResult(
        id="graded", title="Graded", outcome=Outcome.SKIPPED, observed="left out by --only"
    )
    result = with_items(recorded_result(), {"2C": {"checks": (left_out,)}})
    assert "2C  " in preview(recorded_result())
    assert "2C  " not in preview(result)


def test_hostile_texts():
    """No text of a student steers the terminal."""
    for result in hostile_results():
        assert "\x1b" not in preview(result)
