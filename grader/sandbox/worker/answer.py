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
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from grader.sandbox.protocol import END, PHASE, REPLY, WorkerLimits, write_frame
from grader.sandbox.worker import static_notes
from grader.sandbox.worker.describe_model import describe_model, encode_weights
from grader.sandbox.worker.describe_training import (
    default_optimizer,
    describe_optimizer,
    describe_scheduler,
    spare_compiler_import,
)
from grader.sandbox.worker.failures import (
    StudentError,
    display_path,
    explain_exception,
    locate,
    safe_text,
    type_name,
)
from grader.sandbox.worker.plain_values import Converter
from grader.sandbox.worker.recording.cells import NOTEBOOK
from grader.sandbox.worker.recording.program import Program, to_recording
from grader.sandbox.worker.source import compile_source

TRACE_AT = 0.9
"""The share of a question's time after which the running line is recorded."""

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
    session = _Session(question=question, limits=limits, submission=submission, frames=frames)
    try:
        reply = session.record() if question["kind"] == "recording" else session.answer()
    except StudentError as error:
        reply = {"type": "failure", "failure": error.to_dict(session.phase)}
    # Student code can leave the interpreter in any state. Any exception must become a reply.
    except BaseException as error:  # noqa: BLE001
        explained = explain_exception(error, submission, limits)
        reply = {"type": "failure", "failure": explained.to_dict(session.phase)}
    reply["notes"] = session.notes
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BaseException:  # noqa: BLE001, S112 - a student may have replaced or closed it
            continue
    write_frame(frames, REPLY, json.dumps(reply, allow_nan=False).encode())
    write_frame(frames, END)
    os._exit(0)


