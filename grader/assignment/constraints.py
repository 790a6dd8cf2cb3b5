"""Constraints on a model's layers: plain data that can check a `ModelSpec`.

Every check is arithmetic on the description of a model: nothing is built and nothing runs.
`check_ordinary_layers` comes before all others, which trust a layer's class and arguments; checks
that count raise `ModelError` if an irregular layer lacks its sizes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import ClassVar

from grader.errors import ModelError
from grader.models.kinds import IRREGULARITIES, LAYER_KINDS
from grader.models.shapes import count_multiply_adds, find_dearest_layer, find_shapes
from grader.models.spec import LayerSpec, ModelSpec, as_integers, count_layer_parameters
from grader.results import CheckResult
from grader.text import did_you_mean

ACTIVATIONS = (
    *("ReLU", "ReLU6", "LeakyReLU", "ELU", "SELU", "SiLU", "GELU", "Sigmoid", "Tanh", "Softplus"),
    *("PReLU", "CELU", "Mish", "Hardswish", "Hardsigmoid", "Hardtanh", "Softsign", "LogSigmoid"),
)
"""Elementwise nonlinear layers, the most common first."""

SOFTMAXES = ("Softmax", "LogSoftmax")

CONVOLUTIONS = ("Conv2d", "Conv1d", "ConvTranspose2d")
"""Layers with a kernel of weights."""

_FAMILIES: tuple[tuple[str, ...], ...] = (
    ACTIVATIONS,
    SOFTMAXES,
    ("Conv2d", "Conv1d"),
    (
        *("MaxPool2d", "AvgPool2d", "AdaptiveAvgPool2d", "AdaptiveMaxPool2d", "MaxPool1d"),
        *("AvgPool1d", "AdaptiveAvgPool1d", "AdaptiveMaxPool1d"),
    ),
    (
        *("BatchNorm2d", "BatchNorm1d", "LayerNorm", "GroupNorm", "InstanceNorm2d"),
        *("InstanceNorm1d", "RMSNorm", "LocalResponseNorm"),
    ),
    ("Dropout", "Dropout2d", "Dropout1d", "AlphaDropout"),
)
"""Layers that can replace one another, the most common first."""

_USUAL_PLACES: dict[str, str] = {
    "Dropout": ", for example before the last Linear",
    "BatchNorm1d": ", for example between a Linear and its activation",
    "BatchNorm2d": ", for example between a Conv2d and its activation",
}

_REMEDIES: dict[str, str] = {
    "subclass": "use the layer of torch.nn itself instead",
    "unknown": "use a layer that the assignment allows instead, or remove it",
    "shared": "build a new layer for every place in the model",
    "hook": "remove the hook",
    "parametrization": "remove the parametrisation",
    "override": "remove the attribute",
    "frozen": "leave requires_grad at True",
    "dtype": "leave the layer in float32: remove .double(), .half() or .to(dtype)",
    "device": "leave the model on the CPU: remove .to(device) or .cuda(); the grader moves it",
    "lazy": "use the layer that is not lazy, with its sizes given: nn.Linear, not nn.LazyLinear",
    "parameters": "remove the added parameters or buffers",
    "evaluation": "remove .eval(): the grader sets the mode itself",
}

_LAYERS_NAMED = 6
"""The maximum number of layers in a message, so that it stays readable."""


@dataclass(frozen=True, kw_only=True)
class Constraint(ABC):
    """A constraint, whose fields are counts or layer kinds of `torch.nn`.

    The metadata of a count's field give its minimum. An author's own constraint is a frozen
    dataclass with `check`, too; it may have other fields, and need not be a subclass.
    """

    @abstractmethod
    def check(self, model: ModelSpec) -> CheckResult:
        """Fail if the model breaks the constraint."""

    def check_at(self, model: ModelSpec, input_shape: tuple[int, ...]) -> CheckResult:  # noqa: ARG002
        """Fail if the model breaks the constraint on examples of this shape."""
        return self.check(model)

    def mistakes(self) -> list[str]:
        """Return the constraint's own mistakes, each sentence led by the field's name."""
        found = []
        of_grader = type(self).__module__ == __name__
        for entry in fields(self):
            value = getattr(self, entry.name)
            minimum = entry.metadata.get("minimum")
            if minimum is None:
                mistakes = _kind_mistakes(value) if of_grader else []
            else:
                mistakes = [f"must be at least {minimum}, got {value}"] if value < minimum else []
            found += [f"{entry.name}: {mistake}" for mistake in mistakes]
        return found


@dataclass(frozen=True, kw_only=True)
class AllowedLayers(Constraint):
    """Every layer is of one of `kinds`, named as in `torch.nn`."""

    id: ClassVar[str] = "allowed-layers"
    kinds: tuple[str, ...]

    def check(self, model: ModelSpec) -> CheckResult:
        """Fail if a layer is of another kind."""
        others = self.refused_kinds(model)
        named = _name_layers(model, others)
        advice, replaced = [], others
        output = find_output_activation(model)
        if output is not None and output[1].kind in others:
            # Another activation there would be as wrong, so none is offered.
            index, layer = output
            advice = [f"remove {name_layer(index, layer)}: cross entropy expects scores"]
            rest = (*model.layers[:index], *model.layers[index + 1 :])
            replaced = self.refused_kinds(replace(model, layers=rest))
        advice += map(self._replacement, replaced)
        return CheckResult.judged(
            self.id,
            "Allowed layers",
            passed=not others,
            observed=f"not allowed: {_listing(named)}" if others else "only allowed layers",
            expected=f"only {', '.join(self.kinds)}",
            next_step="; ".join(advice),
        )

    def refused_kinds(self, model: ModelSpec) -> tuple[str, ...]:
        """Return the model's kinds of layers that are not allowed, in order, each once."""
        kinds = (layer.kind for layer in model.layers if layer.kind not in self.kinds)
        return tuple(dict.fromkeys(kinds))

    def _replacement(self, kind: str) -> str:
        family = next((family for family in _FAMILIES if kind in family), ())
        stand_in = next((other for other in family if other in self.kinds), None)
        if stand_in is not None:
            return f"use {stand_in} instead of {kind}, or remove it"
        if kind in LAYER_KINDS:
            return f"remove {kind}: nothing like it is allowed"
        return f"build {kind} from the allowed layers, or remove it"


