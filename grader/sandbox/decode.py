"""Decode messages from the sandbox as hostile: sizes, types, ranges and names are all checked.

The student's code may control the sandbox. So no length, name or count is trusted, and nothing is
allocated in proportion to one before it was compared with its limit.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

import msgspec
import safetensors

from grader.assignment.records import Limits
from grader.errors import MessageError
from grader.models.failures import Failure
from grader.models.kinds import IRREGULARITIES, LAYER_KINDS, OPTIMIZER_KINDS, SCHEDULER_KINDS, Kind
from grader.models.questions import (
    ExtractedModel,
    Extraction,
    PlainMapping,
    PlainValue,
    Question,
)
from grader.models.recording import RecordedTraining, Recording
from grader.models.spec import (
    Arguments,
    LayerSpec,
    ModelSpec,
    OptimizerSpec,
    Record,
    SchedulerSpec,
    find_argument_mistakes,
    parameter_names,
)
from grader.sandbox.protocol import MAXIMUM_DIGITS, MAXIMUM_PAIRS, WorkerLimits
from grader.sandbox.wire import (
    AnswerReply,
    EndMessage,
    FailureReply,
    MissingReply,
    ModelReply,
    RecordingReply,
    Reply,
)
from grader.text import clean_block, clean_line

MAXIMUM_FIELDS_DEPTH = 8
"""Nesting of a message around the student's own values."""
LEVELS_OF_A_DICT = 3
"""Nesting of one dict in JSON: an object, its list of pairs, and a pair."""
MAXIMUM_ARGUMENT_CHARACTERS = 100
HARMLESS_IRREGULARITIES = frozenset({None, "evaluation", "frozen"})
"""A layer with one of these computes what its class and arguments say."""

_reply_decoder: msgspec.json.Decoder[Reply] = msgspec.json.Decoder(Reply)
_end_decoder = msgspec.json.Decoder(EndMessage)

AnyRecord = TypeVar("AnyRecord", bound=Record)


def encode_command(question: Question, limits: WorkerLimits) -> bytes:
    """Return one question and its limits as JSON."""
    return msgspec.json.encode({"question": question, "limits": limits})


def decode_end(payload: bytes) -> EndMessage:
    """Return the end of a question's process.

    Raises:
        MessageError: the payload is not such a message.
    """
    try:
        return _clean(_end_decoder.decode(payload))
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise MessageError(f"the end of a question cannot be read: {error}") from error


def decode_failure(fields: Any) -> Failure:
    """Return the failure of one call.

    Raises:
        MessageError: the fields are not those of a failure.
    """
    try:
        return _clean(msgspec.convert(fields, Failure))
    except (msgspec.MsgspecError, RecursionError) as error:
        raise MessageError(f"a failure that cannot be read: {error}") from error


