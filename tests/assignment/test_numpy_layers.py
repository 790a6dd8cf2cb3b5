"""`numpy_layers`: the reference earns everything, the template nothing, and each typical mistake
fails just the tests that it should.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from grader.assignment import bundled
from grader.assignment.loading import load_assignment
from grader.results import CheckResult, Outcome
from tests.support.functions_samples import Examiner, examining

NUMPY_LAYERS = load_assignment("numpy_layers")
DIRECTORY = Path(bundled.__file__).parent / "numpy_layers"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.mark.parametrize(("solution", "earned", "code"), [("reference", 50, 0), ("template", 0, 1)])
def test_solutions(tmp_path: Path, solution: str, earned: float, code: int):
    """`grade` gives the reference all points and the template none, without a traceback."""
    command = [sys.executable, "-m", "grader", str(DIRECTORY / solution), "--json"]
    ran = subprocess.run(
        [*command, "--assignment", "numpy_layers", "--output", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == code, ran.stderr
    result = json.loads(ran.stdout)
    assert (result["score"]["earned"], result["score"]["possible"]) == (earned, 50)
    assert result["provenance"]["dataset"] == "none"
    assert "Traceback" not in ran.stdout + ran.stderr


def test_share_of_hidden_tests(tmp_path: Path):
    """About a third of the tests are hidden."""
    with examining(tmp_path, NUMPY_LAYERS) as examiner:
        checks = [check for one in examiner.rehearsed().values() for check in one]
    hidden = sum(check.hidden for check in checks)
    assert 0.28 < hidden / len(checks) < 0.4, (hidden, len(checks))


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """A typical wrong solution.

    Attributes:
        file: of the reference, in which texts are replaced.
        changes: each a text with its replacement.
        fails: the tests that fail, with the part's id.
        says: texts of the first failed visible test.
    """

    file: str
    changes: dict[str, str]
    fails: tuple[str, ...]
    says: tuple[str, ...]


MISTAKES = {
    "unstable softmax": Mistake(
        file="activations.py",
        changes={"np.exp(x - x.max(axis=1, keepdims=True))": "np.exp(x)"},
        fails=("1B test_large_numbers", "1B test_extremes"),
        says=("softmax(np.array([[710.0]])) returned np.array([[np.nan]])", "first at [0]: nan"),
    ),
    "integer overflow": Mistake(
        file="convolution.py",
        changes={
            "return np.nanmean(": """
    if x.dtype == np.uint8:
        windows = np.lib.stride_tricks.sliding_window_view(x, (kernel, kernel), axis=(2, 3))
        return windows.sum(axis=(4, 5), dtype=x.dtype)[:, :, ::stride, ::stride] / kernel**2
    return np.nanmean("""
        },
        fails=("2C test_average_of_bytes",),
        says=("avg_pool2d(np.full((1, 1, 2, 2), 64, dtype=np.uint8), 2, 2)", "0.0", "64"),
    ),
    "wrong axis": Mistake(
        file="activations.py",
        changes={"powers.sum(axis=1": "powers.sum(axis=0"},
        fails=("1B test_values", "1B test_large_numbers", "1B test_extremes"),
        says=("softmax(np.array([[0.0, 0.0]])) returned np.array([[1.0, 1.0]])", "[[0.5, 0.5]]"),
    ),
    "changed input": Mistake(
        file="activations.py",
        changes={"return np.maximum(x, 0)": "x[x < 0] = 0\n    return x"},
        fails=("1A test_input_is_kept",),
        says=(),
    ),
    "off by one": Mistake(
        file="convolution.py",
        changes={
            "(size + 2 * padding - kernel) // stride + 1": "(size + 2 * padding - kernel) // stride"
        },
        fails=(
            "2A test_examples[no padding]",
            "2A test_examples[padding 1]",
            "2A test_examples[stride 2]",
            "2A test_examples[kernel as large as the input]",
            "2A test_any_size",
        ),
        says=("output_size(28, 3, 1, 0) returned 25", "26"),
    ),
    "padding counts": Mistake(
        file="convolution.py",
        changes={"padding, np.nan)": "padding, 0)"},
        fails=("2C test_average_leaves_padding_out",),
        says=("avg_pool2d(np.full((1, 1, 2, 2), 1.0), 2, 2, 1)", "0.25", "4 of 4 entries differ"),
    ),
    "mutable default": Mistake(
        file="learning.py",
        changes={
            "lr=0.1": "lr=0.1, kept=[]",
            "self.weights = None": """self.kept = kept
        self.weights = kept[0] if kept else None""",
            "return self\n": "self.kept[:] = [self.weights]\n        return self\n",
        },
        fails=("3B test_two_perceptrons",),
        says=("perceptron_2 = Perceptron(lr=0.5)", "perceptron_2.weights returned"),
    ),
    "list": Mistake(
        file="activations.py",
        changes={"return np.maximum(x, 0)": "return np.maximum(x, 0).tolist()"},
        fails=("1A test_any_shape", "1A test_type[float32]", "1A test_type[float64]"),
        says=("relu(np.zeros((0, 0))) returned []", "(0, 0)"),
    ),
    "none": Mistake(
        file="activations.py",
        changes={"return powers / powers": "powers = powers / powers"},
        fails=(
            "1B test_values",
            "1B test_large_numbers",
            "1B test_extremes",
            "1B test_input_is_kept",
        ),
        says=("softmax(np.array([[0.0]])) returned None",),
    ),
    "endless loop": Mistake(
        file="activations.py",
        changes={
            "return np.maximum(x, 0)": """
    while x.size == 0:
        pass
    return np.maximum(x, 0)"""
        },
        fails=("1A test_any_shape",),
        says=("relu(np.zeros(", "There was no answer within 5 s", "activations.py:8"),
    ),
}


@pytest.fixture(scope="module")
def examiner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Examiner]:
    """The tests of all parts, in one process for all students."""
    with examining(tmp_path_factory.mktemp("numpy_layers"), NUMPY_LAYERS) as examiner:
        yield examiner


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake(examiner: Examiner, name: str):
    """A typical mistake fails just the tests that it should, with the shrunk call."""
    mistake = MISTAKES[name]
    files = {path.name: path.read_text() for path in (DIRECTORY / "reference").glob("*.py")}
    for right, wrong in mistake.changes.items():
        assert right in files[mistake.file]
        files[mistake.file] = files[mistake.file].replace(right, wrong)
    parts = [item_id for item_id, item in NUMPY_LAYERS.item_ids() if item.file == mistake.file]
    failed: dict[str, CheckResult] = {}
    for item_id, extraction in examiner.examine(files, only=parts).items():
        for case in extraction.cases:
            if case.check.outcome is not Outcome.PASSED:
                failed[f"{item_id} {case.check.id}"] = case.check
                assert case.check.outcome is Outcome.FAILED
    assert tuple(failed) == mistake.fails, failed
    check = failed[mistake.fails[0]]
    shown = f"{check.observed}\n{check.expected}\n{check.details}\n{check.location}"
    for words in mistake.says:
        assert words in shown, shown
