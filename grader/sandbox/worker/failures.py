"""Explain a failure inside the sandbox, where the exception is at hand."""

from __future__ import annotations

import builtins
import difflib
import errno
import linecache
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from traceback import walk_tb
from types import FrameType, TracebackType
from typing import Any

from grader.sandbox.protocol import (
    NEEDS_LESS_MEMORY,
    NEEDS_NO_FILES,
    NEEDS_NO_PROCESSES,
    WorkerLimits,
    describe_bytes,
)

MAXIMUM_MESSAGE = 600
MAXIMUM_FRAMES = 12
MAXIMUM_LINE = 200
CELL = ".ipynb, cell "
"""In the file names of a notebook's code objects, before the cell's number."""
MAXIMUM_NAMES = 10_000
PYTHON = f"Python {sys.version_info.major}.{sys.version_info.minor}"
"""The grader's own version, which student code must be written for."""
_NOT_A_MODULE = re.compile(r"(\w+) is not a Module subclass")
_LAYERS_OF_FUNCTIONS = {
    layer.partition("(")[0].lower(): layer
    for layer in (
        *("ReLU()", "ReLU6()", "LeakyReLU()", "ELU()", "SELU()", "SiLU()", "GELU()", "Sigmoid()"),
        *("Tanh()", "Softplus()", "Flatten()", "Identity()", "Softmax(dim=1)", "Dropout(…)"),
        *("LogSoftmax(dim=1)", "Linear(…)", "Conv2d(…)", "MaxPool2d(…)", "BatchNorm2d(…)"),
    )
} | {
    "leaky_relu": "LeakyReLU()",
    "log_softmax": "LogSoftmax(dim=1)",
    "max_pool2d": "MaxPool2d(…)",
    "avg_pool2d": "AvgPool2d(…)",
}
_TORCHVISION_HAS_NO_DATA = ("Dataset not found", "Error downloading")


class StudentError(Exception):
    """A fault in the student's files that ends a question, or one role of a model.

    Attributes:
        kind: one of `grader.models.questions.FailureKind`.
        next_step: for the student.
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
        """Return the fields of `grader.models.questions.Failure`."""
        return {
            "kind": self.kind,
            "phase": phase,
            "message": self.message,
            "next_step": self.next_step,
            "location": self.location,
            "traceback": self.traceback_text,
        }


def explain_exception(error: BaseException, submission: Path, limits: WorkerLimits) -> StudentError:
    """Explain an exception that the student's code raised."""
    location, listing = _student_frames(error.__traceback__, submission)
    name, text = type_name(type(error)), safe_text(error)
    described = (f"{name}: {text}" if text else name) + _suggestion(error)
    exceeded = _exceeded_limit(error, text, limits)
    if exceeded is None:
        kind, message, next_step = _explanation(error, name, text, described)
    else:
        kind, (action, next_step) = "limit", exceeded
        message = f"Your code {action}: {described}"
    return StudentError(
        kind,
        message,
        next_step,
        location=location,
        traceback_text=f"{listing}{described}" if listing and kind != "unanswered" else "",
    )


def _exceeded_limit(
    error: BaseException, text: str, limits: WorkerLimits
) -> tuple[str, str] | None:
    """Return what the student's code did to exceed a limit and the next step, or None."""
    number = error.errno if isinstance(error, OSError) else None
    shortage = isinstance(error, RuntimeError) and (
        "can't allocate memory" in text or "not enough memory" in text
    )
    if shortage or isinstance(error, MemoryError):
        maximum = describe_bytes(limits.memory_bytes)
        return f"asked for more than the {maximum} of memory that a question may use", (
            NEEDS_LESS_MEMORY
        )
    if number == errno.EAGAIN or "can't start new thread" in text:
        maximum = f"{limits.processes} processes and threads"
        return f"asked for more than the {maximum} that may run at once", NEEDS_NO_PROCESSES
    if number == errno.EMFILE:
        maximum = f"{limits.open_files} files"
        return f"opened more than the {maximum} that may be open at once", (
            "Open files in a with block, which closes them."
        )
    if number in {errno.EFBIG, errno.ENOSPC, errno.EDQUOT}:
        maximum = describe_bytes(limits.scratch_bytes)
        return f"wrote more than the {maximum} of files that a question may write", NEEDS_NO_FILES
    return None


