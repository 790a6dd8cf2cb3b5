"""Messages from the sandbox are decoded as hostile."""

from __future__ import annotations

import base64
import json
import math
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from grader.assignment.records import Limits
from grader.errors import MessageError
from grader.models.failures import Failure
from grader.models.questions import Extraction, ImportNote, PlainMapping, Question
from grader.models.spec import LayerSpec
from grader.sandbox.decode import clean_location, decode_end, decode_reply, encode_command
from grader.sandbox.protocol import WorkerLimits
from grader.text import clean_block, clean_line, display_name

LIMITS = Limits(message_bytes=20_000, message_depth=4, layers=5, parameters=10_000)
ANSWER = Question(id="1", kind="answer", file="problem_1.py", function="f")
MODEL = Question(
    id="2", kind="model", file="problem_1.py", function="m", optimizer="o", scheduler="s"
)
RECORDED = Question(id="4", kind="recording", file="problem_1.ipynb", function="")
WEIGHTED = Question(id="3", kind="model", file="problem_1.py", function="m", weights=True)

LINEAR = {
    "kind": "Linear",
    "path": "0",
    "arguments": {"in_features": 4, "out_features": 2, "bias": True},
    "irregularity": None,
    "irregularity_detail": "",
}
SETTINGS = {
    "lr": 0.1,
    "momentum": 0,
    "dampening": 0,
    "weight_decay": 0.0,
    "nesterov": False,
    "maximize": False,
}
OPTIMIZER = {
    "kind": "SGD",
    "groups": [{"parameters": ["0.weight", "0.bias"], "settings": SETTINGS}],
}
FAILURE = {
    "kind": "exception",
    "phase": "call of f()",
    "message": "no",
    "next_step": "yes",
    "location": "problem_1.py:3",
    "traceback": "",
}


def answer(value: Any, **changes: Any) -> bytes:
    """An answer as it is sent."""
    reply = {
        "type": "answer",
        "value": value,
        "location": "problem_1.py:1",
        "notes": [],
    }
    return json.dumps(reply | changes).encode()


def model(layers: list[dict[str, Any]] | None = None, **changes: Any) -> bytes:
    """A model as it is sent."""
    reply = {
        "type": "model",
        "layers": [LINEAR] if layers is None else layers,
        "weights": None,
        "location": "problem_1.py:1",
        "notes": [],
        "failures": [],
    }
    return json.dumps(reply | changes).encode()


def decode(payload: bytes, question: Question = ANSWER) -> Extraction:
    """Decode under this module's limits."""
    return decode_reply(question, payload, LIMITS)


plain_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(categories=["L", "N", "Zs", "P"])),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=8,
)


def as_tuples(value: Any) -> Any:
    """Lists as tuples, as `PlainValue` has them."""
    return tuple(map(as_tuples, value)) if isinstance(value, list) else value


def depth_of(value: Any) -> int:
    """Return the depth of nested lists."""
    return 1 + max(map(depth_of, value), default=0) if isinstance(value, list) else 0


@given(plain_json)
def test_plain_values_survive(value: Any) -> None:
    """Numbers, strings and lists arrive as they were sent, types included."""
    if depth_of(value) > LIMITS.message_depth:
        with pytest.raises(MessageError, match="nested too deeply"):
            decode(answer(value))
        return
    decoded = decode(answer(value)).value
    assert decoded == as_tuples(value)
    assert repr(decoded) == repr(as_tuples(value))


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ({"float": "inf"}, math.inf),
        ({"float": "-inf"}, -math.inf),
        ({"integer": "-" + "9" * 100}, -int("9" * 100)),
        ({"pairs": [["a", 1], [[2], {"pairs": []}]]},
         PlainMapping(pairs=(("a", 1), ((2,), PlainMapping(pairs=()))))),
        ("a\tb\x1b[31m\x00\u202e\n", "a\tb\\x00\\u202e\n"),
    ],
)  # fmt: skip
def test_special_values_are_decoded(sent: Any, meant: Any) -> None:
    """Values that JSON lacks have a special form, and text is made harmless."""
    assert decode(answer(sent)).value == meant


def test_nan_is_decoded() -> None:
    """NaN is spelled out."""
    value = decode(answer({"float": "nan"})).value
    assert isinstance(value, float)
    assert math.isnan(value)


