"""Messages from the sandbox, decoded as hostile: sizes, types, ranges and names are all checked.

The sandbox can be in the hands of the student's code, so nothing here trusts a length, a name or
a count, and nothing is allocated in proportion to one before it was compared with its limit.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Any

import msgspec
import safetensors

from grader.errors import MessageError
from grader.models.kinds import IRREGULARITIES, LAYER_KINDS, OPTIMIZER_KINDS, SCHEDULER_KINDS, Kind
from grader.models.spec import (
    ArgumentValue,
    LayerSpec,
    ModelSpec,
    OptimizerSpec,
    ParameterGroup,
    SchedulerSpec,
    find_argument_mistakes,
    parameter_names,
)
from grader.questions import (
    ExtractedModel,
    Extraction,
    Failure,
    ImportNote,
    PlainMapping,
    PlainValue,
    Question,
)
from grader.sandbox.wire import (
    AnswerReply,
    EndMessage,
    FailureMessage,
    FailureReply,
    LayerMessage,
    MissingReply,
    ModelReply,
    OptimizerMessage,
    Reply,
    SchedulerMessage,
)
from grader.text import clean_block, clean_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from grader.assignment.records import Limits

MAXIMUM_FIELDS_DEPTH = 8
"""How deep a message nests around the student's own values."""
LEVELS_OF_A_DICT = 3
"""How deep one dict nests in JSON: an object, its list of pairs, and a pair."""
MAXIMUM_DIGITS = 1000
MAXIMUM_PAIRS = 1000
"""Of one dict. Keys can be chosen so that a lookup takes as long as there are keys."""

BEYOND_DIGITS = 10**MAXIMUM_DIGITS
HARMLESS_IRREGULARITIES = frozenset({None, "evaluation", "frozen"})
"""A layer with one of these is what its class and arguments say."""

_reply_decoder: msgspec.json.Decoder[Reply] = msgspec.json.Decoder(Reply)
_end_decoder = msgspec.json.Decoder(EndMessage)


def encode_command(question: Question, limits: Mapping[str, float]) -> bytes:
    """One question and its limits, as the worker reads them."""
    return msgspec.json.encode({"question": question, "limits": limits})


def decode_end(payload: bytes) -> EndMessage:
    """How a question's process ended.

    Raises:
        MessageError: the payload is no such message.
    """
    try:
        return _end_decoder.decode(payload)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise MessageError(f"the end of a question cannot be read: {error}") from error


def decode_reply(question: Question, payload: bytes, limits: Limits) -> Extraction:
    """What the sandbox answered, without what was printed.

    A model that PyTorch allows and the grader does not (a kernel of 5,000 x 5,000) becomes a
    failure in words for the student; what only a forger would send is refused.

    Raises:
        MessageError: the payload breaks the protocol.
    """
    if len(payload) > limits.message_bytes:
        raise MessageError(f"an answer of {len(payload):,} bytes")
    if _nesting(payload) > LEVELS_OF_A_DICT * limits.message_depth + MAXIMUM_FIELDS_DEPTH:
        raise MessageError("an answer that is nested too deeply")
    try:
        reply = _reply_decoder.decode(payload)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise MessageError(f"an answer that cannot be read: {error}") from error
    notes = tuple(
        ImportNote(
            kind=note.kind, location=clean_location(note.location), detail=clean_line(note.detail)
        )
        for note in reply.notes
    )
    match reply:
        case FailureReply():
            return Extraction(question=question, failure=_failure(reply.failure), notes=notes)
        case MissingReply() if question.optional:
            return Extraction(question=question, notes=notes)
        case AnswerReply() if question.kind == "answer":
            return Extraction(
                question=question,
                answered=True,
                value=_plain_value(reply.value, limits.message_depth),
                value_type=clean_line(reply.value_type),
                location=clean_location(reply.location),
                notes=notes,
            )
        case ModelReply() if question.kind == "model":
            return _model_extraction(question, reply, notes, limits)
    raise MessageError(f"an answer of another type than a {question.kind}")


