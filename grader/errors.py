"""The exceptions of the grader.

    GraderError
    ├── UsageError          the command was used wrongly: exit code 2
    │   └── AssignmentError     an assignment has mistakes; all of them are reported at once
    ├── MachineError        the grader or the machine failed, so there is no grade: exit code 3
    │   ├── DatasetError        a data set is missing, or its checksum is wrong
    │   ├── MemoryShortageError a process got too little memory
    │   └── SandboxError        no isolation works here, or the sandbox could not be started
    └── SubmissionError     a part of a submission cannot be used: its own question fails
        ├── MessageError        a message from the sandbox breaks the protocol
        ├── ModelError          a described model cannot be built, or does not fit its input
        └── UnusableSubmissionError     nothing of a submission can be used

Only `grader.cli` turns an exception into an exit code. A `SubmissionError` never leaves the
grading of its own question, an `UnusableSubmissionError` never that of its own student.
"""

from __future__ import annotations

from collections.abc import Sequence


class GraderError(Exception):
    """The base of all errors of the grader.

    Attributes:
        next_step: advice to the user; may be empty.
    """

    exit_code = 3

    def __init__(self, message: str, *, next_step: str = "") -> None:
        super().__init__(message)
        self.next_step = next_step


class UsageError(GraderError):
    """The command was used wrongly."""

    exit_code = 2


class AssignmentError(UsageError):
    """An assignment has mistakes.

    Attributes:
        mistakes: one sentence each, starting with the path of the field.
    """

    def __init__(self, name: str, mistakes: Sequence[str]) -> None:
        self.mistakes = tuple(mistakes)
        listing = "\n".join(f"  - {mistake}" for mistake in self.mistakes)
        count = "1 mistake" if len(self.mistakes) == 1 else f"{len(self.mistakes)} mistakes"
        super().__init__(f"assignment {name!r} has {count}:\n{listing}")


class MachineError(GraderError):
    """The grader or the machine failed, so there is no grade."""


class DatasetError(MachineError):
    """A data set is missing, incomplete, or not the one its checksum promises."""


class MemoryShortageError(MachineError):
    """A process got too little memory, by a limit or because the machine has no more."""


class SandboxError(MachineError):
    """No isolation works on this machine, or the sandbox did not start."""


class SubmissionError(GraderError):
    """A part of a submission cannot be used; only its own question fails."""


class MessageError(SubmissionError):
    """A message from the sandbox breaks the protocol."""


class ModelError(SubmissionError):
    """A described model cannot be built, or does not fit its input.

    Attributes:
        layer_index: index of the faulty layer, or None for the whole model.
    """

    def __init__(
        self, message: str, *, layer_index: int | None = None, next_step: str = ""
    ) -> None:
        super().__init__(message, next_step=next_step)
        self.layer_index = layer_index


class UnusableSubmissionError(SubmissionError):
    """Nothing of a submission can be used: a hostile archive, or none of the files.

    Attributes:
        needs_person: the work may be good all the same, so a person must look before a grade is
            given.
    """

    def __init__(self, message: str, *, next_step: str = "", needs_person: bool = False) -> None:
        super().__init__(message, next_step=next_step)
        self.needs_person = needs_person


MORE_MEMORY = "Close other programs, or use a machine with more memory, and grade again."

_ALLOCATOR_MESSAGES = ("you tried to allocate", "CUDA out of memory")
# PyTorch's CPU allocator raises a plain RuntimeError, the GPU's a subclass of it.


def memory_shortage(error: Exception) -> MemoryShortageError | None:
    """Return the error to raise instead if `error` means that memory ran out, else None."""
    if isinstance(error, MemoryShortageError):
        return error
    if isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(part in str(error) for part in _ALLOCATOR_MESSAGES)
    ):
        return MemoryShortageError(f"memory ran out: {error}", next_step=MORE_MEMORY)
    return None
