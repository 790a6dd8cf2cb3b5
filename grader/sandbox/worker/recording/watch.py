"""Write down what a program trains: each optimiser's first step, and every epoch after it."""

from __future__ import annotations

import math
import sys
import types
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.optim import lr_scheduler

from grader.sandbox.protocol import WorkerLimits
from grader.sandbox.worker.describe_model import DescribedModel, describe_model
from grader.sandbox.worker.describe_training import describe_optimizer, describe_scheduler
from grader.sandbox.worker.failures import (
    Line,
    StudentError,
    explain_exception,
    find_line,
    line_of,
)
from grader.sandbox.worker.initialisation import InitialisationWatch
from grader.sandbox.worker.recording import normalisation
from grader.sandbox.worker.recording.devices import unwrap
from grader.sandbox.worker.recording.loaders import Counts
from grader.sandbox.worker.recording.loops import Loop, Loops

MAXIMUM_TRAININGS = 100
MAXIMUM_LOOPS = 100
MAXIMUM_NAMES = 50
MAXIMUM_COUNT = 1_000_000_000
MAXIMUM_DIMENSIONS = 6
MAXIMUM_LOSS = 200
MAXIMUM_BATCHES = 50
_PHASE = "training"
# Attributes that an optimiser gets. PyTorch neither saves nor copies them.
_TRAINING, _SERIAL, _SCHEDULER, _DECLARED = (
    f"_grader_{name}" for name in ("training", "serial", "scheduler", "declared")
)

# The losses of torch.nn by the functions that compute them.
_LOSSES = {
    "cross_entropy": "CrossEntropyLoss",
    "nll_loss": "NLLLoss",
    "mse_loss": "MSELoss",
    "l1_loss": "L1Loss",
    "smooth_l1_loss": "SmoothL1Loss",
    "huber_loss": "HuberLoss",
    "kl_div": "KLDivLoss",
    "binary_cross_entropy": "BCELoss",
    "binary_cross_entropy_with_logits": "BCEWithLogitsLoss",
    "multi_margin_loss": "MultiMarginLoss",
    "multilabel_soft_margin_loss": "MultiLabelSoftMarginLoss",
    "hinge_embedding_loss": "HingeEmbeddingLoss",
    "soft_margin_loss": "SoftMarginLoss",
}


@dataclass(kw_only=True, eq=False)
class Training:
    """One training; the fields of `models.recording.RecordedTraining`, and what leads to them.

    Nothing here keeps a model alive: a sweep makes many.

    Attributes:
        model: returns the model, or None if it is unknown or gone.
        fields: those that the first step decides.
        serial: of the optimiser; see `Loop.serial`.
        by_loop: epochs of each outer loop or statement, in their order.
        rates: learning rates at the first step.
    """

    model: Callable[[], Any]
    fields: dict[str, Any]
    serial: int
    rates: list[float]
    failures: dict[str, dict[str, str]] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    by_loop: dict[object, float] = field(default_factory=dict)
    has_scheduler: bool = False
    scheduler_fields: dict[str, Any] | None = None
    scheduler_steps: int = 0
    steps_scheduler_in_batch: bool = False
    observed: float = 0.0  # epochs that were seen, not only declared
    examples: int = 0  # of a program without a data loader; 0 if unknown
    passes: weakref.WeakSet[Any] = field(default_factory=weakref.WeakSet)

    @property
    def epochs(self) -> float:
        """Epochs so far; those without a data loader may be parts."""
        return sum(self.by_loop.values())


