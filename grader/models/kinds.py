"""The table of known layers, optimisers and schedulers, with the ranges of their arguments.

Both sides of the sandbox use the table: the worker reads exactly these attributes from a student's
objects, and the grader accepts exactly these arguments. Only the standard library is imported.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Literal

ArgumentType = Literal["integer", "number", "numbers", "boolean", "integers", "choice"]


@dataclass(frozen=True, kw_only=True)
class Argument:
    """One constructor argument and the values it may take.

    Attributes:
        name: of the argument in PyTorch's constructor, and of the attribute that holds it;
            "bias" is True if the layer has that parameter.
        type: "integers" is one integer or a list of at most `length`; "numbers" is a list of
            exactly `length` numbers.
        minimum, maximum: inclusive; for lists, of each value.
        length: of a list.
        choices: allowed strings; for "integers" as an alternative to a number.
        optional: None is allowed.
    """

    name: str
    type: ArgumentType
    minimum: float = -inf
    maximum: float = inf
    length: int = 0
    choices: tuple[str, ...] = ()
    optional: bool = False


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One class of PyTorch that can be described: its name and its constructor arguments."""

    name: str
    arguments: tuple[Argument, ...] = ()


MAXIMUM_SIZE = 10_000_000
"""The largest single size (features, channels, kernel), far above any parameter cap."""


def _size(name: str) -> Argument:
    return Argument(name=name, type="integer", minimum=1, maximum=MAXIMUM_SIZE)


def _flag(name: str) -> Argument:
    return Argument(name=name, type="boolean")


def _number(name: str, minimum: float = -1e6, maximum: float = 1e6) -> Argument:
    return Argument(name=name, type="number", minimum=minimum, maximum=maximum)


def _sizes(name: str, length: int, minimum: int = 1, *choices: str) -> Argument:
    return Argument(
        name=name,
        type="integers",
        minimum=minimum,
        maximum=4096,
        length=length,
        choices=choices,
    )


def _convolution(dimensions: int) -> Kind:
    return Kind(
        name=f"Conv{dimensions}d",
        arguments=(
            _size("in_channels"),
            _size("out_channels"),
            _sizes("kernel_size", dimensions),
            _sizes("stride", dimensions),
            _sizes("padding", dimensions, 0, "same", "valid"),
            _sizes("dilation", dimensions),
            _size("groups"),
            _flag("bias"),
            Argument(
                name="padding_mode",
                type="choice",
                choices=("zeros", "reflect", "replicate", "circular"),
            ),
        ),
    )


def _max_pool(dimensions: int) -> Kind:
    return Kind(
        name=f"MaxPool{dimensions}d",
        arguments=(
            _sizes("kernel_size", dimensions),
            _sizes("stride", dimensions),
            _sizes("padding", dimensions, 0),
            _sizes("dilation", dimensions),
            _flag("ceil_mode"),
        ),
    )


def _average_pool(dimensions: int) -> Kind:
    return Kind(
        name=f"AvgPool{dimensions}d",
        arguments=(
            _sizes("kernel_size", dimensions),
            _sizes("stride", dimensions),
            _sizes("padding", dimensions, 0),
            _flag("ceil_mode"),
            _flag("count_include_pad"),
        ),
    )


def _batch_norm(name: str) -> Kind:
    return Kind(
        name=name,
        arguments=(
            _size("num_features"),
            _number("eps", 0.0, 1.0),
            Argument(name="momentum", type="number", minimum=0.0, maximum=1.0, optional=True),
            _flag("affine"),
            _flag("track_running_stats"),
            _flag("bias"),
        ),
    )


def _by_name(*kinds: Kind) -> dict[str, Kind]:
    return {kind.name: kind for kind in kinds}


_DIMENSION = Argument(name="dim", type="integer", minimum=-8, maximum=8, optional=True)
_PROBABILITY = _number("p", 0.0, 1.0)
_INPLACE = _flag("inplace")