@dataclass(frozen=True, kw_only=True)
class MaxHiddenUnits(Constraint):
    """At most `units` hidden units: the sum of `out_features` over every Linear but the last."""

    id: ClassVar[str] = "max-hidden-units"
    units: int = field(metadata={"minimum": 0})

    def check(self, model: ModelSpec) -> CheckResult:
        """Fail if the hidden layers together have more units."""
        hidden = model.linear_layers()[:-1]
        units = [layer.integer("out_features") for _, layer in hidden]
        excess = sum(units) - self.units
        widths = [
            f"{name_layer(index, layer)} with {count:,}"
            for (index, layer), count in zip(hidden, units, strict=True)
        ]
        return CheckResult.judged(
            self.id,
            "Hidden units",
            passed=excess <= 0,
            observed=_describe_hidden_units(units),
            expected=f"at most {self.units:,} (out_features of every Linear but the last)",
            next_step=f"remove at least {excess:,}, from {_listing(widths)}",
        )


@dataclass(frozen=True, kw_only=True)
class MinHiddenLayers(Constraint):
    """At least `layers` hidden layers: Linear layers, not counting the last."""

    id: ClassVar[str] = "min-hidden-layers"
    layers: int = field(metadata={"minimum": 0})

    def check(self, model: ModelSpec) -> CheckResult:
        """Fail if there are fewer."""
        linear = len(model.linear_layers())
        hidden = max(linear - 1, 0)
        missing = self.layers + 1 - linear
        return CheckResult.judged(
            self.id,
            "Hidden layers",
            passed=missing <= 0,
            observed=(
                f"{_count(linear, 'Linear layer')}, so {_count(hidden, 'hidden layer')}: "
                "the last Linear gives the outputs"
            ),
            expected=f"at least {_count(self.layers, 'hidden layer')}",
            next_step=(
                f"add {_count(missing, 'Linear layer')}, each with an activation behind it, "
                "before the last Linear"
            ),
        )


@dataclass(frozen=True, kw_only=True)
class ExactLinearLayers(Constraint):
    """Exactly `layers` Linear layers, the last one included."""

    id: ClassVar[str] = "exact-linear-layers"
    layers: int = field(metadata={"minimum": 1})

    def check(self, model: ModelSpec) -> CheckResult:
        """Fail if there are more or fewer."""
        named = _name_layers(model, ("Linear",))
        excess = len(named) - self.layers
        verb = "remove" if excess > 0 else "add"
        return CheckResult.judged(
            self.id,
            "Linear layers",
            passed=excess == 0,
            observed=f"{_count(len(named), 'Linear layer')}{_places(named)}",
            expected=f"exactly {_count(self.layers, 'Linear layer')}",
            next_step=f"{verb} {_count(abs(excess), 'Linear layer')}",
        )


@dataclass(frozen=True, kw_only=True)
class MaxParameters(Constraint):
    """At most `parameters` trainable values."""

    id: ClassVar[str] = "max-parameters"
    parameters: int = field(metadata={"minimum": 0})

    def check(self, model: ModelSpec) -> CheckResult:
        """Fail if the model has more."""
        return _check_parameters(self.id, model, self.parameters, strictly=False)


