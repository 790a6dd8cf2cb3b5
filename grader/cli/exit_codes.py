"""Exit codes of `grade`, and their explanation for `--help`."""

from __future__ import annotations

EXIT_PASSED, EXIT_FELL_SHORT, EXIT_NO_GRADE, EXIT_INTERRUPTED = 0, 1, 3, 130

EXIT_CODES = """
\b
Exit codes:
  0    everything that was graded automatically passed
  1    graded, and something failed
  2    the command was used wrongly
  3    no grade: the grader or the machine failed
  130  stopped by Ctrl-C; finished parts are in the report
"""


def exit_code(*, error: bool, failed: bool) -> int:
    """Return the exit code of a grading that was not interrupted."""
    if error:
        return EXIT_NO_GRADE
    return EXIT_FELL_SHORT if failed else EXIT_PASSED