@pytest.mark.parametrize(
    "value",
    [
        {"float": "1.0"},
        {"float": "nan", "more": 1},
        {"integer": "0x10"},
        {"integer": "007"},
        {"integer": "9" * 1001},
        {"integer": 3},
        {"pairs": [["a"]]},
        {"pairs": {"a": 1}},
        {"other": 1},
        {},
        [[[[[[1]]]]]],
        {"pairs": [[key, 1] for key in range(1001)]},
    ],
)
def test_values_of_other_forms_are_refused(value: Any) -> None:
    """An object has exactly one key with the value that belongs to it, and depth is limited."""
    with pytest.raises(MessageError):
        decode(answer(value))


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff",
        b'{"type":"answer"',
        b'{"type":"verdict","score":100}',
        b"[" * 15_000,
        b'{"a":' * 3_000,
        b'"' * 19_999,
        b'"\\"' * 5_000,
        answer(1, score=100),
        answer(1, location=3),
        answer(1, location="x" * 1001),
        answer(1, notes=[{"kind": "gift", "location": "", "detail": ""}]),
        answer("x" * 20_000),
        answer(math.nan),
        answer(10**1000),
        answer(1).replace(b'"value": 1', b'"value": 1e999'),
        json.dumps({"type": "missing", "notes": []}).encode(),
        model(),
    ],
)
def test_broken_payloads(payload: bytes) -> None:
    """Whatever is not exactly an answer is refused, and quickly."""
    with pytest.raises(MessageError):
        decode(payload)


@given(st.binary(max_size=300))
def test_random_bytes_are_refused(payload: bytes) -> None:
    """No bytes can do more than be refused."""
    with pytest.raises(MessageError):
        decode(payload, MODEL)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.data())
def test_changed_field(data: st.DataObject) -> None:
    """Whatever one field of a valid model is changed to, the result is valid or a refusal."""
    reply = json.loads(model(optimizer=OPTIMIZER))
    place: Any = reply
    while True:
        key = data.draw(
            st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place)))
        )
        if isinstance(place[key], (dict, list)) and place[key] and data.draw(st.booleans()):
            place = place[key]
            continue
        place[key] = data.draw(json_values)
        break
    try:
        extraction = decode(json.dumps(reply).encode(), MODEL)
    except MessageError:
        return
    if extraction.model is not None:
        assert extraction.model.model.count_parameters() <= LIMITS.parameters


def test_missing() -> None:
    """A function may be absent only where the question says so."""
    optional = Question(id="1", kind="answer", file="a.py", function="f", optional=True)
    extraction = decode(json.dumps({"type": "missing", "notes": []}).encode(), optional)
    assert not extraction.answered
    assert extraction.failure is None


def test_failures_and_notes_are_cleaned() -> None:
    """Texts for people hold no control characters, and locations look like locations."""
    sent = FAILURE | {"message": "a\nb\x1b]0;title\x07\x1b[2J\u202e", "location": "x\n:1"}
    note = {"kind": "training", "location": "a.py:3", "detail": "l.backward()\x00"}
    payload = json.dumps({"type": "failure", "failure": sent, "notes": [note]}).encode()
    extraction = decode(payload)
    assert extraction.failure == Failure(
        kind="exception",
        phase="call of f()",
        message="a b\\u202e",
        next_step="yes",
    )
    assert extraction.notes == (
        ImportNote(kind="training", location="a.py:3", detail="l.backward()\\x00"),
    )


def test_model_is_decoded() -> None:
    """A valid model arrives with its optimiser and scheduler."""
    scheduler = {"kind": "ExponentialLR", "arguments": {"gamma": 0.9}}
    payload = model(optimizer=OPTIMIZER, scheduler=scheduler, training=[3])
    extracted = decode(payload, MODEL).model
    assert extracted is not None
    assert extracted.model.layers == (
        LayerSpec(kind="Linear", path="0", arguments=LINEAR["arguments"]),  # type: ignore[arg-type]
    )
    assert extracted.optimizer is not None
    assert extracted.optimizer.groups[0].parameters == ("0.weight", "0.bias")
    assert extracted.scheduler is not None
    assert extracted.training == (3,)


def layer(**changes: Any) -> dict[str, Any]:
    """A Linear with something changed."""
    return LINEAR | changes


