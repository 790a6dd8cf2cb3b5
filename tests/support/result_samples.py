"""Complete submission results to render in tests: real sizes, realistic texts, no grading.

Every builder returns a whole `SubmissionResult` of the bundled assignment: 17 parts, 23 items, up
to three seeds of ten epochs, a sweep of ten points, twelve misclassified digits.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any

from grader.results import (
    CheckResult,
    IntakeNote,
    ItemResult,
    Outcome,
    PartResult,
    ProgramFault,
    ProgramReport,
    Score,
    SourceReport,
    SubmissionResult,
    worst,
)
from tests.support.result_sample_items import (
    BROKEN,
    REFERENCE,
    RICH_ANSWER,
    TEST_EXAMPLES,
    score_of,
    sweep,
)

PROVENANCE = dataclasses.replace(
    REFERENCE.provenance,
    assignment_sha256="7c9e5f3b0a4d2e816f5b9c3d7a1e0f284b6d8c2a9e7f1035d4c6b8a0e2f4c618",
    dataset="mnist",
    dataset_sha256="440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    practice=False,
    train_examples=60_000,
    test_examples=TEST_EXAMPLES,
    torch_version="2.14.1+cpu",
)


def with_items(
    result: SubmissionResult, changes: dict[str, dict[str, Any]], **others: Any
) -> SubmissionResult:
    """The result with fields of some items changed, and with the scores that follow."""
    problems = []
    for problem in result.problems:
        parts = []
        for part in problem.parts:
            items = tuple(_changed(item, changes.get(item.id, {})) for item in part.items)
            outcome = worst([item.outcome for item in items])
            score = Score.total([item.score for item in items])
            parts.append(dataclasses.replace(part, items=items, outcome=outcome, score=score))
        score = Score.total([part.score for part in parts])
        problems.append(dataclasses.replace(problem, parts=tuple(parts), score=score))
    score = Score.total([problem.score for problem in problems])
    return dataclasses.replace(result, problems=tuple(problems), score=score, **others)


def _changed(item: ItemResult, changes: dict[str, Any]) -> ItemResult:
    changed = dataclasses.replace(item, **changes)
    return dataclasses.replace(changed, score=score_of(changed.outcome, item.score.possible))


def practice_result() -> SubmissionResult:
    """The grader's result for the reference solution on the practice set."""
    return with_items(REFERENCE, {"1A": {"written_text": RICH_ANSWER}}, name="Ada Lovelace")


def good_result() -> SubmissionResult:
    """Everything automatic passed; the written answers await a person."""
    return with_items(
        practice_result(), {"3G.sweep": {"sweep": sweep(), "notes": ()}}, provenance=PROVENANCE
    )


def broken_result() -> SubmissionResult:
    """Ten items failed, each in a way of its own."""
    return with_items(
        good_result(),
        BROKEN,
        name="Charles Babbage",
        intake=(
            IntakeNote(file="2_notebook.ipynb", message="read as problem_2.py"),
            IntakeNote(file="torch.py", message="left out: it would hide the module torch"),
        ),
    )


def unfinished_result() -> SubmissionResult:
    """Cut short and run without a sandbox: an error, items left out, and unofficial seeds."""
    error = CheckResult(
        id="threshold",
        title="Best test accuracy",
        outcome=Outcome.ERROR,
        observed="The GPU ran out of memory while another process was using it.",
        expected="A finished training run.",
        next_step="Nothing for you to do: the instructor can grade this again.",
    )
    left_out = {
        "outcome": Outcome.SKIPPED,
        "checks": (),
        "training": None,
        "sweep": (),
        "notes": ("Left out by --quick: nothing was trained.",),
    }
    return with_items(
        good_result(),
        {
            "2C": {"outcome": Outcome.ERROR, "training": None, "checks": (error,)},
            **dict.fromkeys(("2E", "3G.model", "3G.sweep"), left_out),
        },
        name="Grace Hopper",
        complete=False,
        provenance=dataclasses.replace(
            PROVENANCE,
            unsafe=True,
            official_seeds=False,
            seeds=(7,),
            isolation="none",
            isolation_details=(),
            device="NVIDIA H100 80GB HBM3",
        ),
    )


