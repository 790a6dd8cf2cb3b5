"""Real messages to start from: made by the worker's own code, one for each thing it can say."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim import lr_scheduler

from grader.assignment.records import Limits
from grader.sandbox.worker.describe_model import describe_model, encode_weights
from grader.sandbox.worker.describe_training import describe_optimizer, describe_scheduler
from grader.sandbox.worker.failures import explain_exception
from grader.sandbox.worker.plain_values import Converter
from tests.fuzz.asked import ANSWER, LIMITS, MODEL, OPTIONAL, WEIGHTS

NOTE = {"kind": "training", "location": "a.py:3", "detail": "loss.backward()"}

VALUES: tuple[Any, ...] = (
    None,
    [True, 1, -0.5, "text", "é\x1b[31m\u202e"],
    {"epochs": 3, "nested": {1: [(2.5, math.inf), math.nan]}},
    10**40,
    np.eye(3),
    torch.zeros(4, 2, 2),
)


def make_seeds() -> list[tuple[int, bytes]]:
    """Replies, each with the index of the question that it answers."""
    limits = LIMITS
    replies: list[tuple[int, dict[str, Any]]] = [
        (ANSWER, _answer(Converter(limits).convert(value))) for value in VALUES
    ]
    replies.append((OPTIONAL, {"type": "missing", "notes": [NOTE]}))
    replies.append((MODEL, {"type": "failure", "failure": _failure(), "notes": []}))
    small = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    replies.append((WEIGHTS, _model(small, limits, weights=True)))
    large = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding="same", bias=False),
        nn.BatchNorm2d(4),
        nn.MaxPool2d(2),
        nn.Sequential(nn.Flatten(), nn.Dropout(0.25)),
        nn.LayerNorm([784]),
        nn.Linear(784, 10),
        nn.GELU("tanh"),
        nn.Softmax(dim=1),
        nn.ReLU().eval(),
    )
    replies.append((MODEL, _model(large, limits)))
    odd = nn.Sequential(nn.GRU(2, 2), nn.Linear(2, 2).double(), nn.AvgPool2d(2, divisor_override=3))
    replies.append((MODEL, _model(odd, limits) | {"failures": [["training", _failure()]]}))
    return [(question, json.dumps(reply).encode()) for question, reply in replies]


def make_endings() -> list[bytes]:
    """Ends of questions."""
    ending = {"reason": "done", "code": 0, "phase": "call of f()", "dropped_bytes": 0}
    ending |= {"location": "a.py:3", "is_clean": True}
    return [
        json.dumps(ending | {"reason": reason, "code": code}).encode()
        for reason, code in (("done", 0), ("signalled", -24), ("timeout", 0), ("files", 0))
    ]


def _answer(value: Any) -> dict[str, Any]:
    return {
        "type": "answer",
        "value": value,
        "location": "a.py:1",
        "notes": [],
    }


def _model(model: nn.Sequential, limits: Limits, *, weights: bool = False) -> dict[str, Any]:
    described = describe_model(model, "f", limits, Path("/submission"))
    reply = {
        "type": "model",
        "layers": described.layers,
        "weights": encode_weights(described, "f", limits) if weights else None,
        "location": "a.py:1",
        "notes": [],
        "failures": [],
    }
    if not weights:
        first, *others = model.parameters()
        groups = [{"params": [first], "lr": 0.5}, {"params": others}]
        optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9)
        reply["optimizer"] = describe_optimizer(optimizer, "o", described)
        scheduler = lr_scheduler.MultiStepLR(optimizer, [3, 5])
        reply["scheduler"] = describe_scheduler(scheduler, "s", optimizer)
        reply["training"] = Converter(limits).convert({"epochs": 3})
    return reply


def _failure() -> dict[str, str]:
    error = explain_exception(ValueError("no\x1b[31m"), Path("/submission"), LIMITS)
    return error.to_dict("call of f()")
