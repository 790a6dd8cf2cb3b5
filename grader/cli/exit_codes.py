"""Exit codes of `grade`, and their explanation for `--help`."""

from __future__ import annotations

from grader.results import Outcome, SubmissionResult

EXIT_PASSED, EXIT_FELL_SHORT, EXIT_NO_GRADE, EXIT_INTERRUPTED = 0, 1, 3, 130

EXIT_CODES = """
\b
Exit codes:
  0    everything that was graded automatically passed
  1    graded, and something failed
  2    the command was used wrongly
  3    no grade: the grader or the machine failed
  130  stopped by Ctrl-C; the report holds what was finished
"""


def exit_code(result: SubmissionResult) -> int:
    """Return the exit code for a result."""
    outcomes = {item.outcome for item in result.items()}
    if Outcome.ERROR in outcomes:
        return EXIT_NO_GRADE
    return EXIT_FELL_SHORT if Outcome.FAILED in outcomes else EXIT_PASSED