@dataclass(kw_only=True)
class Recorder:
    """Watch a program; `trainings` are in the order of their first steps."""

    submission: Path
    limits: WorkerLimits
    initialisation: InitialisationWatch
    counts: Counts
    loops: Loops
    namespace: dict[str, Any]
    trainings: list[Training] = field(default_factory=list)
    statement: Line | None = None
    stepped: set[int] = field(default_factory=set)  # trainings, in this statement
    steps_before: int = 0  # at the beginning of this statement
    on_failure: Callable[[StudentError], None] = lambda _: None
    modules: dict[int, weakref.ref[nn.Module]] = field(default_factory=dict)
    depth: int = 0
    batches: dict[int, torch.Tensor] = field(default_factory=dict)  # the last one of each model
    batch: torch.Tensor | None = None  # the last one of any model
    loss: str = ""

    def start(self) -> None:
        """Change PyTorch in this process, so that the program is watched."""
        self.loops.on_begin = self._begin_loop
        self.loops.on_end = self._end_loop
        self.loops.has_trained = lambda: self.counts.steps > self.steps_before
        self._watch_modules()
        self._watch_losses()
        self._watch_optimizers()
        self._watch_schedulers()

    def begin_statement(self, line: Line) -> None:
        """Note the statement at top level that runs now."""
        self.statement = line
        self.steps_before = self.counts.steps
        self.stepped.clear()
        self.loops.begin_statement()

    def end_statement(self) -> None:
        """Note the names that the models of this statement have now."""
        self.loops.end_statement()
        if self.loops.cut_whiles:
            self.on_failure(
                StudentError(
                    "limit",
                    "A while loop that trains was ended before its condition did.",
                    "What it had trained until then counts. Give the number of epochs by range().",
                    location=str(self.statement or ""),
                )
            )
        if self.loops.cut_sweeps:
            self.on_failure(
                StudentError(
                    "limit",
                    "A loop over several trainings took too long and was ended early.",
                    "Its last trainings are not known. Put the training that counts after it.",
                    location=str(self.statement or ""),
                )
            )
        for training in self.trainings:
            model = training.model()
            if id(training) in self.stepped and model is not None:
                known = dict.fromkeys((*training.names, *self._names_of(model)))
                training.names = tuple(known)[:MAXIMUM_NAMES]

    def to_list(self) -> list[dict[str, Any]]:
        """Return the fields of `models.recording.RecordedTraining` of every training."""
        return [_to_dict(training) for training in list(self.trainings)]

    def on_step(self, optimizer: Any) -> None:
        """Count a step, and describe the training at its first."""
        self.counts.steps += 1
        training = optimizer.__dict__.get(_TRAINING) or self._begin(optimizer)
        if training is None:
            return
        self.stepped.add(id(training))
        self._count_step(training)
        if not training.has_scheduler and training.rates != _rates(optimizer):
            explained = StudentError(
                "wrong-value",
                "The learning rate is changed by hand during the training.",
                "Use a scheduler of torch.optim.lr_scheduler; the grader can repeat that.",
                location=str(self._line() or ""),
            )
            training.failures.setdefault("scheduler", explained.to_dict(_PHASE))

    def _count_step(self, training: Training) -> None:
        """Count an epoch for each pass over a loader, and parts of one for other steps."""
        latest = self.counts.trained
        if latest is not None and latest.is_loop:
            if latest not in training.passes:
                training.passes.add(latest)
                size = latest.batch_size or latest.given
                part = size / max(size, latest.examples, 1)
                self._count(training, part if self.loops.counts_batches else 1.0)
            return
        rows = self.batch.shape[0] if self.batch is not None and self.batch.dim() else 1
        if latest is not None and not latest.is_loop and latest.given == rows:
            rows, examples = latest.batch_size or rows, latest.examples
        else:
            training.examples = training.examples or self._count_examples()
            examples = training.examples
        if not examples and (turns := self._inner_turns(training)):
            self._count(training, 1 / turns)
        else:
            self._count(training, rows / max(rows, examples, 1))

    def _line(self) -> Line | None:
        """Return the student's line that runs now."""
        return find_line(sys._getframe(1), self.submission)  # noqa: SLF001 - the caller

    def _begin(self, optimizer: Any) -> Training | None:
        """Describe a training at its first step."""
        model = self._find_model(optimizer)
        training = self._describe(model, optimizer)
        previous = self.trainings[-1] if self.trainings else None
        if (
            previous is not None
            and model is not None
            and previous.model() is model
            and previous.fields["optimizer"] == training.fields["optimizer"]
            and not training.failures
        ):
            # A new optimiser with the same settings, as in a function for one epoch.
            training = previous
        elif len(self.trainings) == MAXIMUM_TRAININGS:
            return None
        else:
            self.trainings.append(training)
            self.loops.begin_training(training.serial)
        optimizer.__dict__[_TRAINING] = training
        scheduler = optimizer.__dict__.get(_SCHEDULER)
        if scheduler is not None:
            self._describe_scheduler(training, scheduler)
        return training

    def _describe(self, model: Any, optimizer: Any) -> Training:
        place = self._line() or self.statement
        statement = self.statement or place
        if place is None or statement is None:
            place = statement = Line(file="?", cell=0, line=1)
        latest, batch = self.counts.trained, self._batch_of(model)
        described, failure = None, None
        failures: dict[str, dict[str, str]] = {}
        if model is None:
            failure = StudentError(
                "wrong-value",
                "The optimiser's parameters are those of no single model.",
                "Give the optimiser the parameters of one model.",
            ).to_dict(_PHASE)
        else:
            described, failure = self._attempt(
                lambda: describe_model(
                    model, "The model is", self.limits, self.submission, _example(batch)
                )
            )
        optimizer_fields = None
        if described is not None:
            optimizer_fields, mistake = self._attempt(
                lambda: _describe_declared(optimizer, described)
            )
            if mistake is not None:
                failures["optimizer"] = mistake
        own: Line | None = None
        if described is not None:
            is_own, line = self.initialisation.find(layer for _, layer in described.modules)
            own = (line or statement) if is_own else None
        dataset = latest.loader.dataset if latest is not None else None
        found = normalisation.find(dataset, batch)
        shape = tuple(batch.shape[1:]) if batch is not None else ()
        rows = batch.shape[0] if batch is not None and batch.dim() else 0
        fields = {
            "place": place.to_dict(),
            "statement": statement.to_dict(),
            "class_name": described.class_name if described is not None else "",
            "layers": described.layers if described is not None else [],
            "failure": failure,
            "own_initialisation": None if own is None else own.to_dict(),
            "optimizer": optimizer_fields,
            "loss": self.loss[:MAXIMUM_LOSS],
            "batch_size": _count(latest.batch_size if latest is not None else rows),
            "mean": list(found.mean),
            "std": list(found.std),
            "scaled_twice": found.scaled_twice,
            "flattened": described is not None and described.flattened,
            "input_shape": [_count(size) for size in shape[:MAXIMUM_DIMENSIONS]],
        }
        return Training(
            model=weakref.ref(model) if model is not None else _nothing,
            fields=fields,
            serial=optimizer.__dict__.get(_SERIAL, 0),
            rates=_rates(optimizer),
            failures=failures,
            names=tuple(self._names_of(model)[:MAXIMUM_NAMES]) if model is not None else (),
        )

    def _attempt(self, action: Callable[[], Any]) -> tuple[Any, dict[str, str] | None]:
        """Return what an action returns, and the failure of one that raises.

        The action's own calls of the model do not count as the program's.
        """
        self.depth += 1
        try:
            return action(), None
        except StudentError as error:
            return None, error.to_dict(_PHASE)
        except Exception as error:  # noqa: BLE001 - student code may raise anything
            explained = explain_exception(error, self.submission, self.limits)
            return None, explained.to_dict(_PHASE)
        finally:
            self.depth -= 1

    def _names_of(self, model: Any) -> list[str]:
        """Return the names at top level that are bound to a model now."""
        return [
            name
            for name, value in list(self.namespace.items())
            if isinstance(name, str) and name.isidentifier() and unwrap(value) is model
        ]

    def _batch_of(self, model: Any) -> torch.Tensor | None:
        """Return the last batch that a model was given; any model's if that is unknown."""
        return self.batches.get(id(model), self.batch)

    def _note_batch(self, module: nn.Module, batch: torch.Tensor) -> None:
        """Remember what a model was given; a loss or an activation is no model."""
        if next(module.parameters(), None) is not None:
            if len(self.batches) >= MAXIMUM_BATCHES:
                self.batches.clear()
            self.batches[id(unwrap(module))] = self.batch = batch

    def _find_model(self, optimizer: Any) -> Any:
        """Return the smallest model that has all of the optimiser's parameters.

        A model that the program called goes before a part of it, which a frozen model's optimiser
        has alone. Of several models with the same parameters it is the outermost.
        """
        wanted = {id(each) for group in optimizer.param_groups for each in group["params"]}
        best: tuple[tuple[bool, int, int], Any] | None = None
        for reference in list(self.modules.values()):
            module = reference()
            if module is None or unwrap(module) is not module:
                continue
            try:
                own = {id(parameter) for parameter in module.parameters()}
                size = sum(1 for _ in module.modules())
            except Exception:  # noqa: BLE001, S112 - a module that is not complete
                continue
            if wanted and wanted <= own:
                rank = (id(module) not in self.batches, len(own), -size)
                if best is None or rank < best[0]:
                    best = rank, module
        return best[1] if best is not None else None

    def _count_examples(self) -> int:
        """Return the number of training examples of a program without a data loader.

        It is the largest of the program's arrays that hold examples like the last batch's.
        """
        if self.batch is None:
            return 0
        shape = tuple(self.batch.shape[1:])
        values = list(self.namespace.values())
        frame: types.FrameType | None = sys._getframe(1)  # noqa: SLF001 - the caller
        while frame is not None:
            if line_of(frame.f_code.co_filename, 1, self.submission) is not None:
                values += list(frame.f_locals.values())
            frame = frame.f_back
        sizes = [_shape(value) for value in values if isinstance(value, (torch.Tensor, np.ndarray))]
        found = max((size[0] for size in sizes if size and size[1:] == shape), default=0)
        # A batch itself is no data set, unless it is all there is.
        return found if found > self.batch.shape[0] or len(self.loops.active) < 2 else 0

    def _inner_turns(self, training: Training) -> int:
        """Return the length of the innermost loop, if it lies in another one that trains."""
        inner = [loop for loop in self.loops.active if loop.serial > training.serial]
        return int(inner[-1].length) if len(inner) > 1 and inner[-1].length > 0 else 0

    def _count(self, training: Training, epochs: float) -> None:
        """Add epochs to the outermost loop that is younger than the training's optimiser."""
        key: object = self.statement
        for loop in self.loops.active:
            if not loop.is_data and loop.serial > training.serial:
                key = loop.serial
                break
        if key not in training.by_loop and len(training.by_loop) >= MAXIMUM_LOOPS:
            key = next(reversed(training.by_loop))
        training.by_loop[key] = training.by_loop.get(key, 0.0) + epochs
        training.observed += epochs

    def _begin_loop(self, loop: Loop) -> None:
        loop.epochs_before = {id(training): training.epochs for training in self.trainings}

    def _end_loop(self, loop: Loop) -> None:
        """Count the turns that a loop was declared to have and did not."""
        if loop.is_complete or loop.is_data or not 0 < loop.turns < loop.length:
            return
        for training in self.trainings:
            if training.serial < loop.serial:
                gained = training.epochs - loop.epochs_before.get(id(training), 0.0)
                if gained:
                    missing = gained / loop.turns * (loop.length - loop.turns)
                    key = loop.serial if loop.serial in training.by_loop else None
                    outer = key if key is not None else next(reversed(training.by_loop))
                    training.by_loop[outer] += missing

    def _describe_scheduler(self, training: Training, scheduler: Any) -> None:
        training.has_scheduler = True
        made, failure = self._attempt(
            lambda: describe_scheduler(scheduler, "The scheduler is", scheduler.optimizer)
        )
        training.scheduler_fields = made
        training.failures.pop("scheduler", None)
        if failure is not None:
            training.failures["scheduler"] = failure

    def _on_scheduler(self, scheduler: Any, optimizer: Any) -> None:
        """Note a new scheduler of an optimiser."""
        optimizer.__dict__[_SCHEDULER] = scheduler
        training = optimizer.__dict__.get(_TRAINING)
        if training is not None:
            self._describe_scheduler(training, scheduler)

    def _on_scheduler_step(self, scheduler: Any) -> None:
        optimizer = scheduler.__dict__.get("optimizer")
        training = getattr(optimizer, "__dict__", {}).get(_TRAINING)
        if training is not None:
            training.scheduler_steps += 1
            training.steps_scheduler_in_batch |= any(loop.is_data for loop in self.loops.active)

    def _watch_modules(self) -> None:
        recorder = self
        module_: Any = nn.Module
        usual_init, usual_call = module_.__init__, module_.__call__
        usual_setstate = module_.__setstate__

        def know(module: nn.Module) -> None:
            recorder.modules[id(module)] = weakref.ref(module)

        def init(self: Any, *args: Any, **kwargs: Any) -> None:
            usual_init(self, *args, **kwargs)
            know(self)

        def setstate(self: Any, state: Any) -> None:
            usual_setstate(self, state)
            know(self)

        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            is_outermost = recorder.depth == 0
            if is_outermost and args and isinstance(args[0], torch.Tensor):
                recorder._note_batch(self, args[0])
            recorder.depth += 1
            try:
                return usual_call(self, *args, **kwargs)
            finally:
                recorder.depth -= 1

        module_.__init__, module_.__call__, module_.__setstate__ = init, call, setstate

    def _watch_losses(self) -> None:
        functional_: Any = functional

        def watching(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
            def compute(*args: Any, **kwargs: Any) -> Any:
                result = function(*args, **kwargs)
                if isinstance(result, torch.Tensor) and result.requires_grad:
                    smoothing = kwargs.get("label_smoothing")
                    shown = f"(label_smoothing={smoothing:g})" if smoothing else ""
                    self.loss = f"{_LOSSES[name]}{shown}"
                return result

            return compute

        for name in _LOSSES:
            setattr(functional_, name, watching(name, getattr(functional_, name)))

    def _watch_optimizers(self) -> None:
        recorder = self
        optimizer_: Any = torch.optim.Optimizer
        usual_init = optimizer_.__init__

        def init(self: Any, *args: Any, **kwargs: Any) -> None:
            usual_init(self, *args, **kwargs)
            recorder.counts.optimizers += 1
            self.__dict__[_SERIAL] = recorder.loops.next_serial()
            self.__dict__[_DECLARED] = _rates(self)

        def replace_step(_function: Callable[..., Any]) -> Callable[..., Any]:
            # The weights stay as they are: what comes of a training is computed elsewhere.
            def step(self: Any, closure: Callable[[], Any] | None = None, **_: Any) -> Any:
                with torch.enable_grad():
                    result = closure() if callable(closure) else None
                recorder.on_step(self)
                return result

            return step

        optimizer_.__init__ = init
        # PyTorch passes the step() of every optimiser's class through this function.
        optimizer_.profile_hook_step = staticmethod(replace_step)

    def _watch_schedulers(self) -> None:
        recorder = self
        module: Any = lr_scheduler
        is_inside = False

        def watch_init(usual: Callable[..., None]) -> Callable[..., None]:
            def init(self: Any, optimizer: Any, *args: Any, **kwargs: Any) -> None:
                nonlocal is_inside
                outer, is_inside = is_inside, True
                try:
                    usual(self, optimizer, *args, **kwargs)
                finally:
                    is_inside = outer
                if not is_inside and isinstance(optimizer, torch.optim.Optimizer):
                    recorder._on_scheduler(self, optimizer)

            return init

        def watch_step(usual: Callable[..., Any]) -> Callable[..., Any]:
            def step(self: Any, *args: Any, **kwargs: Any) -> Any:
                nonlocal is_inside
                if not is_inside:
                    recorder._on_scheduler_step(self)
                outer, is_inside = is_inside, True
                try:
                    return usual(self, *args, **kwargs)
                finally:
                    is_inside = outer

            return step

        base = module.LRScheduler
        for kind in {value for value in vars(module).values() if isinstance(value, type)}:
            if issubclass(kind, base):
                for name, watching in (("__init__", watch_init), ("step", watch_step)):
                    if name in vars(kind):
                        setattr(kind, name, watching(vars(kind)[name]))


def _to_dict(training: Training) -> dict[str, Any]:
    loops = [_count(max(1, round(epochs))) for epochs in list(training.by_loop.values())]
    return {
        **training.fields,
        "names": list(training.names),
        "failures": [[role, failure] for role, failure in training.failures.items()],
        "scheduler": training.scheduler_fields,
        "scheduler_steps": _scheduling(training),
        "epochs": _count(sum(loops)),
        "loops": loops,
    }


def _scheduling(training: Training) -> str:
    """Return when the scheduler was stepped; once at the end of a training is never."""
    if training.steps_scheduler_in_batch:
        return "batch"
    return "epoch" if training.scheduler_steps > training.observed / 2 else "never"


def _count(number: float) -> int:
    return int(min(max(0, number), MAXIMUM_COUNT)) if math.isfinite(number) else MAXIMUM_COUNT


def _describe_declared(optimizer: Any, described: DescribedModel) -> dict[str, Any]:
    """Describe an optimiser as it was before a scheduler changed its learning rates."""
    groups, now = optimizer.param_groups, _rates(optimizer)
    declared = optimizer.__dict__.get(_DECLARED)
    is_changed = _SCHEDULER in optimizer.__dict__ and declared and len(declared) == len(groups)
    for group, rate in zip(groups, declared if is_changed else now, strict=False):
        group["lr"] = rate
    try:
        return describe_optimizer(optimizer, "The optimiser is", described)
    finally:
        for group, rate in zip(groups, now, strict=False):
            group["lr"] = rate


def _example(batch: torch.Tensor | None) -> torch.Tensor | None:
    """Return three examples of a batch, a number that no other size has."""
    if batch is None or batch.dim() < 2:
        return None
    return batch.detach()[torch.arange(3) % batch.shape[0]]


def _nothing() -> None:
    """Return None: a reference to a model that is unknown."""


def _rates(optimizer: Any) -> list[float]:
    try:
        return [float(group["lr"]) for group in optimizer.param_groups]
    except (KeyError, TypeError, ValueError):
        return []


def _shape(value: Any) -> tuple[Any, ...]:
    try:
        return tuple(value.shape)
    except Exception:  # noqa: BLE001 - a student's class may raise anything
        return ()