@dataclass(frozen=True, kw_only=True)
class FewerParametersThan(Constraint):
    """Fewer than `parameters` trainable values."""

    id: ClassVar[str] = "fewer-parameters-than"
    parameters: int = field(metadata={"minimum": 1})

    def check(self, model: ModelSpec) -> CheckResult:
        """Fail if the model has as many or more."""
        return _check_parameters(self.id, model, self.parameters, strictly=True)


@dataclass(frozen=True, kw_only=True)
class RequiredLayer(Constraint):
    """At least `at_least` layers of `kind`."""

    kind: str
    at_least: int = field(default=1, metadata={"minimum": 1})

    @property
    def id(self) -> str:
        """The check's id with the kind, because an item may require several kinds."""
        return f"required-layer-{self.kind.lower()}"

    def check(self, model: ModelSpec) -> CheckResult:
        """Fail if there are fewer."""
        named = _name_layers(model, (self.kind,))
        missing = self.at_least - len(named)
        return CheckResult.judged(
            self.id,
            f"{self.kind} required",
            passed=missing <= 0,
            observed=f"{_count(len(named), f'{self.kind} layer')}{_places(named)}",
            expected=f"at least {_count(self.at_least, f'{self.kind} layer')}",
            next_step=(
                f"add {_count(missing, f'nn.{self.kind} layer')}{_USUAL_PLACES.get(self.kind, '')}"
            ),
        )


@dataclass(frozen=True, kw_only=True)
class MinLayers(Constraint):
    """At least `layers` layers of the given kinds together."""

    kinds: tuple[str, ...]
    layers: int = field(metadata={"minimum": 1})

    @property
    def id(self) -> str:
        """The check's id with the kinds, because an item may count several."""
        return f"min-layers-{'-'.join(self.kinds).lower()}"

    def check(self, model: ModelSpec) -> CheckResult:
        """Fail if there are fewer."""
        named = _name_layers(model, self.kinds)
        kinds = " or ".join(self.kinds)
        missing = self.layers - len(named)
        return CheckResult.judged(
            self.id,
            f"Layers of {kinds}",
            passed=missing <= 0,
            observed=f"{_count(len(named), 'layer')}{_places(named)}",
            expected=f"at least {_count(self.layers, 'layer')} of {kinds}",
            next_step=f"add {_count(missing, 'layer')} of {kinds}",
        )


@dataclass(frozen=True, kw_only=True)
class MaxDepth(Constraint):
    """At most `layers` Linear and convolutional layers, the last one included."""

    id: ClassVar[str] = "max-depth"
    layers: int = field(metadata={"minimum": 1})

    def check(self, model: ModelSpec) -> CheckResult:
        """Fail if there are more."""
        named = _name_layers(model, ("Linear", *CONVOLUTIONS))
        excess = len(named) - self.layers
        return CheckResult.judged(
            self.id,
            "Depth",
            passed=excess <= 0,
            observed=f"{_count(len(named), 'layer')} with weights{_places(named)}",
            expected=f"at most {_count(self.layers, 'Linear or convolutional layer')}",
            next_step=f"remove {_count(excess, 'layer')}",
        )


@dataclass(frozen=True, kw_only=True)
class MaxKernelSize(Constraint):
    """No convolution has a kernel longer than `size` in any dimension."""

    id: ClassVar[str] = "max-kernel-size"
    size: int = field(metadata={"minimum": 1})

    def check(self, model: ModelSpec) -> CheckResult:
        """Fail if a kernel is longer."""
        kernels = {
            name_layer(index, layer): as_integers(layer.arguments.get("kernel_size"), 1)
            for index, layer in enumerate(model.layers)
            if layer.kind in CONVOLUTIONS
        }
        long = {name: kernel for name, kernel in kernels.items() if max(kernel) > self.size}
        largest = max((max(kernel) for kernel in kernels.values()), default=0)
        shown = [f"{name} with {' x '.join(map(str, kernel))}" for name, kernel in long.items()]
        return CheckResult.judged(
            self.id,
            "Kernel size",
            passed=not long,
            observed=_listing(shown) if long else f"the longest side of a kernel is {largest}",
            expected=f"at most {self.size} in each dimension",
            next_step=f"use kernel_size={self.size} or less, or more layers to see as far",
        )


