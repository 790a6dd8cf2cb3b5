"""Parts are found in headings, comments, names of files and of variables, and nowhere else."""

import pytest

from grader.assignment.loading import load_assignment
from grader.grading.part_names import PartNames, labels_of

NAMES = PartNames(
    labels=labels_of(load_assignment("set4")),
    problems=frozenset({"2"}),
    trained=frozenset({"2C", "2D", "2E"}),
)


def in_line(line: str, kind: str) -> str | None:
    found = NAMES.in_line(line, kind)
    return found and found.part


@pytest.mark.parametrize(
    "line",
    [
        "# Problem C: Modeling Part 1",
        "## Problem 2C",
        "2C",
        "2 C",
        "(c)",
        "**C)** at most 100 hidden units",
        "Part C",
        "2.C",
        "### 2-C",
        "Question 2c",
        "Problem 2, part (c)",
        "Problem 2 (c): hidden units",
        "c. We now train",
        "C - 100 hidden units",
        "<h2>Problem C</h2>",
        "**Problem** C",
        "Problem 2C model with 100 units",
    ],
)
def test_headings(line):
    """Every usual way to write a part's heading is read."""
    assert in_line(line, "markdown") == "2C"


@pytest.mark.parametrize(
    "line",
    [
        "# 2C",
        "#%% Problem C",
        "# ---- 2C ----",
        "# (c)",
        "# C",
        "# c) first",
        '"""# Problem C',
        "#2c",
    ],
)
def test_comments(line):
    """A comment, or text between quotes, that begins with the part is read in code."""
    assert in_line(line, "code") == "2C"


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("e.g. with more units", "markdown"),
        ("i.e. this", "markdown"),
        ("A convolutional network", "markdown"),
        ("Problem 2: A fully connected network", "markdown"),
        ("Task: A network", "markdown"),
        ("2D pooling", "markdown"),
        ("3D convolutions", "markdown"),
        ("Part of the model", "markdown"),
        ("(d", "markdown"),
        ("# c: channels", "code"),
        ("# c = 3", "code"),
        ("# e.append(x)", "code"),
        ("# 2D array of pixels", "code"),
        ("x = 2  # 2C", "code"),
        ('print("2C")', "code"),
    ],
)
def test_no_headings(line, kind):
    """Sentences, remarks on code, and dimensions name no part."""
    assert in_line(line, kind) is None


def test_other_problems():
    """A part of another problem is one of its own; a problem's heading changes what C means."""
    assert in_line("Problem 3G", "markdown") == "3G"
    assert NAMES.problem_in_line("## Problem 3", "markdown") == "3"
    assert NAMES.problem_in_line("## Problem 2.1", "markdown") == ""
    both = PartNames(
        labels=NAMES.labels, problems=frozenset({"2", "3"}), trained=frozenset({"2C", "3G"})
    )
    assert both.in_line("Part C", "markdown") is None
    found = both.in_line("Part C", "markdown", current="3")
    assert found is not None
    assert found.part == "3C"


@pytest.mark.parametrize(
    ("name", "part"),
    [
        *((name, "2C") for name in ("model_c", "modelC", "modelc", "model_2c", "train_c", "Net2C")),
        ("best_model_d", "2D"),
        *((name, None) for name in ("c", "conv2d", "model_a", "model1", "lr_2e3", "model_3c")),
    ],
)
def test_identifiers(name, part):
    """A letter of its own in a name is a part's; a dimension or a number is not."""
    found = NAMES.in_identifiers([name])
    assert (found and found.part) == part


def test_identifiers_of_two_parts():
    """Names that speak of two parts speak of none."""
    assert NAMES.in_identifiers(["model_c", "model_d"]) is None


@pytest.mark.parametrize(
    ("file", "part"),
    [
        *(
            (file, "2C")
            for file in ("ada_set4_prob2_C.ipynb", "2C.ipynb", "C.ipynb", "2_notebook_C.ipynb")
        ),
        ("set4_prob2_2D.ipynb", "2D"),
        *((file, None) for file in ("hopper_d_set4_prob2.ipynb", "problem_2.ipynb", "d_h.py")),
    ],
)
def test_file_names(file, part):
    """The letter after the problem's number is the part; a person's initials are not."""
    found = NAMES.in_file_name(file)
    assert (found and found.part) == part
