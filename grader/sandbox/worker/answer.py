"""Answer one question in a process of its own: import the file, call, describe, send."""

from __future__ import annotations

import contextlib
import difflib
import faulthandler
import inspect
import json
import os
import random
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from grader.sandbox.protocol import END, PHASE, REPLY, WorkerLimits, write_frame
from grader.sandbox.worker import static_notes
from grader.sandbox.worker.describe_model import describe_model, encode_weights, load_weights
from grader.sandbox.worker.describe_training import (
    default_optimizer,
    describe_optimizer,
    describe_scheduler,
    spare_compiler_import,
)
from grader.sandbox.worker.failures import (
    Line,
    StudentError,
    derives,
    explain_exception,
    line_of,
    safe_text,
)
from grader.sandbox.worker.initialisation import InitialisationWatch
from grader.sandbox.worker.plain_values import Converter
from grader.sandbox.worker.recording.cells import NOTEBOOK
from grader.sandbox.worker.recording.record import WatchedProgram, watch_program
from grader.sandbox.worker.source import compile_source

SEND_AT = 0.85
"""The share of a recording's time after which the recording is sent as far as it is."""
TRACE_AT = 0.9
"""The share of a question's time after which the running line is recorded."""

# A program that is recorded has os._exit() replaced; see `recording.surroundings`.
_exit = os._exit

torch.set_num_threads(1)
spare_compiler_import()
# Every question's process is a fork with these states. The first use of numpy.random imports it,
# which would take half of a question's time.
np.random.seed(0)  # noqa: NPY002 - the generator that student code uses
torch.manual_seed(0)


def answer_question(
    *,
    question: dict[str, Any],
    limits: WorkerLimits,
    submission: Path,
    scratch: Path,
    frames: int,
    trace: int,
) -> None:
    """Answer, write the reply and the end frame, and exit without running exit handlers.

    `frames` and `trace` are descriptors, the second for the stack shortly before a timeout.
    """
    # Optional: if no thread can start, a timeout has no line number.
    with contextlib.suppress(RuntimeError):
        faulthandler.dump_traceback_later(limits.question_seconds * TRACE_AT, file=trace)
    random.seed(0)  # every fork reseeds it
    # A file that was found in a subfolder is run from there.
    os.chdir((scratch / question["file"]).parent)
    session = Session(question=question, limits=limits, submission=submission, frames=frames)
    lock = threading.Lock()
    if question["kind"] == "recording":
        threading.Thread(target=_send_partial, args=[session, lock], daemon=True).start()
    try:
        reply = session.record() if question["kind"] == "recording" else session.answer()
    except StudentError as error:
        reply = {"type": "failure", "failure": error.to_dict(session.phase)}
    # Student code can leave the interpreter in any state. Any exception must become a reply.
    except BaseException as error:  # noqa: BLE001
        explained = explain_exception(error, submission, limits)
        reply = {"type": "failure", "failure": explained.to_dict(session.phase)}
    with lock:
        _send(reply, session)


def _send_partial(session: Session, lock: threading.Lock) -> None:
    """Send what was recorded when little time is left, whatever the program does meanwhile."""
    time.sleep(session.limits.question_seconds * SEND_AT)
    with lock:
        if session.watched is not None:
            recording = session.watched.to_dict()
            _send({"type": "recording", "recording": recording}, session)


def _send(reply: dict[str, Any], session: Session) -> None:
    """Write the reply and the end frame, and exit."""
    reply["notes"] = session.notes
    flush_output()
    write_frame(session.frames, REPLY, json.dumps(reply, allow_nan=False).encode())
    write_frame(session.frames, END)
    _exit(0)