@dataclass(frozen=True, kw_only=True)
class MaxMultiplyAdds(Constraint):
    """At most `multiply_adds` in Linear and convolutions for one example."""

    id: ClassVar[str] = "max-multiply-adds"
    multiply_adds: int = field(metadata={"minimum": 1})

    def check(self, model: ModelSpec) -> CheckResult:  # noqa: ARG002
        """Refuse to count: the number depends on the input."""
        raise ModelError("multiply-adds depend on the shape of the input")

    def check_at(self, model: ModelSpec, input_shape: tuple[int, ...]) -> CheckResult:
        """Fail if one example takes more."""
        needed = count_multiply_adds(model, find_shapes(model, input_shape))
        dearest = find_dearest_layer(model, input_shape)
        index = next(i for i, layer in enumerate(model.layers) if layer is dearest)
        return CheckResult.judged(
            self.id,
            "Multiply-adds",
            passed=needed <= self.multiply_adds,
            observed=f"{needed:,} multiply-adds for one example",
            expected=f"at most {self.multiply_adds:,}",
            next_step=f"make {name_layer(index, dearest)} smaller, or pool before it",
        )


def check_ordinary_layers(model: ModelSpec) -> CheckResult:
    """Fail if a layer differs from an ordinary layer of its class and arguments."""
    irregular = [
        (index, layer, layer.irregularity)
        for index, layer in enumerate(model.layers)
        if layer.irregularity is not None
    ]
    findings = [
        f"{name_layer(index, layer)} {IRREGULARITIES[code]}"
        + (f" ({layer.irregularity_detail})" if layer.irregularity_detail else "")
        for index, layer, code in irregular
    ]
    codes = dict.fromkeys(code for _, _, code in irregular)
    return CheckResult.judged(
        "ordinary-layers",
        "Ordinary layers",
        passed=not irregular,
        observed=_listing(findings) if irregular else "only ordinary layers",
        expected="every layer exactly one of torch.nn, used once, with nothing attached to it",
        next_step="; ".join(_REMEDIES[code] for code in codes),
    )


def name_layer(index: int, layer: LayerSpec) -> str:
    """Return a layer's name for messages: "layer 3 (Tanh)", with its path if that adds anything."""
    path = "" if layer.path == str(index) else f', "{layer.path}" in your model'
    return f"layer {index} ({layer.kind}{path})"


def find_output_activation(model: ModelSpec) -> tuple[int, LayerSpec] | None:
    """Return the activation that makes something else of a classifier's scores, with its index.

    A model with a single output is no classifier.
    """
    linear = [layer for _, layer in model.linear_layers()]
    working = [entry for entry in enumerate(model.layers) if entry[1].kind != "Identity"]
    is_classifier = not linear or linear[-1].arguments.get("out_features") != 1
    if is_classifier and working and working[-1][1].kind in (*ACTIVATIONS, *SOFTMAXES):
        return working[-1]
    return None


def _name_layers(model: ModelSpec, kinds: Sequence[str]) -> list[str]:
    return [
        name_layer(index, layer) for index, layer in enumerate(model.layers) if layer.kind in kinds
    ]


def _places(named: Sequence[str]) -> str:
    """Return ": " and the layers behind their number, or "" if there are none."""
    return f": {_listing(named)}" if named else ""


def _check_parameters(check_id: str, model: ModelSpec, cap: int, *, strictly: bool) -> CheckResult:
    counts = [count_layer_parameters(layer) for layer in model.layers]
    excess = sum(counts) - (cap - 1 if strictly else cap)
    largest = sorted(range(len(counts)), key=lambda index: -counts[index])[:3]
    shares = [
        f"{name_layer(index, model.layers[index])} with {counts[index]:,}"
        for index in largest
        if counts[index] > 0
    ]
    return CheckResult.judged(
        check_id,
        "Parameters",
        passed=excess <= 0,
        observed=_count(sum(counts), "parameter"),
        expected=f"{'fewer than' if strictly else 'at most'} {_count(cap, 'parameter')}",
        next_step=(f"remove at least {excess:,}; the layers with the most are {_listing(shares)}"),
    )


def _describe_hidden_units(units: list[int]) -> str:
    if not units:
        return "no hidden layer, so 0 hidden units"
    if len(units) == 1:
        return f"the hidden layer has {_count(units[0], 'unit')}"
    terms = " + ".join(f"{count:,}" for count in units)
    return f"the hidden layers have {terms} = {_count(sum(units), 'unit')}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _listing(names: Sequence[str]) -> str:
    """Join names for a sentence: "a, b and c", or "a, b and 7 more"."""
    shown = list(names[:_LAYERS_NAMED])
    if len(names) > _LAYERS_NAMED:
        shown.append(f"{len(names) - _LAYERS_NAMED} more")
    return " and ".join(filter(None, (", ".join(shown[:-1]), *shown[-1:])))


def _kind_mistakes(value: str | tuple[str, ...]) -> list[str]:
    kinds = value if isinstance(value, tuple) else (value,)
    if not kinds:
        return ["must name at least one layer kind"]
    return [
        f"{kind!r} is not a layer that this grader knows{did_you_mean(kind, LAYER_KINDS)}"
        for kind in kinds
        if kind not in LAYER_KINDS
    ]
