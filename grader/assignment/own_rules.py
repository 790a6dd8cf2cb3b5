"""An author's own constraints: classes with `check(model)` in the assignment's file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import is_dataclass
from typing import Any

from grader.assignment.constraints import Constraint
from grader.errors import ModelError
from grader.models.author_code import file_of, is_authors, place_of
from grader.models.spec import ArgumentValue, LayerSpec, ModelSpec
from grader.results import CheckResult, Outcome

_CONVOLUTION: dict[str, ArgumentValue] = {
    "in_channels": 1,
    "out_channels": 4,
    "kernel_size": (3, 3),
    "stride": (1, 1),
    "padding": (0, 0),
    "dilation": (1, 1),
    "groups": 1,
    "bias": True,
    "padding_mode": "zeros",
}
_PROBE = ModelSpec(
    layers=(
        LayerSpec(kind="Conv2d", path="0", arguments=_CONVOLUTION),
        LayerSpec(kind="ReLU", path="1", arguments={"inplace": False}),
        LayerSpec(kind="Flatten", path="2", arguments={"start_dim": 1, "end_dim": -1}),
        LayerSpec(
            kind="Linear",
            path="3",
            arguments={"in_features": 2704, "out_features": 10, "bias": True},
        ),
    )
)
"""A model on which a rule is tried when its assignment is loaded."""
_PROBE_SHAPE = (1, 28, 28)


def rule_mistakes(rule: Any) -> Iterator[str]:
    """Yield the mistakes in a constraint: in its fields, and in the code of an author's own."""
    if not is_dataclass(rule) or isinstance(rule, type) or not callable(getattr(rule, "check", 0)):
        yield f"{rule!r} is not a constraint: a frozen dataclass with check(model)"
        return
    own_mistakes = getattr(rule, "mistakes", list)
    yield from own_mistakes()
    if is_authors(type(rule)):
        tried = check_own(rule, _PROBE)
        if tried.outcome is Outcome.ERROR:
            yield tried.observed


def check_own(rule: Any, model: ModelSpec) -> CheckResult:
    """Check a model by an author's own rule; a rule that fails itself costs no points.

    Raises:
        ModelError: from the rule, about an irregular layer.
    """
    name, file = type(rule).__name__, file_of(type(rule))
    try:
        checked = rule.check(model)
    except ModelError:
        raise
    except Exception as error:  # noqa: BLE001  # an author's code can raise anything
        place = place_of(error, file)
        return _failed(name, f"{name}.check failed at {place}: {type(error).__name__}: {error}")
    if not isinstance(checked, CheckResult):
        returned = type(checked).__name__
        return _failed(name, f"{name}.check returned {returned} instead of CheckResult")
    return checked


def _failed(name: str, observed: str) -> CheckResult:
    return CheckResult(
        id="own-rule",
        title=name,
        outcome=Outcome.ERROR,
        observed=observed,
        next_step="no points are lost: tell your instructor",
    )


def check_rule(rule: Constraint, model: ModelSpec, input_shape: tuple[int, ...]) -> CheckResult:
    """Check a model by any rule.

    Raises:
        ModelError: a layer lacks what the rule counts by, or does not fit its input.
    """
    if is_authors(type(rule)):
        return check_own(rule, model)
    return rule.check_at(model, input_shape)


def describe_rule(rule: Any) -> str:
    """Return a rule in words: "Allowed layers: Flatten, Linear", from a trial on a small model."""
    try:
        tried = check_rule(rule, _PROBE, _PROBE_SHAPE)
    except ModelError:
        return type(rule).__name__
    return f"{tried.title}: {tried.expected}" if tried.expected else tried.title
