"""The lines of a student's file around a place that a check names."""

from __future__ import annotations

import re
from collections.abc import Iterator

from grader.errors import SubmissionError
from grader.intake.names import CODE, suffix_of
from grader.intake.submission import Submission
from grader.results import CheckResult, ItemResult, Outcome
from grader.text import clean_line

LINES = 3
LONGEST_LINE = 160

_PLACE = re.compile(r"(?P<file>.+?)(?:, cell (?P<cell>\d+), line |:)(?P<line>\d+)")


class Sources:
    """The lines of a submission's code, read while its private copy is there."""

    def __init__(self, submission: Submission) -> None:
        self._lines = dict(_read_lines(submission))

    def add_excerpts(self, item: ItemResult) -> ItemResult:
        """Return an item whose checks that did not pass show the lines that they name."""
        checks = tuple(map(self._with_excerpt, item.checks))
        return item if checks == item.checks else item.with_checks(checks)

    def _with_excerpt(self, check: CheckResult) -> CheckResult:
        is_quiet = check.outcome is Outcome.PASSED or check.unanswered or check.hidden
        if is_quiet or not check.location:
            return check
        return check.with_excerpt(self.around(check.location))

    def around(self, location: str) -> str:
        """Return the lines around "problem_2.py:14", the one that is meant marked; else ""."""
        place = _PLACE.fullmatch(location)
        lines = self._lines.get((place["file"], int(place["cell"] or 0))) if place else None
        number = int(place["line"]) if place else 0
        if lines is None or not 1 <= number <= len(lines):
            return ""
        # The line before is of interest unless it is empty, as before a function.
        first = number - 1 if number > 1 and lines[number - 2] else number
        last = min(len(lines), first + LINES - 1)
        return "\n".join(
            f"{'>' if each == number else ' '} {each:>{len(str(last))}}  {lines[each - 1]}".rstrip()
            for each in range(first, last + 1)
        )


def _read_lines(submission: Submission) -> Iterator[tuple[tuple[str, int], list[str]]]:
    for file in submission.files:
        if suffix_of(file) not in CODE:
            continue
        try:
            cells = submission.read_cells(file)
        except (OSError, SubmissionError):
            continue
        for cell in cells:
            lines = cell.source.splitlines()
            yield (file, cell.number), [_shown(line) for line in lines]


def _shown(line: str) -> str:
    """Return a line without control characters; tabs are four spaces."""
    indent = len(line.expandtabs(4)) - len(line.expandtabs(4).lstrip())
    return f"{' ' * indent}{clean_line(line.strip())}"[:LONGEST_LINE]