def clean_location(text: str) -> str:
    """A location such as "problem_2.py:14", or empty for anything that does not look like one."""
    return clean_line(text) if re.fullmatch(r"[^\n:]{1,200}:[0-9]{1,7}", text) else ""


def _nesting(payload: bytes) -> int:
    """The deepest nesting of a JSON text, found without decoding it."""
    depth = deepest = 0
    # The last quote is optional, so that an unfinished string is passed over in one step.
    for token in re.finditer(rb'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', payload, re.DOTALL):
        if token[0] in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif token[0] in b"]}":
            depth -= 1
    return deepest


def _failure(message: FailureMessage) -> Failure:
    return Failure(
        kind=message.kind,
        phase=clean_line(message.phase),
        message=clean_line(message.message),
        next_step=clean_line(message.next_step),
        location=clean_location(message.location),
        traceback=clean_block(message.traceback),
    )


def _plain_value(value: Any, levels: int) -> PlainValue:
    """The value that `grader.sandbox.worker.plain_values` encoded.

    Args:
        value: as it was decoded from JSON.
        levels: how deep lists and dicts may still nest.
    """
    if isinstance(value, int) and abs(value) >= BEYOND_DIGITS:
        raise MessageError(f"an integer of more than {MAXIMUM_DIGITS} digits")
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return clean_block(value)
    if levels == 0 and (isinstance(value, list) or "pairs" in value):
        raise MessageError("a value that is nested too deeply")
    if isinstance(value, list):
        return tuple(_plain_value(item, levels - 1) for item in value)
    match value:
        case {"float": "nan" | "inf" | "-inf" as name, **others} if not others:
            return float(name)
        case {"integer": str(digits), **others} if not others:
            if re.fullmatch(rf"-?[1-9][0-9]{{0,{MAXIMUM_DIGITS - 1}}}", digits):
                return int(digits)
        case {"pairs": list(pairs), **others} if not others:
            if len(pairs) > MAXIMUM_PAIRS:
                raise MessageError(f"a dict of {len(pairs):,} entries")
            if all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
                return PlainMapping(
                    pairs=tuple(
                        (_plain_value(key, levels - 1), _plain_value(item, levels - 1))
                        for key, item in pairs
                    )
                )
    raise MessageError("a value of an unknown form")


def _model_extraction(
    question: Question, reply: ModelReply, notes: tuple[ImportNote, ...], limits: Limits
) -> Extraction:
    if len(reply.layers) > limits.layers:
        raise MessageError(f"a model of {len(reply.layers):,} layers")
    location = clean_location(reply.location)
    layers = tuple(_layer(message) for message in reply.layers)
    mistakes = [
        f"Layer {layer.path}: {mistake}."
        for layer in layers
        if layer.arguments
        for mistake in find_argument_mistakes(LAYER_KINDS[layer.kind], layer.arguments)
    ]
    if mistakes:
        phase = f"description of the model of {question.function}()"
        failure = _wrong_value(phase, mistakes[0])
        return Extraction(question=question, location=location, failure=failure, notes=notes)
    model = ModelSpec(layers=layers, weights=_weights(reply.weights, question))
    is_regular = all(layer.irregularity in HARMLESS_IRREGULARITIES for layer in layers)
    if is_regular and model.count_parameters() > limits.parameters:
        raise MessageError(f"a model of more than {limits.parameters:,} parameters")
    failures = {role: _failure(failure) for role, failure in reply.failures}
    optimizer = _optimizer(reply.optimizer, model if is_regular else None)
    scheduler = _scheduler(reply.scheduler)
    if optimizer is not None:
        for group in optimizer.groups:
            mistakes += find_argument_mistakes(OPTIMIZER_KINDS[optimizer.kind], group.settings)
        if mistakes:
            phase = f"description of the optimiser of {question.optimizer}(model)"
            failures.setdefault("optimizer", _wrong_value(phase, f"{mistakes[0]}."))
            optimizer = None
    if scheduler is not None:
        kind = SCHEDULER_KINDS[scheduler.kind]
        if mistakes := find_argument_mistakes(kind, scheduler.arguments):
            phase = f"description of the scheduler of {question.scheduler}(optimizer)"
            failures.setdefault("scheduler", _wrong_value(phase, f"{mistakes[0]}."))
            scheduler = None
    return Extraction(
        question=question,
        location=location,
        notes=notes,
        model=ExtractedModel(
            model=model,
            location=location,
            optimizer=optimizer,
            scheduler=scheduler,
            training=_plain_value(reply.training, limits.message_depth),
            failures=tuple(failures.items()),
        ),
    )