LAYER_KINDS: dict[str, Kind] = _by_name(
    Kind(name="Linear", arguments=(_size("in_features"), _size("out_features"), _flag("bias"))),
    _convolution(1),
    _convolution(2),
    _max_pool(1),
    _max_pool(2),
    _average_pool(1),
    _average_pool(2),
    Kind(name="AdaptiveAvgPool1d", arguments=(_sizes("output_size", 1),)),
    Kind(name="AdaptiveAvgPool2d", arguments=(_sizes("output_size", 2),)),
    Kind(name="AdaptiveMaxPool1d", arguments=(_sizes("output_size", 1),)),
    Kind(name="AdaptiveMaxPool2d", arguments=(_sizes("output_size", 2),)),
    Kind(
        name="ConvTranspose2d",
        arguments=(
            _size("in_channels"),
            _size("out_channels"),
            _sizes("kernel_size", 2),
            _sizes("stride", 2),
            _sizes("padding", 2, 0),
            _sizes("output_padding", 2, 0),
            _sizes("dilation", 2),
            _size("groups"),
            _flag("bias"),
        ),
    ),
    Kind(name="ZeroPad2d", arguments=(_sizes("padding", 4, 0),)),
    _batch_norm("BatchNorm1d"),
    _batch_norm("BatchNorm2d"),
    _batch_norm("InstanceNorm1d"),
    _batch_norm("InstanceNorm2d"),
    Kind(
        name="GroupNorm",
        arguments=(
            _size("num_groups"),
            _size("num_channels"),
            _number("eps", 0.0, 1.0),
            _flag("affine"),
            _flag("bias"),
        ),
    ),
    Kind(
        name="LayerNorm",
        arguments=(
            _sizes("normalized_shape", 4),
            _number("eps", 0.0, 1.0),
            _flag("elementwise_affine"),
            _flag("bias"),
        ),
    ),
    Kind(
        name="RMSNorm",
        arguments=(
            _sizes("normalized_shape", 4),
            Argument(name="eps", type="number", minimum=0.0, maximum=1.0, optional=True),
            _flag("elementwise_affine"),
        ),
    ),
    Kind(
        name="LocalResponseNorm",
        arguments=(
            _size("size"),
            _number("alpha"),
            _number("beta"),
            _number("k"),
        ),
    ),
    Kind(name="AlphaDropout", arguments=(_PROBABILITY, _INPLACE)),
    Kind(name="Dropout", arguments=(_PROBABILITY, _INPLACE)),
    Kind(name="Dropout1d", arguments=(_PROBABILITY, _INPLACE)),
    Kind(name="Dropout2d", arguments=(_PROBABILITY, _INPLACE)),
    Kind(name="ReLU", arguments=(_INPLACE,)),
    Kind(name="ReLU6", arguments=(_INPLACE,)),
    Kind(name="LeakyReLU", arguments=(_number("negative_slope"), _INPLACE)),
    Kind(name="ELU", arguments=(_number("alpha"), _INPLACE)),
    Kind(name="SELU", arguments=(_INPLACE,)),
    Kind(name="SiLU", arguments=(_INPLACE,)),
    Kind(
        name="GELU",
        arguments=(Argument(name="approximate", type="choice", choices=("none", "tanh")),),
    ),
    Kind(name="Sigmoid"),
    Kind(name="Tanh"),
    Kind(name="PReLU", arguments=(_size("num_parameters"), _number("init"))),
    # PyTorch refuses an alpha of 0.
    Kind(name="CELU", arguments=(_number("alpha", 1e-6), _INPLACE)),
    Kind(name="Mish", arguments=(_INPLACE,)),
    Kind(name="Hardswish", arguments=(_INPLACE,)),
    Kind(name="Hardsigmoid", arguments=(_INPLACE,)),
    Kind(name="Hardtanh", arguments=(_number("min_val"), _number("max_val"), _INPLACE)),
    Kind(name="Softsign"),
    Kind(name="LogSigmoid"),
    Kind(name="Softplus", arguments=(_number("beta"), _number("threshold"))),
    Kind(name="Softmax", arguments=(_DIMENSION,)),
    Kind(name="LogSoftmax", arguments=(_DIMENSION,)),
    Kind(
        name="Flatten",
        arguments=(
            Argument(name="start_dim", type="integer", minimum=-8, maximum=8),
            Argument(name="end_dim", type="integer", minimum=-8, maximum=8),
        ),
    ),
    Kind(
        name="Unflatten",
        arguments=(
            Argument(name="dim", type="integer", minimum=-8, maximum=8),
            Argument(
                name="unflattened_size",
                type="integers",
                minimum=-1,
                maximum=MAXIMUM_SIZE,
                length=4,
            ),
        ),
    ),
    Kind(name="Identity"),
)
"""Every layer of `torch.nn` that the grader can rebuild. An assignment allows fewer."""

