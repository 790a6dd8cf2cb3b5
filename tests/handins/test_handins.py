"""Hand-ins as students write them are read as a careful person reads them: `expected.toml`."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from grader.assignment.loading import load_assignment
from grader.grading.options import Options
from grader.grading.pipeline import grade_submission
from grader.results import ItemResult, Outcome, RecipeReport, SubmissionResult

HERE = Path(__file__).parent
EXPECTED = tomllib.loads((HERE / "expected.toml").read_text(encoding="utf-8"))
QUICK = ("one_notebook_three_parts", "nbconvert_export", "sweep_before_the_final_model")
"""A few that `make test` reads; the others are slow together."""


class Silent:
    """An observer that shows nothing."""

    def stage(self, text):
        pass

    warn = training_starts = epoch_ended = item_finished = stage


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in EXPECTED],
)
def test_handin_is_read_right(name):
    options = Options(practice=True, show=True, quick=True)
    result = grade_submission(HERE / name, load_assignment("set4"), options, Silent()).result
    read = {part: describe(result, part, expected) for part, expected in EXPECTED[name].items()}
    assert read == EXPECTED[name]


def describe(result: SubmissionResult, part: str, expected: dict[str, object]) -> dict[str, object]:
    """What the grader read, for every fact that is expected."""
    items = [
        item
        for problem in result.problems
        for each in problem.parts
        if each.id == part
        for item in each.items
    ]
    return {fact: _FACTS[fact](items, expected[fact]) for fact in expected}


def _model(items: list[ItemResult]) -> ItemResult:
    return next(item for item in items if item.kind == "model")


def _recipe(items: list[ItemResult]) -> RecipeReport:
    return _model(items).recipe or RecipeReport(epochs=0, batch_size=0, optimizer=("",))


def _file(items, expected):
    source = _model(items).source
    return source.location.partition(",")[0] if source else ""


def _place(items, expected):
    source = _model(items).source
    return source.location.partition(", ")[2] if source else ""


def _layers(items, expected):
    return ", ".join(_shorten(row.description) for row in _model(items).architecture)


def _shorten(layer: str) -> str:
    """Linear(784, 98) as "Linear 784 98", with as many numbers as tell it from others."""
    kind, _, rest = layer.partition("(")
    kept = {"Linear": 2, "Conv2d": 3, "BatchNorm2d": 1, "MaxPool2d": 1, "Dropout": 1}
    numbers = re.findall(r"\d+\.?\d*", rest)[: kept.get(kind, 0)]
    return " ".join([kind, *numbers])


def _settings(text: str, expected: str) -> str:
    """The kind, and those settings that are expected."""
    kind = text.partition("(")[0]
    found = dict(re.findall(r"(\w+)=([^,)]+)", text))
    wanted = [each.partition("=")[0] for each in expected.split()[1:]]
    return " ".join([kind, *(f"{name}={found.get(name)}" for name in wanted)])


def _sweep(items, expected):
    """The probabilities of the sweep that was found, from its note."""
    notes = " ".join(note for item in items if item.kind == "sweep" for note in item.notes)
    return [float(number) for number in notes.partition("p = ")[2].rstrip(".").split(", ")]


def _written(items, expected):
    item = next(item for item in items if item.kind == "written")
    return expected if expected in (item.written_text or "") else item.written_text


def _says(items, expected):
    """Some text of the part says it."""
    texts = " ".join(
        text
        for item in items
        for text in (
            *item.notes,
            *(hint.message for hint in item.hints),
            *(check.observed + " " + check.next_step for check in item.checks),
            item.source.recipe if item.source else "",
        )
    )
    return expected if expected.lower() in texts.lower() else texts


_FACTS = {
    "file": _file,
    "place": _place,
    "layers": _layers,
    "optimizer": lambda items, expected: _settings(_recipe(items).optimizer[0], expected),
    "scheduler": lambda items, expected: _settings(_recipe(items).scheduler, expected),
    "epochs": lambda items, expected: _recipe(items).epochs,
    "batch_size": lambda items, expected: _recipe(items).batch_size,
    "mean": lambda items, expected: _numbers(_recipe(items).normalization, "mean"),
    "std": lambda items, expected: _numbers(_recipe(items).normalization, "std"),
    "sweep": _sweep,
    "value": lambda items, expected: all(
        item.outcome is Outcome.PASSED for item in items if item.kind in ("answer", "versions")
    ),
    "passed": lambda items, expected: all(item.outcome is Outcome.PASSED for item in items),
    "written": _written,
    "says": _says,
}


def _numbers(text: str, name: str) -> list[float]:
    found = re.search(rf"{name} ([\d., ]+?)(?:, [a-z]|$)", text)
    return [float(number) for number in found[1].split(",")] if found else []