def decode_reply(question: Question, payload: bytes, limits: Limits) -> Extraction:
    """Return the sandbox's answer, without the printed output.

    A model that PyTorch allows and the grader does not (a kernel of 5,000 x 5,000) becomes a
    failure in words for the student. A message that only a forger would send is refused.

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
    notes = tuple(_clean(note) for note in reply.notes)
    match reply:
        case FailureReply():
            return Extraction(question=question, failure=_clean(reply.failure), notes=notes)
        case MissingReply() if question.optional:
            return Extraction(question=question, notes=notes)
        case AnswerReply() if question.kind == "answer":
            return Extraction(
                question=question,
                answered=True,
                value=_plain_value(reply.value, limits.message_depth),
                location=clean_location(reply.location),
                notes=notes,
            )
        case ModelReply() if question.kind == "model":
            return replace(_model_extraction(question, reply, limits), notes=notes)
        case RecordingReply() if question.kind == "recording":
            recording = _recording(reply.recording, limits)
            return Extraction(question=question, recording=recording, notes=notes)
    raise MessageError(f"an answer of another type than a {question.kind}")


def clean_location(text: str) -> str:
    """Return a location such as "problem_2.py:14", or "" for any other text.

    In a notebook it is "problem_2.ipynb, cell 7, line 3".
    """
    is_location = re.fullmatch(r"[^\n:]{1,200}(:|, line )[0-9]{1,7}", text)
    return clean_line(text) if is_location else ""


def _clean(record: AnyRecord) -> AnyRecord:
    """Return the record with all its texts harmless to show."""
    cleaned = {name: _clean_field(name, getattr(record, name)) for name in record.__struct_fields__}
    return msgspec.structs.replace(record, **cleaned)


def _clean_field(name: str, value: Any) -> Any:
    if isinstance(value, str):
        cleaners = {"location": clean_location, "traceback": clean_block}
        return cleaners.get(name, clean_line)(value)
    if isinstance(value, dict):
        return {
            key: clean_line(item)[:MAXIMUM_ARGUMENT_CHARACTERS] if isinstance(item, str) else item
            for key, item in value.items()
        }
    if isinstance(value, tuple):
        return tuple(_clean_field(name, item) for item in value)
    return _clean(value) if isinstance(value, Record) else value


def _nesting(payload: bytes) -> int:
    """Return the deepest nesting of a JSON text, without decoding it."""
    depth = deepest = 0
    # The last quote is optional, so that an unfinished string is passed over in one step.
    for token in re.finditer(rb'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', payload, re.DOTALL):
        if token[0] in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif token[0] in b"]}":
            depth -= 1
    return deepest


def _plain_value(value: Any, levels: int) -> PlainValue:
    """Return a value of `worker.plain_values`, whose lists and dicts nest at most `levels` deep."""
    if isinstance(value, int) and abs(value) >= 10**MAXIMUM_DIGITS:
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


def _model_extraction(question: Question, reply: ModelReply, limits: Limits) -> Extraction:
    """Return the model, or the failure in words if an argument is out of range."""
    location = clean_location(reply.location)
    layers, mistake = _checked_layers(reply.layers, limits)
    if mistake:
        failure = _wrong_value(f"model of {question.function}()", mistake)
        return Extraction(question=question, location=location, failure=failure)
    weights = _weights(reply.weights, question)
    is_regular = all(layer.irregularity in HARMLESS_IRREGULARITIES for layer in layers)
    failures = {role: _clean(failure) for role, failure in reply.failures}
    optimizer, mistake = _checked_optimizer(reply.optimizer, layers if is_regular else None)
    if mistake:
        described = f"optimiser of {question.optimizer}(model)"
        failures.setdefault("optimizer", _wrong_value(described, mistake))
    scheduler, mistake = _checked_scheduler(reply.scheduler)
    if mistake:
        described = f"scheduler of {question.scheduler}(optimizer)"
        failures.setdefault("scheduler", _wrong_value(described, mistake))
    place = reply.own_initialisation
    return Extraction(
        question=question,
        location=location,
        model=ExtractedModel(
            model=ModelSpec(layers=layers, weights=weights),
            location=location,
            optimizer=optimizer,
            scheduler=scheduler,
            training=_plain_value(reply.training, limits.message_depth),
            failures=tuple(failures.items()),
            class_name=clean_line(reply.class_name),
            own_initialisation=None if place is None else _clean(place),
        ),
    )


def _recording(recording: Recording, limits: Limits) -> Recording:
    """Return the recording, each training with its model or with a failure in words."""
    trainings = tuple(_recorded_training(each, limits) for each in recording.trainings)
    return msgspec.structs.replace(
        _clean(msgspec.structs.replace(recording, trainings=())), trainings=trainings
    )


def _recorded_training(training: RecordedTraining, limits: Limits) -> RecordedTraining:
    """Return a training whose model, optimiser and scheduler can be rebuilt or are failures."""
    if not all(math.isfinite(value) for value in (*training.mean, *training.std)):
        raise MessageError("a normalisation that is not finite")
    if bool(training.layers) == (training.failure is not None):
        raise MessageError("a training with both a model and a failure, or neither")
    layers, mistake = _checked_layers(training.layers, limits)
    if mistake:
        layers, failure = (), _wrong_value(f"model at {training.place}", mistake)
        training = msgspec.structs.replace(training, failure=failure)
    is_regular = bool(layers) and all(
        layer.irregularity in HARMLESS_IRREGULARITIES for layer in layers
    )
    failures = dict(training.failures)
    optimizer, mistake = _checked_optimizer(training.optimizer, layers if is_regular else None)
    if mistake:
        failure = _wrong_value(f"optimiser at {training.place}", mistake)
        failures.setdefault("optimizer", failure)
    scheduler, mistake = _checked_scheduler(training.scheduler)
    if mistake:
        failure = _wrong_value(f"scheduler at {training.place}", mistake)
        failures.setdefault("scheduler", failure)
    return _clean(
        msgspec.structs.replace(
            training,
            layers=layers,
            optimizer=optimizer,
            scheduler=scheduler,
            failures=tuple(failures.items()),
        )
    )


def _checked_layers(
    received: tuple[LayerSpec, ...], limits: Limits
) -> tuple[tuple[LayerSpec, ...], str]:
    """Return the layers, and the first argument that is out of range in words, or ""."""
    if len(received) > limits.layers:
        raise MessageError(f"a model of {len(received):,} layers")
    for layer in received:
        _check_layer(layer)
    layers = tuple(_clean(layer) for layer in received)
    for layer in layers:
        if layer.arguments:
            for mistake in find_argument_mistakes(LAYER_KINDS[layer.kind], layer.arguments):
                return layers, f"Layer {layer.path}: {mistake}."
    is_regular = all(layer.irregularity in HARMLESS_IRREGULARITIES for layer in layers)
    if is_regular and ModelSpec(layers=layers).count_parameters() > limits.parameters:
        raise MessageError(f"a model of more than {limits.parameters:,} parameters")
    return layers, ""


def _checked_optimizer(
    received: OptimizerSpec | None, layers: tuple[LayerSpec, ...] | None
) -> tuple[OptimizerSpec | None, str]:
    """Return the optimiser if it can be rebuilt, and a mistake in words, or "".

    `layers` is None if one is irregular: then the names of the parameters are not known.
    """
    if received is None:
        return None, ""
    _check_parameters(received, None if layers is None else ModelSpec(layers=layers))
    optimizer = _clean(received)
    settings = [group.settings for group in optimizer.groups]
    mistake = _first_mistake(OPTIMIZER_KINDS, optimizer.kind, *settings)
    return (None, mistake) if mistake else (optimizer, "")


def _checked_scheduler(received: SchedulerSpec | None) -> tuple[SchedulerSpec | None, str]:
    """Return the scheduler if it can be rebuilt, and a mistake in words, or ""."""
    if received is None:
        return None, ""
    scheduler = _clean(received)
    mistake = _first_mistake(SCHEDULER_KINDS, scheduler.kind, scheduler.arguments)
    return (None, mistake) if mistake else (scheduler, "")


def _check_layer(layer: LayerSpec) -> None:
    """Refuse a description that no honest worker sends."""
    known = layer.kind in LAYER_KINDS
    if layer.irregularity is not None and layer.irregularity not in IRREGULARITIES:
        raise MessageError(f"the unknown irregularity {layer.irregularity!r}")
    if not known and layer.irregularity in HARMLESS_IRREGULARITIES:
        raise MessageError(f"an ordinary layer of the unknown kind {layer.kind!r}")
    if not known and layer.arguments:
        raise MessageError("a layer of an unknown kind with arguments")
    if known and not layer.arguments and LAYER_KINDS[layer.kind].arguments:
        raise MessageError(f"a {layer.kind} without arguments")


def _check_parameters(optimizer: OptimizerSpec, model: ModelSpec | None) -> None:
    """Refuse an optimiser over other parameters than the model's, each exactly once.

    The model is None if a layer is irregular: then its parameters' names are not known.
    """
    names = [name for group in optimizer.groups for name in group.parameters]
    if len(set(names)) != len(names):
        raise MessageError("an optimiser that holds a parameter twice")
    if model is not None and set(names) != set(parameter_names(model)):
        raise MessageError("an optimiser over other parameters than the model's")
    if not all(re.fullmatch(r"[0-9]{1,6}\.[\w.]+", name) for name in names):
        raise MessageError("an optimiser over parameters of impossible names")


def _first_mistake(kinds: Mapping[str, Kind], name: str, *arguments: Arguments) -> str:
    """Return the first argument out of range in words, or "" if there is none."""
    if name not in kinds:
        raise MessageError(f"the unknown class {name!r}")
    mistakes = [line for each in arguments for line in find_argument_mistakes(kinds[name], each)]
    return f"{mistakes[0]}." if mistakes else ""


def _weights(encoded: str | None, question: Question) -> bytes | None:
    """Return the safetensors file if it was asked for; the model's builder compares its shapes."""
    if (encoded is not None) != question.weights:
        raise MessageError("weights that were not requested, or requested weights that are missing")
    if encoded is None:
        return None
    try:
        weights = base64.b64decode(encoded, validate=True)
        safetensors.deserialize(weights)  # type: ignore[no-untyped-call]
    except (binascii.Error, ValueError, safetensors.SafetensorError) as error:
        raise MessageError(f"weights that cannot be read: {error}") from error
    return weights


def _wrong_value(described: str, message: str) -> Failure:
    return Failure(
        kind="wrong-value",
        phase=f"description of the {described}",
        message=message,
        next_step="Use a value in that range.",
    )