def flush_output() -> None:
    """Write out everything that student code printed."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BaseException:  # noqa: BLE001, S112 - a student may have replaced or closed it
            continue


@dataclass(kw_only=True)
class Session:
    """The steps of one question; `phase` is the current one, for failure messages."""

    question: dict[str, Any]
    limits: WorkerLimits
    submission: Path
    frames: int
    phase: str = "start"
    notes: list[dict[str, str]] = field(default_factory=list)
    initialisation: InitialisationWatch = field(init=False)
    bound: dict[str, Line] = field(default_factory=dict)  # names at top level
    watched: WatchedProgram | None = None  # a recording that is under way

    def __post_init__(self) -> None:
        self.initialisation = InitialisationWatch(self.submission)

    def record(self) -> dict[str, Any]:
        """Run the whole program, and return what it would have trained."""
        watched = self._watch_program(in_a_hurry=False)
        self.watched = watched
        watched.program.run()
        return {"type": "recording", "recording": watched.to_dict()}

    def answer(self) -> dict[str, Any]:
        """Return the reply, or raise `StudentError` if there is no answer."""
        is_model = self.question["kind"] == "model"
        module = self.import_file(watch_weights=is_model and not self.question["weights"])
        name = self.question["function"]
        found = self.find(module, name, required=not self.question["optional"])
        if found is None:
            return {"type": "missing"}
        line = self.line_of(found, name)
        value, subject = self._obtain(found, name)
        if value is None and self.question["optional"]:
            return {"type": "missing"}
        if value is None or value is ...:
            raise _unanswered(subject, value, name, str(line or ""))
        with _located_at(str(line or "")):
            if is_model:
                return self._answer_model(module, value, subject, line)
            return {
                "type": "answer",
                "value": self._to_plain(value, subject),
                "location": str(line or ""),
            }

    def _answer_model(
        self, module: types.ModuleType, model: Any, subject: str, line: Line | None
    ) -> dict[str, Any]:
        name = self.question["function"]
        self.enter(f"description of the model of {name}()")
        described = describe_model(model, subject, self.limits, self.submission)
        if self.question["weights_file"]:
            self.enter(f"loading of {self.question['weights_file']}")
            load_weights(model, *self._find_weights(self.question["weights_file"]))
        weights = (
            encode_weights(described, subject, self.limits) if self.question["weights"] else None
        )
        is_own, set_at = self.initialisation.find(layer for _, layer in described.modules)
        place = (set_at or line) if is_own else None
        reply: dict[str, Any] = {
            "type": "model",
            "layers": described.layers,
            "weights": weights,
            "location": str(line or ""),
            "class_name": described.class_name,
            "own_initialisation": None if place is None else place.to_dict(),
        }
        failures = []

        def attempt(role: str, action: Callable[[Any, str], Any]) -> None:
            role_name = self.question[role]
            try:
                found = self.find(module, role_name, required=False)
                if found is not None:
                    with _located_at(str(self.line_of(found, role_name) or "")):
                        reply[role] = action(found, role_name)
            except StudentError as error:
                failures.append([role, error.to_dict(self.phase)])

        optimizer: Any = None

        def optimize(found: Any, role_name: str) -> dict[str, Any]:
            nonlocal optimizer
            made, subject = self._obtain(found, role_name, model=model)
            # Described before the scheduler exists, which changes the learning rates.
            description = describe_optimizer(made, subject, described)
            optimizer = made
            return description

        def schedule(found: Any, role_name: str) -> dict[str, Any] | None:
            nonlocal optimizer
            if failures:  # of the optimiser: there is nothing to schedule
                return None
            if optimizer is None:
                optimizer = self._call(default_optimizer, "Adam", model=model)
            if optimizer is None:
                return None
            made, subject = self._obtain(found, role_name, optimizer=optimizer)
            return None if made is None else describe_scheduler(made, subject, optimizer)

        attempt("optimizer", optimize)
        attempt("scheduler", schedule)
        attempt("training", lambda found, name: self._to_plain(*self._obtain(found, name)))
        reply["failures"] = failures
        return reply

    def _find_weights(self, file: str) -> tuple[Path, str]:
        """Return the path of a file of weights, which may lie beside the file of code."""
        beside = (self.submission / self.question["file"]).parent / Path(file).name
        path = self.submission / file
        return (path if path.is_file() or not beside.is_file() else beside), file

    def enter(self, phase: str) -> None:
        """Begin a step and announce it, so that the grader can name it in a failure."""
        self.phase = phase
        write_frame(self.frames, PHASE, phase.encode()[:400])

    def import_file(self, *, watch_weights: bool) -> types.ModuleType:
        """Run the file and return its module, or raise `StudentError`."""
        file = self.question["file"]
        if self.question["program"] or file.endswith(NOTEBOOK):
            program = self._watch_program(in_a_hurry=True).program
            program.run()
            self.bound = program.bound
            return program.module
        if watch_weights:
            self.initialisation.start()
        self.enter(f"import of {file}")
        path = self.submission / file
        try:
            source = path.read_bytes()
        except FileNotFoundError:
            raise StudentError(
                "missing-file", f"{file} was not handed in.", f"Hand in a file named {file}."
            ) from None
        code = compile_source(source, str(path), file)
        self.bound = {
            name: Line(file=file, cell=0, line=number)
            for name, number in static_notes.find_bound_names(source).items()
        }
        self.notes += static_notes.find_shadows(self.submission)
        self.notes += static_notes.find_import_notes(source, file)
        self._find_own_modules()
        sys.argv = [str(path)]
        module = types.ModuleType(path.stem)
        module.__file__ = str(path)
        sys.modules[path.stem] = module
        try:
            exec(code, module.__dict__)  # noqa: S102 - what the sandbox is for
        except BaseException as error:  # noqa: BLE001 - student code raises anything
            raise explain_exception(error, self.submission, self.limits) from None
        return module

    def _find_own_modules(self) -> None:
        """Let the file import those beside it; one named like an installed module wins nothing."""
        beside = (self.submission / self.question["file"]).parent
        sys.path += [str(path) for path in dict.fromkeys((beside, self.submission))]

    def _watch_program(self, *, in_a_hurry: bool) -> WatchedProgram:
        self._find_own_modules()
        sys.path.append(str(Path.cwd()))  # for modules that a cell writes
        return watch_program(
            submission=self.submission,
            file=self.question["file"],
            limits=self.limits,
            enter=self.enter,
            initialisation=self.initialisation,
            in_a_hurry=in_a_hurry,
        )

    def find(self, module: types.ModuleType, name: str | None, *, required: bool) -> Any:
        """Return a function or value of the file, or None if an optional one is missing."""
        if name is None:
            return None
        found = module.__dict__.get(name)
        if found is not None or not required:
            return found
        file = self.question["file"]
        self.phase = f"search for {name}()"
        functions = [
            key
            for key, value in module.__dict__.items()
            if isinstance(key, str) and isinstance(value, types.FunctionType)
        ]
        # modelC is meant for model_c, though model_e has more letters at their places.
        alike = [each for each in functions if _letters_of(each) == _letters_of(name)]
        close = alike or difflib.get_close_matches(name, functions, n=1)
        hint = f" Did you mean {close[0]}()?{_look_alikes(close[0])}" if close else ""
        raise StudentError(
            "missing-function",
            f"{file} has no function {name}().{hint}",
            f"Define {name} at the top level of {file}, not inside another block.",
        )

    def line_of(self, found: object, name: str) -> Line | None:
        """Return where a function of the student's or a name at top level is defined."""
        code = getattr(found, "__code__", None)
        if isinstance(code, types.CodeType):
            return line_of(code.co_filename, code.co_firstlineno, self.submission)
        return self.bound.get(name)

    def _obtain(self, found: Any, name: str, **arguments: Any) -> tuple[Any, str]:
        """Return the value of a call, or a variable's own value; and how a message begins."""
        # A model can be called too, but it is a value.
        if callable(found) and not derives(type(found), torch.nn.Module):
            value = self._call(found, name, **arguments)
            return value, f"{name}({', '.join(arguments)}) returned"
        return found, f"{name} is"

    def _call(self, function: Callable[..., Any], name: str, **arguments: Any) -> Any:
        """Call the function with positional arguments and return its value."""
        call = f"{name}({', '.join(arguments)})"
        self.enter(f"call of {call}")
        line = self.line_of(function, name)
        try:
            inspect.signature(function).bind(*arguments.values())
        except TypeError as error:
            expected = f"with {len(arguments)} argument" if arguments else "without arguments"
            raise StudentError(
                "signature",
                f"{name} cannot be called {expected}: {safe_text(error)}.",
                f"Define it so that the call {call} works.",
                location=str(line or ""),
            ) from None
        except BaseException:  # noqa: BLE001, S110 - some callables have no signature; the call shows
            pass
        try:
            return function(*arguments.values())
        except BaseException as error:  # noqa: BLE001 - student code raises anything
            raise explain_exception(error, self.submission, self.limits) from None

    def _to_plain(self, value: Any, subject: str) -> Any:
        self.enter(f"description of the value of {subject.partition(' ')[0]}")
        if value is None:
            raise _unanswered(subject, value, subject.partition("(")[0], "")
        return Converter(self.limits).convert(value)


def _unanswered(subject: str, value: object, name: str, location: str) -> StudentError:
    shown = "..." if value is ... else "None"
    return StudentError(
        "unanswered",
        f"{subject} {shown}; if it is answered, a `return` is missing.",
        f"Write {name}() so that it returns the answer.",
        location=location,
    )


def _letters_of(name: str) -> str:
    return name.replace("_", "").casefold()


def _look_alikes(name: str) -> str:
    """Return a sentence about letters that only look like a to z, or "" if there are none."""
    odd = [f"{letter} (U+{ord(letter):04X})" for letter in name if not letter.isascii()]
    return f" It is written with {', '.join(odd)}, not with a letter from a to z." if odd else ""


@contextlib.contextmanager
def _located_at(location: str) -> Iterator[None]:
    """Add the function's location to a `StudentError` that has none."""
    try:
        yield
    except StudentError as error:
        error.location = error.location or location
        raise