def recorded_result() -> SubmissionResult:
    """A notebook that was recorded: two models found, one asked of a person, and a sweep."""
    heading = "it stands below “Problem D” in cell 9"
    missing = {
        name: _ask_person(f"problem_2.ipynb has no {name}()", f"define {name}()")
        for name in ("versions", "image_size", "dataset_sizes")
    }
    doubt = _ask_person(
        "2 recorded trainings may be 2E's, and nothing says so for certain: problem_2.ipynb, "
        "cell 15, line 3 (Linear 500-300-200-10, 10 epochs); problem_2.ipynb, cell 17, line 3 "
        "(Linear 400-400-200-10, 20 epochs)",
        "write a heading “2E” above the training that counts, or name its model model_e",
    )
    retrained = _ask_person(
        "retrained at the program's 10 probabilities; a person compares the accuracies in the "
        "program's outputs with the reproduced ones",
        "return the accuracies by dropout_sweep(), and the grader compares them by itself",
        "problem_3.ipynb, cell 6, line 3",
    )
    points = tuple(
        dataclasses.replace(point, reported=None, agrees=None, tolerance=0.0) for point in sweep()
    )
    return with_items(
        good_result(),
        {
            "2A": missing["versions"],
            "2B.image_size": missing["image_size"],
            "2B.dataset_sizes": missing["dataset_sizes"],
            "2C": {
                "source": SourceReport(
                    location="problem_2.ipynb, cell 7, line 3",
                    recipe="10 epochs, batch size 32",
                    reason="its model is named model_c",
                    next_step="if another training counts, write the part in a heading above it, "
                    "or name its model model_c",
                ),
            },
            "2D": {
                "source": SourceReport(
                    location="problem_2.ipynb, cell 11, line 3",
                    recipe="35 epochs, batch size 64",
                    reason=heading,
                    others=("problem_2.ipynb, cell 10, line 8 (Linear 100-100-10, 10 epochs)",),
                    next_step="if another training counts, write the part in a heading above it, "
                    "or name its model model_d",
                ),
                "notes": ("Net is a class whose forward() is one chain of layers.",),
            },
            "2E": doubt,
            "3G.sweep": retrained | {"sweep": points},
        },
        name="Katherine Johnson",
        programs=(
            ProgramReport(
                file="problem_2.ipynb",
                trainings=("problem_2.ipynb, cell 7, line 3 (Linear 100-10, 10 epochs)",) * 5,
                faults=(
                    ProgramFault(
                        location="problem_2.ipynb, cell 2, line 1",
                        message="it raised FileNotFoundError: /content/drive/mnist",
                        next_step="Load MNIST with torchvision.",
                    ),
                ),
            ),
            ProgramReport(file="problem_3.ipynb", library="Keras"),
        ),
    )


def tested_result() -> SubmissionResult:
    """Everything passed but two of an item's tests, one of which is hidden."""
    tests = (
        CheckResult(
            id="test_sum",
            title="Every row of softmax(x) sums to 1, for large inputs too",
            outcome=Outcome.FAILED,
            observed="softmax(np.array([[710.0]])) returned np.array([[np.nan]])",
            expected="1",
            next_step="Run this call on your own machine, and compare.",
            location="problem_3.py:12",
            details="import numpy as np\nfrom problem_3 import softmax\n\n"
            "softmax(np.array([[710.0]]))\n# returned: np.array([[np.nan]])\n# expected: 1",
            score=Score(possible=1.0, lost=1.0),
        ),
        CheckResult(
            id="test_shape",
            title="softmax(x) has the shape of x [one row]",
            outcome=Outcome.PASSED,
            observed="100 calls checked",
            score=Score(possible=0.5, earned=0.5),
        ),
        CheckResult(
            id="test_secret",
            title="Extremes",
            outcome=Outcome.FAILED,
            observed="softmax(np.array([[5000.0]])) returned np.array([[np.nan]])",
            score=Score(possible=0.5, lost=0.5),
            hidden=True,
        ),
    )
    total = Score.total([test.score for test in tests if test.score is not None])

    def revise(part: PartResult) -> PartResult:
        if part.id != "3B":
            return part
        (item,) = part.items
        tested = dataclasses.replace(
            item,
            title="Softmax",
            kind="functions",
            outcome=Outcome.FAILED,
            score=total,
            checks=tests,
            answer=None,
        )
        return PartResult.of(part.id, "Softmax", (tested.for_students(),))

    return good_result().with_parts(revise)


