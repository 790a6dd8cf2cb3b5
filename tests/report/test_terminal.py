"""Tests of the terminal summary."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from grader.report.terminal import print_summary
from grader.results import CheckResult, Hint, Outcome, PartResult, ProblemResult
from grader.text import clean_block, make_visible
from tests.support.golden import assert_golden
from tests.support.result_samples import (
    ALL_SAMPLES,
    broken_result,
    good_result,
    hostile_results,
    map_strings,
    practice_result,
    unfinished_result,
)

REPORT = "reports/charles-babbage/report.html"


def summary(result, *, color=False, encoding="utf-8", width=80):
    """Return the output of `print_summary` on a terminal of that kind."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="\n")
    console = Console(
        file=stream,
        width=width,
        force_terminal=color,
        color_system="standard" if color else None,
        legacy_windows=False,
    )
    print_summary(result, console, REPORT)
    stream.flush()
    return stream.buffer.getvalue().decode(encoding)


def lines_of(text):
    return [line.rstrip() for line in text.splitlines()]


@pytest.mark.parametrize("name", ["broken", "recorded", "tested", "unfinished"])
def test_the_whole_summary(name):
    """The whole output at 80 columns without colour is the golden file."""
    lines = lines_of(summary(ALL_SAMPLES[name]()))
    assert_golden("\n".join([*lines, ""]), f"summary_{name}.txt")


@pytest.mark.parametrize("name", ALL_SAMPLES)
def test_width(name):
    """No line but the report's path is longer than 80 columns."""
    assert max(len(line) for line in lines_of(summary(ALL_SAMPLES[name]()))) <= 80


def test_colour_adds_nothing():
    """With colour, the text between the colour codes stays the same."""
    colored = summary(broken_result(), color=True)
    assert "\x1b[1;31mfailed" in colored
    assert clean_block(colored) == summary(broken_result())


def test_practice():
    """A practice result says so before anything else, and that it is no grade."""
    lines = summary(practice_result()).splitlines()
    assert "PRACTICE" in lines[0]
    assert "not a grade" in " ".join(lines[:4])
    assert "PRACTICE" not in summary(good_result())


def test_unsafe():
    """A result without a sandbox says so at the top."""
    assert "OWN WORK" in summary(unfinished_result()).splitlines()[0]
    assert "OWN WORK" not in summary(good_result())


def test_failed_items():
    """Each failed item has its next step; passed ones have none."""
    text = summary(broken_result())
    failed = [item for item in broken_result().items() if item.outcome is Outcome.FAILED]
    assert text.count("next step") == len(failed)
    assert "next step" not in summary(good_result())


def test_hints():
    """A passed item's hints are listed; a failed item's stand with it, unless as its next step."""
    item = broken_result().items()[0]
    hint = Hint(id="hint", message="remove layer 3", reason="Because.")
    check = CheckResult.judged("check", "Check", passed=False, observed="", next_step="fix it")
    follows_hint = replace(check, next_step="remove layer 3; fix it")
    shown = {}
    for outcome, checks in [
        (Outcome.PASSED, ()),
        (Outcome.FAILED, (check,)),
        (Outcome.FAILED, (follows_hint,)),
    ]:
        changed = replace(item, id="2C", outcome=outcome, checks=checks, hints=(hint,))
        part = PartResult.of("2C", "A part", (changed,))
        problem = ProblemResult.of("2", "A problem", (part,))
        shown[checks] = summary(replace(broken_result(), problems=(problem,)))
    assert "Hint on 2C, at no cost: remove layer 3." in shown[()]
    assert "hint       remove layer 3\n" in "\n".join([*lines_of(shown[(check,)]), ""])
    assert "hint" not in shown[(follows_hint,)].lower()


def test_hostile_strings():
    """No control character of a submission reaches the terminal, and rich's markup stays text."""
    seen = ""
    for hostile in hostile_results():
        text = summary(hostile)
        assert make_visible(text) == text
        seen += text
    assert "[bold red]" in seen
    assert "\\x07" in seen
    assert "\\u202e" in seen


def test_long_message():
    """A fact of 100,000 characters takes a few lines, and the reader is told where the rest is."""
    long = map_strings(
        broken_result(), lambda text: "x" * 100_000 if "RuntimeError" in text else text
    )
    text = summary(long)
    assert len(text) < 20_000
    assert "the report has the" in text


def test_ascii_terminal():
    """On an ASCII terminal a text outside it is escaped and nothing fails."""
    text = summary(map_strings(broken_result(), lambda text: text + " ünï"), encoding="ascii")
    assert "\\xfcn\\xef" in text


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain ü 数 🙂\ttab\nline", "plain ü 数 🙂\ttab\nline"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]8;;https://evil.example\x07link\x1b]8;;\x1b\\", "link"),
        ("\x1bPdevice control\x1b\\x", "x"),
        ("\x9b2Jx", "x"),
        ("\x1bcreset", "reset"),
        ("bell\x07 nul\x00", "bell\\x07 nul\\x00"),
        ("a\u202eb\u2066c\ufeffd", "a\\u202eb\\u2066c\\ufeffd"),
        ("10%\r100%\r\nend", "10%\n100%\nend"),
        ("\ud800 \U000e0041", "\\ud800 \\U000e0041"),
        ("lone \x1b", "lone \\x1b"),
    ],
)
def test_terminal_codes(raw, shown):
    """Control sequences vanish, single controls turn into escapes, ordinary text stays."""
    assert clean_block(raw) == shown