def _explanation(
    error: BaseException, name: str, text: str, described: str
) -> tuple[str, str, str]:
    """Return kind, message and next step."""
    kind, message = "exception", f"Your code raised {described}"
    next_step = "Run this call on your own machine, and correct the line that raises."
    if isinstance(error, SystemExit):
        kind = "exit"
        message = f"Your code ended the program with {described}, so there is no answer."
        next_step = "Remove exit(), quit() and sys.exit() from what runs when this is called."
    elif name == "NotImplementedError" and not text:
        kind, message = "unanswered", "It raises NotImplementedError."
        next_step = "Write your answer in place of `raise NotImplementedError`."
    elif isinstance(error, EOFError):
        message = f"Your code waits for input, but no input comes during grading: {described}"
        next_step = "Remove input(); return the answer from the function instead."
    elif name == "BdbQuit":
        message = "Your code waits for a debugger, but nobody can use one during grading."
        next_step = "Remove breakpoint() and pdb.set_trace()."
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
        next_step = _advise_on_import(error, text)
    elif isinstance(error, TypeError) and (found := _NOT_A_MODULE.search(text)):
        next_step = _advise_on_layer(found[1])
    elif isinstance(error, RecursionError):
        next_step = "A function calls itself endlessly; add a condition that stops it."
    elif "cuda" in text.lower() or "nvidia driver" in text.lower():
        next_step = (
            "There is no GPU where answers are collected. Build the model on the CPU: remove "
            '.cuda() and .to("cuda"), or ask torch.cuda.is_available() first.'
        )
    elif isinstance(error, OSError) or any(words in text for words in _TORCHVISION_HAS_NO_DATA):
        next_step = (
            "There is no network and no data set where answers are collected, and only a scratch "
            'directory can be written to. Move training under if __name__ == "__main__":.'
        )
    return kind, message, next_step


def _suggestion(error: BaseException) -> str:
    """Return the similar name that Python adds to an error that ends a program, or ""."""
    try:
        if isinstance(error, NameError):
            *_, (innermost, _line) = walk_tb(error.__traceback__)
            wrong = error.name
            names = [*innermost.f_locals, *innermost.f_globals, *dir(builtins)]
        elif isinstance(error, AttributeError):
            wrong, names = error.name, dir(error.obj)
        elif isinstance(error, ImportError):
            wrong = getattr(error, "name_from", None)  # since Python 3.12
            names = dir(sys.modules[error.name or ""])
        else:
            return ""
        close = difflib.get_close_matches(wrong or "", names[:MAXIMUM_NAMES], n=1)
        return f". Did you mean: {safe_text(repr(close[0]))}?" if close else ""
    except BaseException:  # noqa: BLE001 - a student's __dir__ and names may be anything
        return ""


def _advise_on_import(error: ImportError, text: str) -> str:
    if "relative import" in text:
        return "Write `from helpers import …` instead of `from .helpers import …`."
    if (error.name or "").partition(".")[0] in sys.stdlib_module_names:
        return f"Check the name that is imported; the grader runs {PYTHON}."
    return "Check the name that is imported, and that your PyTorch is a current one."


def _advise_on_layer(name: str) -> str:
    """Return the next step for a Sequential that is given something else than a layer."""
    if name in {"Sequential", "Module"}:
        return "Put layers into the Sequential, with their arguments: nn.Linear(784, 100)."
    layer = _LAYERS_OF_FUNCTIONS.get(name.lower())
    if layer is not None:
        return f"Write nn.{layer} instead: a Sequential takes layers, not functions or classes."
    return "Put only layers of torch.nn into a Sequential, such as nn.ReLU()."