@pytest.mark.parametrize(
    "payload",
    [
        model([]),
        model([LINEAR] * 6),
        model([layer(kind="Quantum")]),
        model([layer(kind="Quantum", irregularity="evaluation", arguments={})]),
        model([layer(kind="Quantum", irregularity="subclass")]),
        model([layer(irregularity="lucky")]),
        model([layer(arguments={})]),
        model([layer(arguments={"in_features": {"x": 1}, "out_features": 2, "bias": True})]),
        model([layer(arguments={"in_features": [[4]], "out_features": 2, "bias": True})]),
        model([layer(arguments={"in_features": 4000, "out_features": 4000, "bias": True})]),
        model([layer(path="")]),
        model([layer(score=1)]),
        model(weights=""),
        model(failures=[["optimizer", FAILURE]] * 4),
        model(failures=[["judge", FAILURE]]),
        model(optimizer={"kind": "SGD", "groups": []}),
        model(optimizer={"kind": "Miracle", "groups": OPTIMIZER["groups"]}),
        model(optimizer={"kind": "SGD", "groups": [{"parameters": ["0.weight"],
                                                    "settings": SETTINGS}]}),
        model(optimizer={"kind": "SGD", "groups": [*OPTIMIZER["groups"], *OPTIMIZER["groups"]]}),
        model(optimizer={"kind": "SGD", "groups": [
            {"parameters": ["0.weight", "0.bias", "7.weight"], "settings": SETTINGS}]}),
        model(scheduler={"kind": "LambdaLR", "arguments": {}}),
        answer(1),
    ],
)  # fmt: skip
def test_forged_models_are_refused(payload: bytes) -> None:
    """Messages that no honest worker sends are refused."""
    with pytest.raises(MessageError):
        decode(payload, MODEL)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"in_features": 0}, "in_features is 0"),
        ({"in_features": 10**8}, "in_features is 100000000"),
        ({"in_features": 10**30}, "in_features"),
        ({"in_features": 10**400}, "in_features"),
        ({"in_features": True}, "in_features is True"),
        ({"in_features": 4.0}, "in_features is 4.0"),
        ({"bias": "yes"}, "bias is 'yes'"),
        ({"color": 3}, "no argument 'color'"),
    ],
)
def test_arguments_out_of_range(changes: dict[str, Any], says: str) -> None:
    """An argument that PyTorch may allow and the grader refuses is explained to the student."""
    payload = model([layer(arguments=LINEAR["arguments"] | changes)])  # type: ignore[operator]
    failure = decode(payload, MODEL).failure
    assert failure is not None
    assert failure.kind == "wrong-value"
    assert says in failure.message


@pytest.mark.parametrize("rate", ["nan", "inf", -1, 1e9, 10**400, "fast", None])
def test_settings_out_of_range(rate: Any) -> None:
    """An optimiser with an impossible learning rate leaves the model usable."""
    groups = [{"parameters": ["0.weight", "0.bias"], "settings": SETTINGS | {"lr": rate}}]
    extracted = decode(model(optimizer={"kind": "SGD", "groups": groups}), MODEL).model
    assert extracted is not None
    assert extracted.optimizer is None
    ((role, failure),) = extracted.failures
    assert role == "optimizer"
    assert failure.kind == "wrong-value"
    assert "lr" in failure.message


def test_optimizer_of_an_irregular_model() -> None:
    """Where a layer is not known, neither are its parameters' names."""
    layers = [layer(kind="problem_1.Mine", irregularity="subclass", arguments={})]
    groups = [{"parameters": ["0.secret"], "settings": SETTINGS}]
    extracted = decode(model(layers, optimizer={"kind": "SGD", "groups": groups}), MODEL).model
    assert extracted is not None
    assert extracted.optimizer is not None
    groups[0]["parameters"] = ["../../etc"]
    with pytest.raises(MessageError):
        decode(model(layers, optimizer={"kind": "SGD", "groups": groups}), MODEL)


def test_weights_on_request() -> None:
    """Weights come in if they are well-formed safetensors, and were asked for."""
    file = safetensors.numpy.save({"0.weight": np.ones((2, 4), dtype=np.float32)})
    encoded = base64.b64encode(file).decode()
    extracted = decode(model(weights=encoded), WEIGHTED).model
    assert extracted is not None
    assert extracted.model.weights == file
    for wrong in (None, "", "!", encoded[:-8], base64.b64encode(b"\xff" * 100).decode()):
        with pytest.raises(MessageError):
            decode(model(weights=wrong), WEIGHTED)
    with pytest.raises(MessageError):
        decode(model(weights=encoded), MODEL)