def _ask_person(observed: str, next_step: str, location: str = "") -> dict[str, Any]:
    """Changes of an item that a person must answer."""
    check = CheckResult(
        id="unclear",
        title="An answer that the grader can read",
        outcome=Outcome.PENDING,
        observed=observed,
        next_step=next_step,
        location=location,
    )
    return {"outcome": Outcome.PENDING, "checks": (check,), "training": None, "answer": None}


HOSTILE_STRINGS = (
    '<script>document.title = "owned"</script>',
    '"><img src=https://evil.example/x onerror=alert(1)>',
    "</style></title></pre><iframe src='javascript:alert(1)'></iframe>",
    "[click](javascript:alert(1)) ![x](https://evil.example/x.png) <b onclick=alert(1)>b</b>",
    "{{ 7 * 7 }} {% raw %} [bold red]rich[/bold red] $\\frac{<svg/onload=alert(1)>}{2}$",
    "\x1b[2J\x1b[31mred\x1b[0m \x1b]8;;https://evil.example\x07link\x1b]8;;\x07 bell\x07 nul\x00",
    "right\u202eto left\u202c zero\u200bwidth \ud800 lone, c1 \x9b31m, back\x08\x08",
    "W" * 3000,
    "' onmouseover='alert(1)' style='position:fixed' x='",
    "//evil.example/a <a href=//evil.example>relative</a> [r](//evil.example) <!-- --> ]]>",
)


def change_item(result: SubmissionResult, item_id: str, **changes: Any) -> SubmissionResult:
    """The result with one item changed; its scores stay as they are."""
    problems = tuple(
        dataclasses.replace(
            problem,
            parts=tuple(
                dataclasses.replace(
                    part,
                    items=tuple(
                        dataclasses.replace(item, **changes) if item.id == item_id else item
                        for item in part.items
                    ),
                )
                for part in problem.parts
            ),
        )
        for problem in result.problems
    )
    return dataclasses.replace(result, problems=problems)


def map_strings(value: Any, replacement: Callable[[str], str]) -> Any:
    """The same records with every string in them replaced; enumerations stay."""
    if isinstance(value, str) and not isinstance(value, Enum):
        return replacement(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        changed = {
            field.name: map_strings(getattr(value, field.name), replacement) for field in fields
        }
        return dataclasses.replace(value, **changed)
    if isinstance(value, tuple):
        return tuple(map_strings(element, replacement) for element in value)
    return value


def hostile_results() -> Iterator[SubmissionResult]:
    """The broken submission with a hostile text in every string field.

    Each result starts the round of texts one further on, so that every field meets many of them.
    Only the first keeps its sweep and more than one training: charts show no text of a student,
    and take nearly all the time that a page takes.
    """
    whole = broken_result()
    light = change_item(change_item(whole, "2E", training=None), "3G.model", training=None)
    light = change_item(light, "3G.sweep", sweep=())
    for shift in range(len(HOSTILE_STRINGS)):
        texts = itertools.cycle(HOSTILE_STRINGS[shift:] + HOSTILE_STRINGS[:shift])
        yield map_strings(light if shift else whole, lambda _, texts=texts: next(texts))


ALL_SAMPLES = {
    "good": good_result,
    "broken": broken_result,
    "practice": practice_result,
    "recorded": recorded_result,
    "tested": tested_result,
    "unfinished": unfinished_result,
}
