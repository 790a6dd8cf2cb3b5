"""`student`: a stand-in for the student's file, whose calls are answered in the sandbox."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from grader.models.failures import Failure
from grader.sandbox.conversation import ConversationEndedError
from grader.sandbox.protocol import MAXIMUM_CALL_BYTES
from grader.sandbox.values import Decoder, Encoder, MalformedError, UnsendableError
from grader.testing.errors import StudentError, UnansweredError, UnusableArgumentError


class Conversation(Protocol):
    """The part of `grader.sandbox.conversation.Conversation` that calls need."""

    def call(self, message: bytes, *, seconds: float) -> bytes:
        """Send one call and return its result."""

    def refuse(self, error: MalformedError) -> ConversationEndedError:
        """Return the error for a result that is not accepted, and end the process."""

    def find_failure(self, fields: dict[str, Any]) -> Failure | None:
        """Return the failure in a result's fields, or None."""


@dataclass(kw_only=True)
class Call:
    """One call of a test, to show it as code.

    Attributes:
        owner: the object whose method or attribute it is, or None for a function of the file.
        name: "softmax" or "fit".
        reads: True if an attribute is read, and nothing is called.
        answered: `value` is the answer.
        value: an object of the student's is a `Remote`.
        raised: "ValueError: …", or empty.
        failure: the reason for a missing answer.
        location: where the function is defined: "layers.py:14".
    """

    owner: Remote | None
    name: str
    reads: bool = False
    arguments: tuple[Any, ...] = ()
    keywords: dict[str, Any] = field(default_factory=dict)
    answered: bool = False
    value: Any = None
    raised: str = ""
    failure: Failure | None = None
    location: str = ""


@dataclass(frozen=True, kw_only=True)
class Returned:
    """The answer of `student.call`.

    Attributes:
        value: as the call itself returns it.
        arguments, keywords: the arguments as they are after the call.
    """

    value: Any
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]


@dataclass(kw_only=True, eq=False)
class Line:
    """The way of one test's calls into the sandbox.

    Attributes:
        open: opens the conversation; called before the first call only.
        deadline: of the whole test, on the clock of `time.monotonic`.
        test_seconds: named when the deadline has passed.
        calls: so far, since the log was last cleared.
        total_calls: of the whole test.
        opening_seconds: the time that `open` took.
    """

    open: Callable[[], Conversation]
    deadline: float
    test_seconds: float
    calls: list[Call] = field(default_factory=list)
    total_calls: int = 0
    opening_seconds: float = 0.0
    _conversation: Conversation | None = None
    _objects: weakref.WeakValueDictionary[int, Remote] = field(
        default_factory=weakref.WeakValueDictionary
    )
    _released: set[int] = field(default_factory=set)

    def ask(
        self,
        path: list[Any],
        call: Call,
        *,
        changed: bool = False,
    ) -> Returned | None:
        """Carry out one call; None for an attribute that is a method.

        Raises:
            StudentError: the student's code raised.
            UnansweredError: there is no answer.
            StopIteration: the student's iterator is at its end.
            UnusableArgumentError: an argument cannot be sent.
        """
        self.total_calls += 1
        self.calls.append(call)
        message = self._write(path, call, changed=changed)
        try:
            if self._conversation is None:
                started = time.monotonic()
                self._conversation = self.open()
                # Starting a worker and importing the file have limits of their own.
                self.opening_seconds = time.monotonic() - started
                self.deadline += self.opening_seconds
            result = self._conversation.call(message, seconds=self._remaining_seconds())
            decoder = Decoder(result, self._resolve)
            failure = self._conversation.find_failure(decoder.fields)
            if failure is None:
                return self._read(decoder, call)
        except MalformedError as error:
            if self._conversation is None:
                raise
            call.failure = self._conversation.refuse(error).failure
            raise UnansweredError(call.failure) from None
        except ConversationEndedError as error:
            call.failure = error.failure
            raise UnansweredError(error.failure) from None
        call.failure, call.location = failure, failure.location
        raised = decoder.fields.get("raised")
        if (
            failure.kind not in {"exception", "unanswered"}
            or not isinstance(raised, str)
            or not raised
        ):
            raise UnansweredError(failure)
        call.raised = raised
        if raised.partition(":")[0] == "NotImplementedError":
            raise UnansweredError(failure)
        raise StudentError(raised, failure)

    def _remaining_seconds(self) -> float:
        remaining = self.deadline - time.monotonic()
        if remaining <= 0:
            raise UnansweredError(explain_slow_test(self.test_seconds))
        return remaining

    def _write(self, path: list[Any], call: Call, *, changed: bool) -> bytes:
        encoder = Encoder(MAXIMUM_CALL_BYTES, _refer)
        released = sorted(self._released)
        self._released.clear()
        try:
            arguments = [encoder.encode(value) for value in call.arguments]
            keywords = {name: encoder.encode(value) for name, value in call.keywords.items()}
            return encoder.message(
                {
                    "call": path,
                    "arguments": arguments,
                    "keywords": keywords,
                    "changed": changed,
                    "released": released,
                }
            )
        except UnsendableError as error:
            raise UnusableArgumentError(f"an argument of {call.name}() {error}") from None

    def _read(self, decoder: Decoder, call: Call) -> Returned | None:
        fields = decoder.fields
        if "callable" in fields:
            return None
        if "stop" in fields:
            raise StopIteration
        if "value" not in fields:
            raise MalformedError("a result without a value")
        location = fields.get("location")
        call.location = location[:200] if isinstance(location, str) else ""
        call.value = decoder.decode(fields["value"])
        call.answered = True
        arguments, keywords = fields.get("arguments", []), fields.get("keywords", {"dict": []})
        changed, named = decoder.decode(arguments), decoder.decode(keywords)
        if not isinstance(changed, list) or not isinstance(named, dict):
            raise MalformedError("arguments of another form")
        return Returned(value=call.value, arguments=tuple(changed), keywords=named)

    def _resolve(self, form: dict[str, Any]) -> Any:
        match form:
            case {"object": [int(number), str(name)]} if number >= 0:
                self._released.discard(number)
                known = self._objects.get(number)
                if known is None:
                    known = self._objects[number] = Remote(self, number, name[:100])
                    weakref.finalize(known, self._released.add, number).atexit = False
                return known
        raise MalformedError("an object of an unknown form")