@pytest.mark.parametrize("payload", [b"", b"{}", b"[1]", b"\xff", b'{"reason":"victory"}'])
def test_broken_endings(payload: bytes) -> None:
    """The end of a question has exactly its fields."""
    with pytest.raises(MessageError):
        decode_end(payload)


def test_command() -> None:
    """The worker gets plain JSON."""
    names = [field.name for field in fields(WorkerLimits)]
    command = json.loads(encode_command(ANSWER, WorkerLimits(**dict.fromkeys(names, 5))))
    assert command["question"]["function"] == "f"
    assert command["limits"] == dict.fromkeys(names, 5)


@given(st.text())
def test_clean_text_holds_nothing_hidden(text: str) -> None:
    """Cleaned text is printable but for line breaks and tabs, and one line is one line."""
    line, block = clean_line(text), clean_block(text)
    assert "\n" not in line
    for cleaned in (line, block, display_name(text.replace("\0", "").encode("utf-8", "replace"))):
        assert not {"\x1b", "\r", "\0", "\u202e", "\u2028", "\x7f"} & set(cleaned)
        cleaned.encode()


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("a.py:3", "a.py:3"),
        ("written/a.py:12", "written/a.py:12"),
        ("", ""),
        ("a.py", ""),
        ("a:b:3", ""),
        ("a\n.py:3", ""),
        ("a.py:99999999", ""),
    ],
)
def test_locations_look_like_locations(text: str, meant: str) -> None:
    """Anything else than a file and a line is dropped."""
    assert clean_location(text) == meant


PLACE = {"file": "problem_1.ipynb", "cell": 7, "line": 3}
TRAINING = {"place": PLACE, "statement": PLACE, "layers": [LINEAR], "optimizer": OPTIMIZER}


def recording(**changes: Any) -> bytes:
    """A recording of one training as it is sent."""
    recorded = {"trainings": [TRAINING | changes], "names": ["x"]}
    return json.dumps({"type": "recording", "recording": recorded, "notes": []}).encode()


def test_recording() -> None:
    """A recording arrives as its records."""
    found = decode(recording(epochs=10, mean=[0.5], names=["model\x1b[31m"]), RECORDED).recording
    assert found is not None
    assert found.names == ("x",)
    (training,) = found.trainings
    assert str(training.place) == "problem_1.ipynb, cell 7, line 3"
    assert training.epochs == 10
    assert training.names == ("model",)
    assert training.optimizer is not None


@pytest.mark.parametrize(
    "changes",
    [
        {"layers": []},
        {"failure": FAILURE},
        {"layers": 6 * [LINEAR]},
        {"layers": [LINEAR | {"kind": "Perfect"}]},
        {"optimizer": OPTIMIZER | {"kind": "Perfect"}},
        {"optimizer": OPTIMIZER | {"groups": [{"parameters": [], "settings": SETTINGS}]}},
        {"epochs": 10**12},
        {"epochs": -1},
        {"mean": 5 * [0.5]},
        {"mean": ["nan"]},
        {"score": 100},
    ],
)
def test_forged_recording(changes: dict[str, Any]) -> None:
    """A recording that no honest worker sends is refused."""
    with pytest.raises(MessageError):
        decode(recording(**changes), RECORDED)


def test_recorded_argument_out_of_range() -> None:
    """A training that the grader cannot repeat says why; the recording stays."""
    wide = LINEAR | {"arguments": LINEAR["arguments"] | {"in_features": -1}}
    steep = {
        "kind": "SGD",
        "groups": [OPTIMIZER["groups"][0] | {"settings": SETTINGS | {"lr": -1}}],
    }
    for changes in ({"layers": [wide], "optimizer": None}, {"optimizer": steep}):
        found = decode(recording(**changes), RECORDED).recording
        assert found is not None
        (training,) = found.trainings
        failure = training.failure or dict(training.failures)["optimizer"]
        assert failure.kind == "wrong-value"
        assert "problem_1.ipynb, cell 7, line 3" in failure.phase


def test_recording_of_another_question() -> None:
    """A recording answers no other question, and no answer is a recording."""
    for payload, question in ((recording(), ANSWER), (recording(), MODEL), (answer(1), RECORDED)):
        with pytest.raises(MessageError, match="another type"):
            decode(payload, question)