_LEARNING_RATE = _number("lr", 0.0, 1e3)
_WEIGHT_DECAY = _number("weight_decay", 0.0, 1e3)
_EPSILON = _number("eps", 0.0, 1.0)
_MOMENTUM = _number("momentum", 0.0, 1.0)
_BETAS = Argument(name="betas", type="numbers", minimum=0.0, maximum=1.0, length=2)
_MAXIMIZE = _flag("maximize")
_DECOUPLED = _flag("decoupled_weight_decay")

DEFAULT_LEARNING_RATE = 1e-3
"""Of the Adam that trains a model whose student declares no optimiser."""

OPTIMIZER_KINDS: dict[str, Kind] = _by_name(
    Kind(
        name="SGD",
        arguments=(
            _LEARNING_RATE,
            _MOMENTUM,
            _number("dampening", 0.0, 1.0),
            _WEIGHT_DECAY,
            _flag("nesterov"),
            _MAXIMIZE,
        ),
    ),
    *(
        Kind(
            name=name,
            arguments=(
                _LEARNING_RATE,
                _BETAS,
                _EPSILON,
                _WEIGHT_DECAY,
                _flag("amsgrad"),
                _MAXIMIZE,
            ),
        )
        for name in ("Adam", "AdamW")
    ),
    Kind(
        name="NAdam",
        arguments=(
            _LEARNING_RATE,
            _BETAS,
            _EPSILON,
            _WEIGHT_DECAY,
            _number("momentum_decay", 0.0, 1.0),
            _DECOUPLED,
            _MAXIMIZE,
        ),
    ),
    Kind(
        name="RAdam",
        arguments=(_LEARNING_RATE, _BETAS, _EPSILON, _WEIGHT_DECAY, _DECOUPLED, _MAXIMIZE),
    ),
    Kind(name="Adamax", arguments=(_LEARNING_RATE, _BETAS, _EPSILON, _WEIGHT_DECAY, _MAXIMIZE)),
    Kind(
        name="Adagrad",
        arguments=(
            _LEARNING_RATE,
            _number("lr_decay", 0.0, 1e3),
            _WEIGHT_DECAY,
            _number("initial_accumulator_value", 0.0, 1e6),
            _EPSILON,
            _MAXIMIZE,
        ),
    ),
    Kind(
        name="Adadelta",
        arguments=(_LEARNING_RATE, _number("rho", 0.0, 1.0), _EPSILON, _WEIGHT_DECAY, _MAXIMIZE),
    ),
    Kind(
        name="RMSprop",
        arguments=(
            _LEARNING_RATE,
            _number("alpha", 0.0, 1.0),
            _EPSILON,
            _WEIGHT_DECAY,
            _MOMENTUM,
            _flag("centered"),
            _MAXIMIZE,
        ),
    ),
)
"""The optimisers of `torch.optim` that need neither a closure nor sparse gradients.

`maximize` is in the table so that a check can refuse it with a reason: it climbs the loss.
"""

_GAMMA = _number("gamma", 0.0, 10.0)

SCHEDULER_KINDS: dict[str, Kind] = _by_name(
    Kind(name="StepLR", arguments=(_size("step_size"), _GAMMA)),
    Kind(
        name="MultiStepLR",
        arguments=(
            Argument(
                name="milestones", type="integers", minimum=0, maximum=MAXIMUM_SIZE, length=64
            ),
            _GAMMA,
        ),
    ),
    Kind(name="ExponentialLR", arguments=(_GAMMA,)),
    Kind(name="CosineAnnealingLR", arguments=(_size("T_max"), _number("eta_min", 0.0, 1e3))),
)
"""The learning-rate schedulers that step once an epoch and need only numbers."""

IRREGULARITIES: dict[str, str] = {
    "subclass": "is a class of its own and not exactly a layer of torch.nn",
    "unknown": "is a layer that this grader does not know",
    "shared": "is the same object as an earlier layer, so the two share their weights",
    "hook": "has a hook registered on it",
    "parametrization": "has a parametrisation (torch.nn.utils.parametrize) on a weight",
    "override": "has an attribute set on the instance that replaces a method of its class",
    "frozen": "has parameters with requires_grad=False",
    "dtype": "has parameters that are not float32",
    "device": "has parameters that are not on the CPU",
    "lazy": "has parameters that are not initialised yet",
    "parameters": "has parameters or buffers that its class does not declare",
    "evaluation": "was left in evaluation mode",
}
"""The ways in which a layer can differ from what its class and arguments say, by code."""