def explain_slow_test(seconds: float) -> Failure:
    """Explain that a whole test took too long."""
    return Failure(
        kind="limit",
        phase="test",
        message=f"The test was not finished within {seconds:g} s.",
        next_step="Look for a loop that takes very long, or for work that is done again and again.",
    )


class Student:
    """The student's file.

    Each function of the file is an attribute: `student.softmax(x)`. A function, class or object of
    the student's may be an argument, too.
    """

    def __init__(self, line: Line) -> None:
        self._line = line

    def __getattr__(self, name: str) -> Function:
        if name.startswith("_"):  # hypothesis and pytest look for such names, to print values
            raise AttributeError(name)
        return Function(self._line, ["function", name])

    def call(self, function: str | Function, /, *arguments: Any, **keywords: Any) -> Returned:
        """Call a function, and return its answer with the arguments as they are after the call."""
        if isinstance(function, str):
            function = Function(self._line, ["function", function])
        return function.call(arguments, keywords, changed=True)

    def __repr__(self) -> str:
        return "student"


class Function:
    """A function of the student's, or a method of one of the student's objects."""

    def __init__(self, line: Line, path: list[Any], owner: Remote | None = None) -> None:
        self._line = line
        self._owner = owner
        self.path = path

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """Return the answer from the sandbox."""
        return self.call(arguments, keywords).value

    def call(
        self, arguments: tuple[Any, ...], keywords: dict[str, Any], *, changed: bool = False
    ) -> Returned:
        """Call the function; see `Line.ask`."""
        call = Call(owner=self._owner, name=self.path[-1], arguments=arguments, keywords=keywords)
        returned = self._line.ask(self.path, call, changed=changed)
        if returned is None:
            raise UnansweredError(_explain_odd_result())
        return returned

    def __repr__(self) -> str:
        return str(self.path[-1])


class Remote:
    """An object that stays in the sandbox, such as an instance of a class of the student's.

    Its methods are called and its attributes are read there. Two of them are equal if they stand
    for the same object.
    """

    def __init__(self, line: Line, number: int, kind: str) -> None:
        object.__setattr__(self, "_Remote__line", line)
        object.__setattr__(self, "_Remote__number", number)
        object.__setattr__(self, "_Remote__kind", kind)
        object.__setattr__(self, "_Remote__methods", {})

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") and name.endswith("_"):
            raise AttributeError(name)
        method = self.__methods.get(name)
        if method is not None:
            return method
        call = Call(owner=self, name=name, reads=True)
        returned = self.__line.ask(["attribute", self.__number, name], call)
        if returned is not None:
            return returned.value
        self.__line.calls.remove(call)
        method = self.__methods[name] = self.__method(name)
        return method

    def __setattr__(self, name: str, value: Any) -> None:
        self.__method("__setattr__")(name, value)

    def __method(self, name: str) -> Function:
        return Function(self.__line, ["method", self.__number, name], self)

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """Return the answer from the sandbox."""
        return self.__method("__call__")(*arguments, **keywords)

    def __len__(self) -> int:
        try:
            return int(self.__method("__len__")())
        except StudentError as error:
            if error.type != "AttributeError":
                raise
            # `list` asks even iterators for their length, and goes on after a TypeError.
            self.__line.calls.pop()
            raise TypeError(f"{kind_of(self)} has no length") from None

    def __getitem__(self, key: Any) -> Any:
        return self.__method("__getitem__")(key)

    def __iter__(self) -> Iterator[Any]:
        iterator = self.__method("__iter__")()
        if isinstance(iterator, Remote):
            advance = iterator.__method("__next__")  # noqa: SLF001 - of this class
            while True:
                try:
                    yield advance()
                except StopIteration:
                    return

    def __bool__(self) -> bool:
        return True

    def __array__(self, *_arguments: Any, **_keywords: Any) -> Any:
        raise TypeError(f"{kind_of(self)} is not an array")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Remote) and (self.__line, self.__number) == (
            other.__line,
            other.__number,
        )

    def __hash__(self) -> int:
        return hash(self.__number)

    def __repr__(self) -> str:
        return f"<{kind_of(self)} of the student's>"


def number_of(remote: Remote) -> int:
    """Return the number by which the sandbox knows an object."""
    return int(vars(remote)["_Remote__number"])


def class_of(remote: Remote) -> str:
    """Return the name of an object's class, which the student chose."""
    return str(vars(remote)["_Remote__kind"])


def kind_of(value: Any) -> str:
    """Return the class of a value with its article: "a list", "a Perceptron"."""
    name = class_of(value) if isinstance(value, Remote) else type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def _refer(value: Any) -> dict[str, Any]:
    if isinstance(value, Remote):
        return {"object": [number_of(value), ""]}
    if isinstance(value, Function) and value.path[0] == "function":
        return {"function": value.path[1]}
    raise UnsendableError(
        "wrong-type", f"is or holds a {type(value).__name__}, which cannot be sent to the sandbox"
    )


def _explain_odd_result() -> Failure:
    return Failure(
        kind="protocol",
        phase="call",
        message="The grader received a result of another call, and does not accept it.",
        next_step="Return the answer from the function; write to no file descriptor yourself.",
    )
