"""Why a question has no answer, worded inside the sandbox where the exception is at hand."""

from __future__ import annotations

import linecache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

MAXIMUM_MESSAGE = 600
MAXIMUM_FRAMES = 12
MAXIMUM_LINE = 200


class StudentError(Exception):
    """Something in the student's files stops a question, or one role of a model.

    Attributes:
        kind: one of `grader.questions.FailureKind`.
        next_step: what the student can do.
        location: "problem_2.py:14", or empty.
        traceback_text: the student's own frames, or empty.
    """

    def __init__(
        self,
        kind: str,
        message: str,
        next_step: str,
        *,
        location: str = "",
        traceback_text: str = "",
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.next_step = next_step
        self.location = location
        self.traceback_text = traceback_text

    def to_dict(self, phase: str) -> dict[str, str]:
        """The failure as it is sent."""
        return {
            "kind": self.kind,
            "phase": phase,
            "message": self.message,
            "next_step": self.next_step,
            "location": self.location,
            "traceback": self.traceback_text,
        }


def explain_exception(error: BaseException, submission: Path, memory_bytes: int) -> StudentError:
    """What an exception that came out of the student's code means."""
    location, listing = _student_frames(error.__traceback__, submission)
    name, text = type_name(type(error)), safe_text(error)
    described = f"{name}: {text}" if text else name
    kind, message, next_step = _explanation(error, text, described, memory_bytes)
    return StudentError(
        kind,
        message,
        next_step,
        location=location,
        traceback_text=f"{listing}{described}" if listing else "",
    )


def _explanation(
    error: BaseException, text: str, described: str, memory_bytes: int
) -> tuple[str, str, str]:
    """Kind, message and next step."""
    kind, message = "exception", f"Your code raised {described}"
    next_step = "Run this call on your own machine, and correct the line that raises."
    if isinstance(error, SystemExit):
        kind = "exit"
        message = f"Your code ended the program with {described}, so there is no answer."
        next_step = "Remove exit(), quit() and sys.exit() from what runs when this is called."
    elif isinstance(error, EOFError):
        message = f"Your code waits for input, and there is none when it is graded: {described}"
        next_step = "Remove input(); return the answer from the function instead."
    elif isinstance(error, ModuleNotFoundError):
        package = safe_text(error.name or text).partition(".")[0]
        kind = "import"
        message = f"The package {package!r} is not installed where grading runs ({described})."
        next_step = (
            f"Use torch, torchvision, numpy and the standard library only. If {package}.py is a "
            "file of yours, hand it in beside this one."
        )
    elif isinstance(error, ImportError):
        kind, message = "import", f"An import failed: {described}"
        next_step = "Check the name that is imported, and that your PyTorch is a current one."
    elif isinstance(error, RecursionError):
        next_step = "A function calls itself without an end; give it one."
    elif _is_memory_shortage(error, text):
        kind = "limit"
        message = (
            f"Your code asked for more memory than the {memory_bytes / 1e6:,.0f} MB that a "
            f"question may use: {described}"
        )
        next_step = "Build only the model; make layers smaller, and load no data set here."
    elif _is_about_cuda(text):
        next_step = (
            "There is no GPU where answers are collected. Build the model on the CPU: remove "
            '.cuda() and .to("cuda"), or ask torch.cuda.is_available() first.'
        )
    elif isinstance(error, OSError) or _is_about_data(text):
        next_step = (
            "There is no network and no data set where answers are collected, and only a scratch "
            'directory can be written to. Move training under if __name__ == "__main__":.'
        )
    return kind, message, next_step


def _is_memory_shortage(error: BaseException, text: str) -> bool:
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError)
        and ("can't allocate memory" in text or "not enough memory" in text)
    )


def _is_about_cuda(text: str) -> bool:
    lowered = text.lower()
    return "nvidia driver" in lowered or "cuda" in lowered


def _is_about_data(text: str) -> bool:
    """Whether torchvision says that a data set is neither there nor can be had."""
    return "Dataset not found" in text or "Error downloading" in text


def safe_text(value: object) -> str:
    """`str(value)` on one line and capped, whatever its `__str__` does."""
    try:
        text = str.__str__(str(value))
    except BaseException:  # noqa: BLE001 - a student's __str__ may raise anything
        return "(its message cannot be shown)"
    return " ".join(text[: 4 * MAXIMUM_MESSAGE].split())[:MAXIMUM_MESSAGE]


def type_name(kind: type) -> str:
    """The name of a class, whatever its metaclass says."""
    try:
        name = type.__dict__["__name__"].__get__(kind)
        return str.__str__(name)[:100]
    except BaseException:  # noqa: BLE001 - a student's class may do anything
        return "(unnamed)"


def display_path(filename: str, submission: Path) -> str | None:
    """A file of the submission as the student knows it, or None for any other file."""
    try:
        return str(Path(filename).relative_to(submission))
    except ValueError:
        return None


def _student_frames(traceback: TracebackType | None, submission: Path) -> tuple[str, str]:
    """The innermost line in the student's files, and a listing of all of them."""
    lines: list[str] = []
    location = ""
    while traceback is not None:
        code = traceback.tb_frame.f_code
        shown = display_path(code.co_filename, submission)
        if shown is not None:
            location = f"{shown}:{traceback.tb_lineno}"
            source = linecache.getline(code.co_filename, traceback.tb_lineno).strip()
            lines.append(f'File "{shown}", line {traceback.tb_lineno}, in {code.co_name}')
            if source:
                lines.append(f"    {source[:MAXIMUM_LINE]}")
        traceback = traceback.tb_next
    if len(lines) > 2 * MAXIMUM_FRAMES:
        half = MAXIMUM_FRAMES
        lines = [*lines[:half], "…", *lines[-half:]]
    return location, "".join(f"{line}\n" for line in lines)