def _layer(message: LayerMessage) -> LayerSpec:
    known = message.kind in LAYER_KINDS
    if message.irregularity is not None and message.irregularity not in IRREGULARITIES:
        raise MessageError(f"the unknown irregularity {message.irregularity!r}")
    if not known and message.irregularity in HARMLESS_IRREGULARITIES:
        raise MessageError(f"an ordinary layer of the unknown kind {message.kind!r}")
    if not known and message.arguments:
        raise MessageError("a layer of an unknown kind with arguments")
    if known and not message.arguments and LAYER_KINDS[message.kind].arguments:
        raise MessageError(f"a {message.kind} without arguments")
    return LayerSpec(
        kind=clean_line(message.kind),
        path=clean_line(message.path),
        arguments=_arguments(message.arguments),
        irregularity=message.irregularity,
        irregularity_detail=clean_line(message.detail),
    )


def _arguments(message: Mapping[str, Any]) -> dict[str, ArgumentValue]:
    return {name: _argument(value) for name, value in message.items()}


def _argument(value: Any) -> ArgumentValue:
    if isinstance(value, str):
        return clean_line(value)[:100]
    plain = _plain_value(value, 1)
    if isinstance(plain, tuple):
        if not all(isinstance(item, (int, float)) for item in plain):
            raise MessageError("an argument that is a list of something else than numbers")
        return tuple(item for item in plain if isinstance(item, (int, float)))
    if plain is None or isinstance(plain, (bool, int, float)):
        return plain
    raise MessageError("an argument of an unknown form")


def _known_kind(kinds: Mapping[str, Kind], name: str) -> str:
    if name not in kinds:
        raise MessageError(f"the unknown class {name!r}")
    return name


def _optimizer(message: OptimizerMessage | None, model: ModelSpec | None) -> OptimizerSpec | None:
    """The optimiser; its parameters must be those of `model`, each exactly once.

    Args:
        message: what was sent.
        model: None if it has irregular layers: then its parameters' names are not known.
    """
    if message is None:
        return None
    names = [name for group in message.groups for name in group.parameters]
    if len(set(names)) != len(names):
        raise MessageError("an optimiser that holds a parameter twice")
    if model is not None and set(names) != set(parameter_names(model)):
        raise MessageError("an optimiser over other parameters than the model's")
    if not all(re.fullmatch(r"[0-9]{1,6}\.[\w.]+", name) for name in names):
        raise MessageError("an optimiser over parameters of impossible names")
    return OptimizerSpec(
        kind=_known_kind(OPTIMIZER_KINDS, message.kind),
        groups=tuple(
            ParameterGroup(parameters=tuple(group.parameters), settings=_arguments(group.settings))
            for group in message.groups
        ),
    )


def _scheduler(message: SchedulerMessage | None) -> SchedulerSpec | None:
    if message is None:
        return None
    return SchedulerSpec(
        kind=_known_kind(SCHEDULER_KINDS, message.kind), arguments=_arguments(message.arguments)
    )


def _weights(encoded: str | None, question: Question) -> bytes | None:
    """The safetensors file, if one was asked for and is well-formed.

    Names and shapes are compared with the model's where it is built.
    """
    if (encoded is not None) != question.weights:
        raise MessageError("weights that were not asked for, or none where they were")
    if encoded is None:
        return None
    try:
        weights = base64.b64decode(encoded, validate=True)
        safetensors.deserialize(weights)  # type: ignore[no-untyped-call]
    except (binascii.Error, ValueError, safetensors.SafetensorError) as error:
        raise MessageError(f"weights that cannot be read: {error}") from error
    return weights


def _wrong_value(phase: str, message: str) -> Failure:
    return Failure(
        kind="wrong-value", phase=phase, message=message, next_step="Use a value in that range."
    )
