"""The reasons why a question has no answer: plain records."""

from __future__ import annotations

from typing import Literal

from grader.models.spec import LongText, Record, ShortText

FailureKind = Literal[
    "missing-file",
    "unclear-file",
    "unreadable-file",
    "encoding",
    "syntax",
    "import",
    "missing-function",
    "unanswered",
    "signature",
    "exception",
    "exit",
    "wrong-type",
    "wrong-value",
    "limit",
    "protocol",
    "crash",
]
"""The kinds of failure.

"limit" is a time, memory, output or size limit; "exit" a process that exited by itself
(`sys.exit`, `os._exit`); "crash" a process that died of a signal; "protocol" a message that the
grader does not accept; "signature" a function that does not accept the arguments it is given;
"unanswered" a stub, which returns None or `...` or raises NotImplementedError;
"unclear-file" one of several files, among which a person must choose.
"""


class Failure(Record, frozen=True):
    """The reason why a question has no answer, in words for the student.

    Attributes:
        phase: what was being done: "import of problem_2.py", "call of optimizer_c(model)".
        message: one or two sentences: what was observed.
        location: "problem_2.py:14", or empty.
        traceback: the student's own frames, capped, or empty.
    """

    kind: FailureKind
    phase: ShortText
    message: ShortText
    next_step: ShortText
    location: ShortText = ""
    traceback: LongText = ""

    @property
    def is_unanswered(self) -> bool:
        """True if it means that there is no answer yet."""
        # A file or a function under another name may be the answer.
        elsewhere = "there is " in self.message or "Did you mean" in self.message
        return self.kind == "unanswered" or (
            self.kind in {"missing-file", "missing-function"} and not elsewhere
        )
