"""The exit codes of `grade`, and the text that explains them."""

from __future__ import annotations

from grader.results import Outcome, SubmissionResult

EXIT_PASSED, EXIT_FELL_SHORT, EXIT_NO_GRADE, EXIT_INTERRUPTED = 0, 1, 3, 130

EXIT_CODES = """
\b
Exit codes:
  0    every automatic part that was graded passed
  1    graded, and something fell short
  2    the command was used wrongly
  3    the grader or the machine failed, so there is no grade
  130  stopped by Ctrl-C; what was finished is in the report
"""


def exit_code(result: SubmissionResult) -> int:
    """The exit code of a finished grading."""
    outcomes = {item.outcome for item in result.items()}
    if Outcome.ERROR in outcomes:
        return EXIT_NO_GRADE
    return EXIT_FELL_SHORT if Outcome.FAILED in outcomes else EXIT_PASSED
