"""The outcomes of a call that is not answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from grader.models.failures import Failure


class StudentError(Exception):
    """The student's code raised an exception; `pytest.raises(StudentError, match="ValueError")`.

    Attributes:
        type: the name of its class: "ValueError".
        message: its text.
        frames: the student's own lines, innermost last.
        failure: as reports explain it.
    """

    def __init__(self, raised: str, failure: Failure) -> None:
        super().__init__(raised)
        self.type, _, self.message = raised.partition(": ")
        self.frames = failure.traceback
        self.failure = failure


class UnansweredError(BaseException):
    """A call got no answer: it timed out, crashed, or names a function that is missing.

    No `pytest.raises(StudentError)` may catch it, and hypothesis need not repeat it.

    Attributes:
        failure: the reason, for the student.
    """

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class StudentReachedError(BaseException):
    """A rehearsed test has come to its first call of the student."""


class UnusableArgumentError(TypeError):
    """An argument that cannot be sent into the sandbox: the author's mistake."""
