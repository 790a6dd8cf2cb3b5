"""Values that are written down are told from those that are computed."""

import pytest

from grader.grading.literals import is_literal
from grader.intake.notebooks import Cell


def check(source: str, name: str = "reported") -> bool:
    return is_literal((Cell(number=1, kind="code", source=source),), name)


@pytest.mark.parametrize(
    "source",
    [
        "reported = 0.978  # after max(accuracies)",
        "reported: float = 97.8 / 100",
        "reported = {0.0: 0.98,\n    0.1: 0.97,\n}",
        'def reported():\n    """Return max(history)."""\n    return 0.978',
        "def reported():\n    ps = [0.1, 0.2]\n    return dict(zip(ps, [0.9, 0.8]))",
        "def reported():\n    return {i / 10: v for i, v in enumerate([0.9, 0.8])}\n\ntrain()",
        "reported = max(history)\nreported = 1e-3",
        "ps = [0.1, 0.2]\naccs = [0.9, 0.8]\ndef reported():\n    return dict(zip(ps, accs))",
    ],
)
def test_written(source):
    """Numbers, and functions of numbers alone, are written down."""
    assert check(source)


@pytest.mark.parametrize(
    "source",
    [
        "reported = best",
        "reported = evaluate(model)",
        "def reported():\n    return max(history)",
        "def reported():\n    return [train(p) for p in (0.1, 0.2)]",
        "reported = 0.978\nreported = max(history)",
        "other = 0.978",
        "    reported = 0.978",
        "accs = []\nfor p in ps:\n    accs.append(test())\nreported = accs",
        "best = 0\nfor p in ps:\n    best = test()\nreported = best",
        "accs = {}\nfor p in ps:\n    accs[p] = test()\ndef reported():\n    return accs",
        "best = 0\nfor p in ps:\n    best += test()\nreported = best",
        "a = b\nb = a\nreported = a",
    ],
)
def test_computed(source):
    """Whatever takes another name from the program is computed, and so is what is not there."""
    assert not check(source)


def test_long_text():
    """A text that never ends is soon given up."""
    for end in ("'" * 4000, '"""' * 1500, "for x " * 800, "1" * 100_000):
        check("reported = " + end)
    assert not check("reported = " + "1" * 100_000)
    assert not check("reported = 1" + "\n reported" * 100_000 + "=")
