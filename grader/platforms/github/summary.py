"""A result for GitHub Actions: a summary in Markdown, and annotations on the student's lines.

In the summary, each character of a student's text that could be markup becomes a character
reference. In annotations, GitHub's own escapes keep the text inside its field.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from grader.report.wording import (
    LONGEST_FACT,
    attention_heading,
    deciding_check,
    facts,
    items_that_fell_short,
    items_to_answer,
    items_with_questions,
    score_line,
    shortened,
    source_sentence,
    tests_of,
    to_answer_heading,
    verdict_label,
    worth,
)
from grader.results import (
    CheckResult,
    ItemResult,
    Outcome,
    SubmissionResult,
    TrainingReport,
)
from grader.text import clean_block

LARGEST_SUMMARY_BYTES = 1024 * 1024 - 1
"""GitHub shows only summaries below 1 MiB."""
MOST_ANNOTATIONS = 10
"""GitHub shows at most ten errors of a step."""

_LONGEST_DETAILS = 4000  # characters
_REFERENCES = {ord(character): f"&#{ord(character)};" for character in "\\`*_[]<>&|~:@#$.\n"}
"""Character references for all markup and parts of links within a line."""
_BARS = "▁▂▃▄▅▆▇█"
_LEFT_OUT = "The rest does not fit here. It is in the report.\n"
_COMMANDS = {Outcome.FAILED: "error", Outcome.ERROR: "warning"}


def render_summary(result: SubmissionResult, *, most_bytes: int = LARGEST_SUMMARY_BYTES) -> str:
    """Return the table of parts, the failures and the learning curves, cut to `most_bytes`."""
    kept = ""
    room = most_bytes - len(_LEFT_OUT)
    for block in _blocks(result):
        added = f"{block}\n"
        room -= len(added.encode())
        if room < 0:
            return kept + _LEFT_OUT if most_bytes > len(_LEFT_OUT) else ""
        kept += added
    return kept


def write_summary(result: SubmissionResult, path: Path) -> None:
    """Append the summary to the file in GITHUB_STEP_SUMMARY."""
    taken = path.stat().st_size if path.exists() else 0
    with path.open("a", encoding="utf-8") as file:
        file.write(render_summary(result, most_bytes=LARGEST_SUMMARY_BYTES - taken))


def render_annotations(result: SubmissionResult, folder: PurePosixPath | None) -> str:
    """Return at most ten workflow commands; failures with a line and many points come first.

    `folder` is the submission's path in the repository, or None if outside.
    """
    faults = sorted(_faults(result), key=lambda fault: (not fault.location, -fault.points))
    return "".join(_annotation(fault, folder) for fault in faults[:MOST_ANNOTATIONS])


def _blocks(result: SubmissionResult) -> Iterator[str]:
    yield f"# {_code(result.name)}: {_inert(score_line(result.score))}\n"
    yield from _warnings(result)
    yield f"**{_inert(attention_heading(result))}**\n"
    yield _parts_table(result)
    short = items_that_fell_short(result)
    if short:
        yield "## What to look at\n"
        yield from map(_item, short)
    if items_to_answer(result):
        yield f"## {_inert(to_answer_heading(result))}\n"
        rows = [
            (item.id, shortened(check.next_step) if (check := deciding_check(item)) else "")
            for item in items_to_answer(result)
        ]
        yield _table(("item", "next step"), rows)
    questions = items_with_questions(result)
    if questions:
        yield "## Awaits a person\n"
        yield from map(_item, questions)
    taken = [(item.id, source_sentence(item.source)) for item in result.items() if item.source]
    if taken:
        yield "## Taken from programs\n"
        yield _table(("item", "training"), taken)
    trained = [(item.id, item.training) for item in result.items() if item.training]
    if trained:
        yield "## Learning curves\n"
        yield _curves_table(trained)


@dataclass(kw_only=True)
class _Fault:
    """One mistake, which may have cost several items."""

    check: CheckResult
    location: str
    items: list[str]
    points: float


def _faults(result: SubmissionResult) -> Iterable[_Fault]:
    faults: dict[tuple[str, str], _Fault] = {}
    for item in items_that_fell_short(result):
        check = deciding_check(item)
        if check is None:
            continue
        location = check.location or next((c.location for c in item.checks if c.location), "")
        fault = faults.setdefault(
            (location, check.observed),
            _Fault(check=check, location=location, items=[], points=0.0),
        )
        fault.items.append(item.id)
        fault.points += item.score.possible - item.score.earned
    return faults.values()


def _annotation(fault: _Fault, folder: PurePosixPath | None) -> str:
    properties = {"title": f"{', '.join(fault.items)}: {fault.check.title}"[:LONGEST_FACT]}
    file, _, line = fault.location.rpartition(":")
    path = PurePosixPath(file)
    if file and folder is not None and not path.is_absolute() and ".." not in path.parts:
        properties = {"file": str(folder / path), "line": line} | properties
    escaped = ",".join(f"{name}={_escape_property(text)}" for name, text in properties.items())
    message = "\n".join(
        f"{name}: {shortened(text)}" for name, text in facts(fault.check) if name != "where"
    )
    return f"::{_COMMANDS[fault.check.outcome]} {escaped}::{_escape_data(message)}\n"


def _escape_data(text: str) -> str:
    escaped = clean_block(text).replace("%", "%25")
    return escaped.replace("\r", "%0D").replace("\n", "%0A")


def _escape_property(text: str) -> str:
    return _escape_data(text).replace(":", "%3A").replace(",", "%2C")


def _warnings(result: SubmissionResult) -> Iterator[str]:
    provenance = result.provenance
    if provenance.practice:
        yield (
            "> [!WARNING]\n> PRACTICE: graded on the small practice set "
            f"{_inert(provenance.dataset)}, with easier thresholds. This is not a grade.\n"
        )
    if provenance.unsafe:
        yield (
            "> [!CAUTION]\n> OWN WORK: the code ran without a sandbox, so this result must not be "
            "used as a grade.\n"
        )


def _parts_table(result: SubmissionResult) -> str:
    rows = [
        (part.id, part.title, verdict_label(part), score_line(part.score))
        for problem in result.problems
        for part in problem.parts
    ]
    total = f"| **all** | | | **{_inert(score_line(result.score))}** |\n"
    return _table(("part", "what", "outcome", "points"), rows) + total


def _item(item: ItemResult) -> str:
    """Return an item with the check on which its student or a person must act."""
    title = f"### {_inert(item.id)}: {_inert(item.title)} ({_inert(score_line(item.score))})\n"
    check = deciding_check(item)
    if check is None:
        return title
    lines = [f"{verdict_label(check)}: {_inert(check.title)}\n"]
    lines += [f"- {name}: {_code(shortened(text))}" for name, text in facts(check)]
    if check.details:
        shown = _inert(shortened(check.details, _LONGEST_DETAILS))
        lines.append(f"\n<details><summary>details</summary><pre>{shown}</pre></details>")
    tests = tests_of(item)
    if tests:
        rows = [(test.title, verdict_label(test), worth(test)) for test in tests]
        lines += ["", _table(("test", "outcome", "points"), rows)]
    return "\n".join([title, *lines, ""])


def _curves_table(trained: Sequence[tuple[str, TrainingReport]]) -> str:
    rows = []
    for item_id, training in trained:
        metric, show = training.metric, training.metric.show
        values = [value for run in training.runs for value in run.values(metric)]
        for run in training.runs:
            curve = _sparkline(run.values(metric), values)
            counted = show(training.counted(run))
            rows.append((item_id, str(run.seed), curve, counted, show(training.threshold)))
    titles = " or ".join(dict.fromkeys(training.metric.label for _, training in trained))
    return _table(("item", "seed", f"{titles} by epoch", "counted", "threshold"), rows)


def _sparkline(values: Sequence[float], scale: Sequence[float]) -> str:
    """Return a bar for each value, between the lowest and the highest of `scale`."""
    low, span = min(scale, default=0.0), max(scale, default=0.0) - min(scale, default=0.0)
    return "".join(
        _BARS[round((value - low) / span * (len(_BARS) - 1))] if span else _BARS[-1]
        for value in values
    )


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *([_inert(cell) for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _code(text: str) -> str:
    return f"<code>{_inert(text)}</code>"


def _inert(text: str) -> str:
    """Return `text` as one line that Markdown shows literally."""
    return clean_block(text).translate(_REFERENCES)