@dataclass(kw_only=True)
class _Session:
    """The steps of one question; `phase` is the current one, for failure messages."""

    question: dict[str, Any]
    limits: WorkerLimits
    submission: Path
    frames: int
    phase: str = "start"
    notes: list[dict[str, str]] = field(default_factory=list)

    def record(self) -> dict[str, Any]:
        """Run the whole program, and return what it would have trained."""
        program = self._program()
        program.run()
        return {"type": "recording", "recording": to_recording(program)}

    def answer(self) -> dict[str, Any]:
        """Return the reply, or raise `StudentError` if there is no answer."""
        module = self._import_file()
        name = self.question["function"]
        function = self._find(module, name, required=not self.question["optional"])
        if function is None:
            return {"type": "missing"}
        location = _location(function, self.submission)
        value = self._call(function, name)
        if value is None and self.question["optional"]:
            return {"type": "missing"}
        with _located_at(location):
            if self.question["kind"] == "model":
                return self._answer_model(module, value, location)
            return {
                "type": "answer",
                "value": self._to_plain(value, name),
                "location": location,
            }

    def _answer_model(self, module: types.ModuleType, model: Any, location: str) -> dict[str, Any]:
        name = self.question["function"]
        self._enter(f"description of the model of {name}()")
        described = describe_model(model, name, self.limits)
        weights = encode_weights(described, name, self.limits) if self.question["weights"] else None
        reply: dict[str, Any] = {
            "type": "model",
            "layers": described.layers,
            "weights": weights,
            "location": location,
        }
        failures = []

        def attempt(role: str, action: Callable[[Callable[..., Any], str], Any]) -> None:
            function_name = self.question[role]
            try:
                function = self._find(module, function_name, required=False)
                if function is not None:
                    with _located_at(_location(function, self.submission)):
                        reply[role] = action(function, function_name)
            except StudentError as error:
                failures.append([role, error.to_dict(self.phase)])

        optimizer: Any = None

        def optimize(function: Callable[..., Any], function_name: str) -> dict[str, Any]:
            nonlocal optimizer
            made = self._call(function, function_name, model=model)
            # Described before the scheduler exists, which changes the learning rates.
            description = describe_optimizer(made, function_name, described)
            optimizer = made
            return description

        def schedule(function: Callable[..., Any], function_name: str) -> dict[str, Any] | None:
            nonlocal optimizer
            if failures:  # of the optimiser: there is nothing to schedule
                return None
            if optimizer is None:
                optimizer = self._call(default_optimizer, "Adam", model=model)
            if optimizer is None:
                return None
            made = self._call(function, function_name, optimizer=optimizer)
            return None if made is None else describe_scheduler(made, function_name, optimizer)

        attempt("optimizer", optimize)
        attempt("scheduler", schedule)
        attempt("training", lambda function, name: self._to_plain(self._call(function, name), name))
        reply["failures"] = failures
        return reply

    def _enter(self, phase: str) -> None:
        """Begin a step and announce it, so that the grader can name it in a failure."""
        self.phase = phase
        write_frame(self.frames, PHASE, phase.encode()[:400])

    def _import_file(self) -> types.ModuleType:
        file = self.question["file"]
        if self.question["program"] or file.endswith(NOTEBOOK):
            program = self._program()
            program.run()
            return program.module
        self._enter(f"import of {file}")
        path = self.submission / file
        try:
            source = path.read_bytes()
        except FileNotFoundError:
            raise StudentError(
                "missing-file", f"{file} was not handed in.", f"Hand in a file named {file}."
            ) from None
        code = compile_source(source, str(path), file)
        self.notes += static_notes.find_shadows(self.submission)
        self.notes += static_notes.find_import_notes(source, file)
        # Appended last, so that a file named like an installed module shadows nothing.
        sys.path.append(str(self.submission))
        sys.argv = [str(path)]
        module = types.ModuleType(path.stem)
        module.__file__ = str(path)
        sys.modules[path.stem] = module
        try:
            exec(code, module.__dict__)  # noqa: S102 - what the sandbox is for
        except BaseException as error:  # noqa: BLE001 - student code raises anything
            raise explain_exception(error, self.submission, self.limits) from None
        return module

    def _program(self) -> Program:
        # Appended last, so that a file named like an installed module shadows nothing.
        sys.path.append(str(self.submission))
        return Program(
            submission=self.submission,
            file=self.question["file"],
            limits=self.limits,
            enter=self._enter,
        )

    def _find(
        self, module: types.ModuleType, name: str | None, *, required: bool
    ) -> Callable[..., Any] | None:
        """Return a function of the file, or None if an optional one is missing."""
        if name is None:
            return None
        found = module.__dict__.get(name)
        file = self.question["file"]
        if callable(found):
            return found  # type: ignore[no-any-return]
        self.phase = f"search for {name}()"
        if found is not None:
            raise StudentError(
                "wrong-type",
                f"{name} in {file} is a {type_name(type(found))}, not a function.",
                f"Write it as a function: def {name}(…): return …",
            )
        if not required:
            return None
        functions = [
            key
            for key, value in module.__dict__.items()
            if isinstance(key, str) and isinstance(value, types.FunctionType)
        ]
        close = difflib.get_close_matches(name, functions, n=1)
        hint = f" Did you mean {close[0]}()?{_look_alikes(close[0])}" if close else ""
        raise StudentError(
            "missing-function",
            f"{file} has no function {name}().{hint}",
            f"Define {name} at the top level of {file}, not inside another block.",
        )

    def _call(self, function: Callable[..., Any], name: str, **arguments: Any) -> Any:
        """Call the function with positional arguments and return its value."""
        call = f"{name}({', '.join(arguments)})"
        self._enter(f"call of {call}")
        location = _location(function, self.submission)
        try:
            inspect.signature(function).bind(*arguments.values())
        except TypeError as error:
            expected = f"with {len(arguments)} argument" if arguments else "without arguments"
            raise StudentError(
                "signature",
                f"{name} cannot be called {expected}: {safe_text(error)}.",
                f"Define it so that the call {call} works.",
                location=location,
            ) from None
        except BaseException:  # noqa: BLE001, S110 - some callables have no signature; the call shows
            pass
        try:
            return function(*arguments.values())
        except BaseException as error:  # noqa: BLE001 - student code raises anything
            raise explain_exception(error, self.submission, self.limits) from None

    def _to_plain(self, value: Any, name: str) -> Any:
        self._enter(f"description of the value of {name}()")
        if value is None:
            raise StudentError(
                "wrong-type",
                f"{name}() returned None: did you forget `return`?",
                "End the function with a return of the answer.",
            )
        return Converter(self.limits).convert(value)


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


def _location(function: object, submission: Path) -> str:
    """Return where a student's function is defined, or "" for any other callable."""
    code = getattr(function, "__code__", None)
    if not isinstance(code, types.CodeType):
        return ""
    shown = display_path(code.co_filename, submission)
    return locate(shown, code.co_firstlineno) if shown else ""