def safe_text(value: object) -> str:
    """Return `str(value)` on one line and capped, even if its `__str__` misbehaves."""
    try:
        text = str.__str__(str(value))
    except BaseException:  # noqa: BLE001 - a student's __str__ may raise anything
        return "(its message cannot be shown)"
    return " ".join(text[: 4 * MAXIMUM_MESSAGE].split())[:MAXIMUM_MESSAGE]


def type_name(kind: type) -> str:
    """Return the name of a class, even if its metaclass misbehaves."""
    try:
        name = type.__dict__["__name__"].__get__(kind)
        return str.__str__(name)[:100]
    except BaseException:  # noqa: BLE001 - a student's class may do anything
        return "(unnamed)"


def derives(kind: type, base: type) -> bool:
    """Return True if a class really derives from another, despite a false `__class__`."""
    return base in type.mro(kind) if type(kind) is type else type.__subclasscheck__(base, kind)


def type_name_with_article(kind: type) -> str:
    """Return the name of a class after "a" or "an"."""
    name = type_name(kind)
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def display_path(filename: str, submission: Path) -> str | None:
    """Return a file's path in the submission, or None for any other file."""
    try:
        return Path(filename).relative_to(submission).as_posix()
    except ValueError:
        return None


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of a student's file; the fields of `models.recording.Place`."""

    file: str
    cell: int
    line: int

    def __str__(self) -> str:
        shown = f"{self.file}, cell {self.cell}" if self.cell else self.file
        return locate(shown, self.line)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields."""
        return {"file": self.file[:MAXIMUM_LINE], "cell": self.cell, "line": self.line}


def find_line(frame: FrameType | None, submission: Path) -> Line | None:
    """Return the innermost line of the student's files at or outside `frame`, or None."""
    while frame is not None:
        line = line_of(frame.f_code.co_filename, frame.f_lineno, submission)
        if line is not None:
            return line
        frame = frame.f_back
    return None


def line_of(filename: str, number: int, submission: Path) -> Line | None:
    """Return a line of a code object's file, or None if the file is not the student's."""
    shown = display_path(filename, submission)
    if shown is None:
        return None
    file, _, cell = shown.partition(", cell ") if CELL in shown else (shown, "", "")
    return Line(file=file, cell=int(cell) if cell.isdecimal() else 0, line=number)


def locate(shown: str, line: int) -> str:
    """Return a location: "problem_2.py:14", or "problem_2.ipynb, cell 7, line 3"."""
    return f"{shown}, line {line}" if CELL in shown else f"{shown}:{line}"


def running_line(trace: bytes, submission: Path) -> str:
    """Return the location of the innermost line of the student's files in a faulthandler dump."""
    pattern = rf'File "{re.escape(str(submission))}[/\\]([^"\n]{{1,200}})", line (\d+)'
    found = re.search(pattern, trace.decode(errors="replace"))
    return locate(found[1].replace("\\", "/"), int(found[2])) if found else ""


def _student_frames(traceback: TracebackType | None, submission: Path) -> tuple[str, str]:
    """Return the innermost line in the student's files, and a listing of all of them."""
    lines: list[str] = []
    location = ""
    while traceback is not None:
        code = traceback.tb_frame.f_code
        shown = display_path(code.co_filename, submission)
        if shown is not None:
            location = locate(shown, traceback.tb_lineno)
            source = linecache.getline(code.co_filename, traceback.tb_lineno).strip()
            lines.append(f'File "{shown}", line {traceback.tb_lineno}, in {code.co_name}')
            if source:
                lines.append(f"    {source[:MAXIMUM_LINE]}")
        traceback = traceback.tb_next
    if len(lines) > 2 * MAXIMUM_FRAMES:
        half = MAXIMUM_FRAMES
        lines = [*lines[:half], "…", *lines[-half:]]
    return location, "".join(f"{line}\n" for line in lines)
