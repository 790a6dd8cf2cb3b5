"""Complete submission results to render in tests: real sizes, realistic texts, no grading.

Every builder returns a whole `SubmissionResult` of the bundled assignment's shape: 17 parts,
22 items, up to three seeds of ten epochs, a sweep of ten points, twelve misclassified digits.
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
    ProblemResult,
    Provenance,
    Score,
    SubmissionResult,
    Timing,
    worst,
)
from tests.support.result_sample_items import (
    BROKEN,
    ITEMS,
    PARTS,
    PROBLEMS,
    TEST_EXAMPLES,
    good_item,
    score_of,
    sweep,
)


def assemble(name: str, items: dict[str, ItemResult], **changes: Any) -> SubmissionResult:
    """The whole result made of `items` by their ids."""
    problems = []
    for problem_id, problem_title in PROBLEMS.items():
        parts = []
        for part_id, part_title in PARTS.items():
            own = tuple(item for key, item in items.items() if key.split(".")[0] == part_id)
            if part_id.startswith(problem_id):
                parts.append(
                    PartResult(
                        id=part_id,
                        title=part_title,
                        outcome=worst([item.outcome for item in own]),
                        score=Score.total([item.score for item in own]),
                        items=own,
                    )
                )
        problems.append(
            ProblemResult(
                id=problem_id,
                title=problem_title,
                score=Score.total([part.score for part in parts]),
                parts=tuple(parts),
            )
        )
    fields: dict[str, Any] = {
        "name": name,
        "score": Score.total([problem.score for problem in problems]),
        "complete": True,
        "problems": tuple(problems),
        "provenance": PROVENANCE,
        "timing": Timing(
            started_at="2026-11-24T21:08:13Z",
            extract_seconds=9.41,
            train_seconds=304.2,
            total_seconds=318.9,
        ),
    }
    return SubmissionResult(**(fields | changes))


PROVENANCE = Provenance(
    grader_version="0.1.0",
    assignment_id="set4",
    assignment_title="CS 155 Set 4: deep learning",
    assignment_sha256="7c9e5f3b0a4d2e816f5b9c3d7a1e0f284b6d8c2a9e7f1035d4c6b8a0e2f4c618",
    submission_sha256="19b0c4d8e2f6a1357924680acebdf13579bd02468ace13579bdf02468acebdf1",
    dataset="mnist",
    dataset_sha256="440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    train_examples=60_000,
    test_examples=TEST_EXAMPLES,
    practice=False,
    seeds=(0, 1, 2),
    official_seeds=True,
    python_version="3.11.7",
    torch_version="2.14.1+cpu",
    torchvision_version="0.29.1+cpu",
    numpy_version="2.4.6",
    platform="Linux-6.1.0-28-amd64-x86_64-with-glibc2.36",
    processor="AMD EPYC 7763 64-Core Processor",
    device="cpu",
    threads_per_run=1,
    isolation="bubblewrap",
    isolation_details=(
        "no network, no other processes, read-only file system",
        "20 s and 1 GB of memory for each question",
        "seccomp filter on system calls",
    ),
)


def good_result() -> SubmissionResult:
    """Everything automatic passed; the written answers await a person."""
    return assemble("Ada Lovelace", {item_id: good_item(item_id) for item_id in ITEMS})


def broken_result() -> SubmissionResult:
    """Ten items failed, each in a way of its own."""
    items = {}
    for item_id, (_, points, _) in ITEMS.items():
        item = good_item(item_id)
        if item_id in BROKEN:
            changes = BROKEN[item_id]
            score = score_of(changes["outcome"], points)
            item = dataclasses.replace(item, score=score, **changes)
        items[item_id] = item
    return assemble(
        "Charles Babbage",
        items,
        intake=(
            IntakeNote(
                file="set4.ipynb",
                message="left out: notebooks are not graded; export the functions to problem_2.py",
            ),
            IntakeNote(file="torch.py", message="left out: it would hide the module torch"),
        ),
    )


def practice_result() -> SubmissionResult:
    """The good submission on the embedded practice set, with a sweep that is not judged."""
    items = {item_id: good_item(item_id) for item_id in ITEMS}
    items["3G.sweep"] = dataclasses.replace(items["3G.sweep"], sweep=sweep(judged=False))
    return assemble(
        "Ada Lovelace",
        items,
        provenance=dataclasses.replace(
            PROVENANCE,
            dataset="mnist-5k",
            practice=True,
            train_examples=4_000,
            test_examples=1_000,
        ),
    )


def unfinished_result() -> SubmissionResult:
    """Cut short and run without a sandbox: an error, items left out, and unofficial seeds."""
    items = {item_id: good_item(item_id) for item_id in ITEMS}
    items["2C"] = dataclasses.replace(
        items["2C"],
        outcome=Outcome.ERROR,
        score=score_of(Outcome.ERROR, 8),
        training=None,
        checks=(
            CheckResult(
                id="threshold",
                title="Best test accuracy",
                outcome=Outcome.ERROR,
                observed="The GPU ran out of memory while another process was using it.",
                expected="A finished training run.",
                next_step="Nothing for you to do: the instructor can grade this again.",
            ),
        ),
    )
    for item_id in ("2E", "3G.model", "3G.sweep"):
        points = ITEMS[item_id][1]
        items[item_id] = dataclasses.replace(
            items[item_id],
            outcome=Outcome.SKIPPED,
            score=score_of(Outcome.SKIPPED, points),
            checks=(),
            training=None,
            sweep=(),
            notes=("Left out by --quick: nothing was trained.",),
        )
    return assemble(
        "Grace Hopper",
        items,
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
    return dataclasses.replace(
        result,
        problems=tuple(
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
        ),
    )


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
    "unfinished": unfinished_result,
}
