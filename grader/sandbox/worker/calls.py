"""Hold a conversation in a process of its own: import the file, then answer calls.

A call is a message of `grader.sandbox.values` with the fields

    call: ["function", name], ["method", number, name] or ["attribute", number, name]
    arguments, keywords: the values
    changed: True if the arguments are asked back, as they are after the call
    released: the numbers of objects that the grader no longer needs

The result has "value", with "arguments" and "keywords" if they were asked back, or instead
"callable" (the attribute is a method), "stop" (StopIteration) or "failure".
"""

from __future__ import annotations

import faulthandler
import inspect
import os
import random
import types
from contextlib import suppress
from pathlib import Path
from typing import Any

from grader.sandbox.protocol import (
    CALL,
    MAXIMUM_CALL_BYTES,
    RESULT,
    FrameReader,
    WorkerLimits,
    write_frame,
)
from grader.sandbox.values import Decoder, Encoder, MalformedError, UnsendableError
from grader.sandbox.worker.answer import (
    TRACE_AT,
    Session,
    answer_question,
    flush_output,
)
from grader.sandbox.worker.failures import StudentError, explain_exception, safe_text, type_name

READ_BYTES = 65536


def respond(
    *,
    question: dict[str, Any],
    limits: WorkerLimits,
    submission: Path,
    scratch: Path,
    frames: int,
    trace: int,
    calls: int | None,
) -> None:
    """Answer one question, or the calls that come from the descriptor `calls`."""
    if calls is None:
        answer_question(
            question=question,
            limits=limits,
            submission=submission,
            scratch=scratch,
            frames=frames,
            trace=trace,
        )
        return
    random.seed(0)  # every fork reseeds it
    # A file that was found in a subfolder is run from there.
    os.chdir((scratch / question["file"]).parent)
    session = Session(question=question, limits=limits, submission=submission, frames=frames)
    reader = FrameReader({CALL: MAXIMUM_CALL_BYTES})
    objects: _Objects | None = None
    # Optional: if no thread can start, a timeout has no line number.
    with suppress(RuntimeError):
        faulthandler.dump_traceback_later(limits.question_seconds * TRACE_AT, file=trace)
    try:
        objects = _Objects(session, session.import_file(watch_weights=False))
        result = Encoder(limits.message_bytes, objects.refer).message({"value": None})
    except BaseException as error:  # noqa: BLE001 - student code raises anything
        result = _failure(error, session)
    write_frame(frames, RESULT, result)
    while data := os.read(calls, READ_BYTES):
        for frame in reader.feed(data):
            if objects is None:  # the import failed
                continue
            with suppress(RuntimeError):
                faulthandler.dump_traceback_later(limits.call_seconds * TRACE_AT, file=trace)
            try:
                result = objects.answer(frame.payload)
            except BaseException as error:  # noqa: BLE001 - student code raises anything
                result = _failure(error, session)
            faulthandler.cancel_dump_traceback_later()
            flush_output()
            write_frame(frames, RESULT, result)


def _failure(error: BaseException, session: Session) -> bytes:
    """Return the result that explains an exception."""
    raised = ""
    if not isinstance(error, StudentError):
        raised = f"{type_name(type(error))}: {safe_text(error)}".removesuffix(": ")
        error = explain_exception(error, session.submission, session.limits)
    failure = error.to_dict(session.phase)
    encoder = Encoder(session.limits.message_bytes, lambda _: {})
    return encoder.message({"failure": failure, "raised": raised})


class _Objects:
    """The student's objects that the grader knows by their numbers."""

    def __init__(self, session: Session, module: types.ModuleType) -> None:
        self._session = session
        self._module = module
        self._objects: dict[int, Any] = {}
        self._numbers: dict[int, int] = {}  # by id()
        self._count = 0

    def refer(self, value: Any) -> dict[str, Any]:
        """Return the form of an object that stays here."""
        number = self._numbers.get(id(value))
        if number is None:
            self._count += 1
            number = self._numbers[id(value)] = self._count
            self._objects[number] = value  # keeps it alive, so that its id stays its own
        return {"object": [number, type_name(type(value))]}

    def answer(self, message: bytes) -> bytes:
        """Carry out one call and return its result."""
        decoder = Decoder(message, self._resolve)
        call = decoder.fields
        for number in call["released"]:
            self._numbers.pop(id(self._objects.pop(number, None)), None)
        arguments = [decoder.decode(form) for form in call["arguments"]]
        keywords = {name: decoder.decode(form) for name, form in call["keywords"].items()}
        kind, *path = call["call"]
        if kind == "attribute":
            number, name = path
            value = getattr(self._objects[number], name)
            if callable(value):
                return self._write({"callable": True})
            return self._write({}, value=value)
        if kind == "function":
            function = self._find(path[0])
        else:
            number, name = path
            function = getattr(self._objects[number], name)
        location = str(self._session.line_of(function, path[-1]) or "")
        self._session.phase = f"call of {path[-1]}()"
        try:
            value = function(*arguments, **keywords)
        except StopIteration:
            if path[-1] != "__next__":
                raise
            return self._write({"stop": True})
        except TypeError:
            _check_signature(function, path[-1], arguments, keywords, location)
            raise
        try:
            if call["changed"]:
                return self._write(
                    {"location": location}, value=value, arguments=arguments, keywords=keywords
                )
            return self._write({"location": location}, value=value)
        except UnsendableError as error:
            raise StudentError(
                error.kind,
                f"The answer of {path[-1]}() {error}.",
                "Return numbers, strings, lists, tuples, dicts, NumPy arrays or tensors.",
                location=location,
            ) from None

    def _write(self, fields: dict[str, Any], **values: Any) -> bytes:
        encoder = Encoder(self._session.limits.message_bytes, self.refer)
        return encoder.message(
            fields | {name: encoder.encode(value) for name, value in values.items()}
        )

    def _find(self, name: str) -> Any:
        found = self._session.find(self._module, name, required=True)
        if callable(found):
            return found
        file = self._session.question["file"]
        raise StudentError(
            "wrong-type",
            f"{name} in {file} is a {type_name(type(found))}, not a function.",
            f"Write it as a function: def {name}(…): return …",
        )

    def _resolve(self, form: dict[str, Any]) -> Any:
        match form:
            case {"object": [int(number), _]} if number in self._objects:
                return self._objects[number]
            case {"function": str(name)}:
                return self._find(name)
        raise MalformedError("an object that is not here")


def _check_signature(
    function: Any, name: str, arguments: list[Any], keywords: dict[str, Any], location: str
) -> None:
    """Raise `StudentError` if a function does not take these arguments."""
    try:
        inspect.signature(function).bind(*arguments, **keywords)
    except TypeError as error:
        count = len(arguments) + len(keywords)
        described = f"{count} argument{'' if count == 1 else 's'}" if count else "no argument"
        raise StudentError(
            "signature",
            f"{name} cannot be called with {described}: {safe_text(error)}.",
            f"Define it with the parameters that the task asks for: {name}(…).",
            location=location,
        ) from None
    except BaseException:  # noqa: BLE001, S110 - some callables have no signature
        pass
