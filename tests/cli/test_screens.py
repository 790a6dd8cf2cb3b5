"""Whole screens of the real command, against golden files: what people read first."""

import re
import shutil
from pathlib import Path

import pytest

from grader.assignment.loading import home_of
from tests.cli.test_grade import grade
from tests.support.golden import assert_golden

DIGITS = home_of("digits")


def change(file: Path, before: str, after: str) -> None:
    """Replace a text that stands in a file."""
    text = file.read_text()
    assert before in text, before
    file.write_text(text.replace(before, after, 1))


def stub(function: str) -> str:
    """The end of a function's stub in the template."""
    return f"{function}\n    # YOUR CODE\n    raise NotImplementedError"


@pytest.fixture(name="half_done")
def write_half_done_work(tmp_path: Path) -> Path:
    """A beginner's work at midnight: some parts right, some wrong, the rest as it was given out."""
    work = Path(shutil.copytree(DIGITS / "template", tmp_path / "work"))
    basics, models = work / "basics.py", work / "models.py"
    number = '    """1B (2 points): return the number of parameters of nn.Conv2d(1, 8, 3)."""'
    change(basics, stub(number), f"{number}\n    return 72")
    labels = '        labels: N whole numbers.\n    """'
    change(basics, stub(labels), f"{labels}\n    return float(np.mean(scores.argmax(1) == 1))")
    network = 'Linear and ReLU that computes AND of two bits."""'
    change(basics, stub(network), f"{network}\n    return None")
    first = 'network with at most 32 hidden units."""'
    layers = "nn.Flatten(), nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, 10)"
    change(models, stub(first), f"{first}\n    return nn.Sequential({layers})")
    rate = '"""Return the optimiser of 2A."""'
    change(models, stub(rate), f"{rate}\n    return torch.optim.Adam(model.parameters(), lr=0.01)")
    second = 'network with Conv2d and Dropout, of at most 6,000 parameters."""'
    layers = "nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(576, 10), nn.Softmax(dim=1)"
    change(models, stub(second), f"{second}\n    return nn.Sequential({layers})")
    rate = '"""Return the optimiser of 2B, which trains 10 epochs at batch size 32."""'
    change(models, stub(rate), f"{rate}\n    return torch.optim.SGD(model.parameters(), lr=0.1)")
    (work / "written" / "1A.md").write_text("It shares its weights.\n")
    return work


@pytest.mark.parametrize(
    "columns", [80, *(pytest.param(columns, marks=pytest.mark.slow) for columns in (60, 120))]
)
def test_half_done_work(half_done: Path, tmp_path: Path, columns: int):
    """What is wrong comes first, the dearest first; then what is to do; then what is ready."""
    run = grade(
        *(half_done, "--quick", "--assignment", "digits", "-o", tmp_path / "reports"),
        COLUMNS=str(columns),
    )
    assert run.returncode == 1
    assert max(map(len, run.stdout.replace(str(tmp_path), "").splitlines())) <= columns
    if columns == 80:
        assert_golden(run.stdout.replace(str(tmp_path), ""), "screen_half_done.txt")


@pytest.mark.slow
def test_class_in_ci(half_done: Path, tmp_path: Path):
    """A class in CI: a line for each student, and what a person must do."""
    submissions = tmp_path / "submissions"
    for name, source in (("ada", DIGITS / "reference"), ("alan", half_done)):
        shutil.copytree(source, submissions / name)
    (submissions / "empty").mkdir()
    output = tmp_path / "reports"
    run = grade(
        *("batch", submissions, "--assignment", "digits", "-o", output), CI="true", COLUMNS="80"
    )
    lines = (run.stderr + run.stdout).replace(str(tmp_path), "").splitlines()
    # Students end in any order; the times differ.
    shown = sorted(re.sub(r"\d+(\.\d+)? s\b", "… s", line) for line in lines)
    assert_golden("\n".join(shown) + "\n", "screen_class.txt")
