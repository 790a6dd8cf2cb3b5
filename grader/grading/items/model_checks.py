"""Check a model before it is trained: what was handed in, by the rules, at a cost that is bounded.

Every check that can run does run, so that a student sees all that is wrong at once. Training
follows only where none failed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import msgspec

from grader.assignment.constraints import Constraint, check_ordinary_layers
from grader.assignment.records import ModelItem, TruthTableItem
from grader.errors import ModelError
from grader.grading.items.chance import check_training_choice
from grader.grading.items.hints import find_hints, hints_for_recipe, hints_from_notes
from grader.models.build import count_multiply_adds, trace_shapes
from grader.models.spec import (
    ModelSpec,
    OptimizerSpec,
    SchedulerSpec,
    count_layer_parameters,
    default_optimizer,
)
from grader.questions import Extraction, Failure
from grader.results import CheckResult, Hint, LayerRow, Outcome, RecipeReport
from grader.training.job import TrainingJob

_KINDS_WITH_A_PHASE = frozenset({"exception", "exit", "crash", "limit", "protocol"})
"""Failures whose message does not say by itself what was being done."""

Shapes = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, kw_only=True)
class CheckedModel:
    """A model after its static checks.

    Attributes:
        checks: all of them, in the order a student should read them.
        shapes: each layer's output shape without the batch dimension; empty if the dry run failed.
        input_shape: the shape of one example that the model takes.
        job: the training to do, with the seed still to be set; None if a check failed.
        multiply_adds: of one training run, forward passes only.
    """

    checks: tuple[CheckResult, ...]
    hints: tuple[Hint, ...] = ()
    notes: tuple[str, ...] = ()
    architecture: tuple[LayerRow, ...] = ()
    model: ModelSpec | None = None
    shapes: Shapes = ()
    input_shape: tuple[int, ...] = ()
    recipe: RecipeReport | None = None
    job: TrainingJob | None = None
    multiply_adds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return all(check.outcome is Outcome.PASSED for check in self.checks)


def check_answered(extraction: Extraction, function: str) -> CheckResult:
    """Whether the sandbox got an answer out of the student's function at all."""
    title = f"{function}() can be called"
    if extraction.failure:
        return describe_failure(extraction.failure, check_id="called", title=title)
    return CheckResult(
        id="called",
        title=title,
        outcome=Outcome.PASSED,
        observed="it returned",
        location=extraction.location,
    )


def describe_failure(failure: Failure, *, check_id: str, title: str) -> CheckResult:
    """A failure of the student's code as a failed check."""
    return CheckResult(
        id=check_id,
        title=title,
        outcome=Outcome.FAILED,
        observed=f"{failure.phase}: {failure.message}"
        if failure.kind in _KINDS_WITH_A_PHASE
        else failure.message,
        next_step=failure.next_step,
        location=failure.location,
        details=failure.traceback,
    )


def check_structure(
    item: ModelItem | TruthTableItem,
    extraction: Extraction,
    *,
    input_shapes: tuple[tuple[int, ...], ...],
    outputs: int,
) -> CheckedModel:
    """Check what needs no recipe: the layers, the assignment's constraints, input and output."""
    function = extraction.question.function
    called = check_answered(extraction, function)
    extracted = extraction.model
    if extracted is None:
        return CheckedModel(checks=(called,), hints=hints_from_notes(extraction.notes))
    model = _without_harmless_irregularities(extracted.model, trained=isinstance(item, ModelItem))
    ordinary = check_ordinary_layers(model)
    checks = [called, ordinary, *(_apply(constraint, model) for constraint in item.constraints)]
    shapes: Shapes = ()
    input_shape = input_shapes[0]
    if ordinary.outcome is Outcome.PASSED:
        fit, input_shape, shapes = _check_fit(model, input_shapes, outputs)
    else:
        fit = _skipped("fit", "Input and output", "the layers above must be ordinary ones first")
    checks.append(fit)
    return CheckedModel(
        checks=tuple(
            replace(check, location=check.location or extracted.location) for check in checks
        ),
        hints=(
            *find_hints(model, extracted.location),
            *hints_from_notes(extraction.notes),
        ),
        architecture=tabulate_layers(model, shapes),
        model=model,
        shapes=shapes,
        input_shape=input_shape,
    )


def _without_harmless_irregularities(model: ModelSpec, *, trained: bool) -> ModelSpec:
    """The model without what changes nothing: the grader sets modes itself, and where nothing is
    trained, nothing depends on what could be.
    """
    harmless = {"evaluation"} if trained else {"evaluation", "frozen"}
    layers = tuple(
        msgspec.structs.replace(layer, irregularity=None, irregularity_detail="")
        if layer.irregularity in harmless
        else layer
        for layer in model.layers
    )
    return replace(model, layers=layers)


def check_model(
    item_id: str,
    item: ModelItem,
    extraction: Extraction,
    *,
    dataset: str,
    train_examples: int,
    multiply_adds_left: float,
    seeds: int,
) -> CheckedModel:
    """All static checks of a model that is to be trained.

    Args:
        item_id: for messages about the budget.
        item: the model item.
        extraction: what the sandbox gave for it.
        dataset: the name of the data set to train on.
        train_examples: its size.
        multiply_adds_left: what of the submission's budget of training work is not spoken for.
        seeds: how many times the model may have to be trained.
    """
    checked = check_structure(
        item, extraction, input_shapes=item.input_shapes, outputs=item.classes
    )
    extracted, model = extraction.model, checked.model
    if extracted is None or model is None:
        return checked
    failures = dict(extracted.failures)
    optimizer, optimizer_check, notes = _choose_optimizer(
        item, model, extracted.optimizer, failures.get("optimizer")
    )
    checks = [*checked.checks, optimizer_check]
    if "scheduler" in failures:
        title = f"{item.scheduler}() gives a scheduler"
        checks.append(describe_failure(failures["scheduler"], check_id="scheduler", title=title))
    epochs, batch_size = item.recipe.epochs, item.recipe.batch_size
    if "training" in failures:
        title = f"{item.training}() gives a recipe"
        checks.append(describe_failure(failures["training"], check_id="recipe", title=title))
    elif extracted.training is not None:
        choice = check_training_choice(extracted.training, item.recipe)
        epochs, batch_size = choice.epochs, choice.batch_size
        checks.append(choice.check)
    multiply_adds = 0.0
    if checked.shapes:
        per_example = count_multiply_adds(model, checked.shapes)
        multiply_adds = float(per_example) * train_examples * epochs
        checks.append(_check_work(item_id, multiply_adds * seeds, multiply_adds_left))
    checked = replace(
        checked,
        checks=tuple(
            replace(check, location=check.location or extracted.location) for check in checks
        ),
        hints=(
            *checked.hints,
            *hints_for_recipe(
                optimizer, extracted.location, scheduler=extracted.scheduler, epochs=epochs
            ),
        ),
        notes=(*checked.notes, *notes),
        recipe=RecipeReport(
            epochs=epochs,
            batch_size=batch_size,
            optimizer=_describe_optimizer(optimizer),
            scheduler=_describe_scheduler(extracted.scheduler),
        ),
        multiply_adds=multiply_adds,
    )
    if not checked.passed:
        return checked
    job = TrainingJob(
        model=model,
        optimizer=optimizer,
        scheduler=extracted.scheduler,
        epochs=epochs,
        batch_size=batch_size,
        seed=0,
        dataset=dataset,
        input_shape=checked.input_shape,
        stop_at_accuracy=None,
        counted_epoch=item.threshold.epoch,
    )
    return replace(checked, job=job)


def _apply(constraint: Constraint, model: ModelSpec) -> CheckResult:
    try:
        return constraint.check(model)
    except ModelError as error:
        # An irregular layer may lack the arguments that a constraint counts by.
        return _skipped("constraint", type(constraint).__name__, str(error))


def _skipped(check_id: str, title: str, reason: str) -> CheckResult:
    return CheckResult(id=check_id, title=title, outcome=Outcome.SKIPPED, observed=reason)


def _check_fit(
    model: ModelSpec, input_shapes: tuple[tuple[int, ...], ...], outputs: int
) -> tuple[CheckResult, tuple[int, ...], Shapes]:
    """Feed each shape allowed through the model without computing anything."""
    title = "Input and output"
    wanted = " or ".join(str(shape) for shape in input_shapes)
    expected = f"takes one example of shape {wanted} and gives {outputs} numbers"
    furthest: ModelError | None = None
    for shape in input_shapes:
        try:
            shapes = trace_shapes(model, shape)
        except ModelError as error:
            if furthest is None or (error.layer_index or 0) > (furthest.layer_index or 0):
                furthest = error
            continue
        output = shapes[-1] if shapes else shape
        observed = f"takes {shape} and gives {output}"
        if output == (outputs,):
            check = CheckResult(
                id="fit",
                title=title,
                outcome=Outcome.PASSED,
                observed=observed,
                expected=expected,
            )
            return check, shape, shapes
        last = "end the model in a Linear layer" if len(output) == 1 else "flatten before the last"
        furthest = ModelError(
            f"the model {observed}",
            next_step=f"{last} so that each example gives {outputs} numbers",
        )
        break
    check = CheckResult(
        id="fit",
        title=title,
        outcome=Outcome.FAILED,
        observed=str(furthest),
        expected=expected,
        next_step=furthest.next_step if furthest else "",
    )
    return check, input_shapes[0], ()


def _choose_optimizer(
    item: ModelItem,
    model: ModelSpec,
    optimizer: OptimizerSpec | None,
    failure: Failure | None,
) -> tuple[OptimizerSpec, CheckResult, tuple[str, ...]]:
    title = f"{item.optimizer}() gives an optimiser"
    default = default_optimizer(model)
    if failure:
        return default, describe_failure(failure, check_id="optimizer", title=title), ()
    if optimizer is None:
        note = f"{item.optimizer}() is not defined: Adam with a learning rate of 0.001 is used."
        passed = CheckResult(
            id="optimizer", title=title, outcome=Outcome.PASSED, observed="left out: Adam, lr=0.001"
        )
        return default, passed, (note,)
    if any(group.settings.get("maximize") for group in optimizer.groups):
        refused = CheckResult(
            id="optimizer",
            title=title,
            outcome=Outcome.FAILED,
            observed=f"{optimizer.kind} with maximize=True, which climbs the loss",
            expected="an optimiser that minimises the loss",
            next_step="leave maximize out",
        )
        return optimizer, refused, ()
    passed = CheckResult(
        id="optimizer",
        title=title,
        outcome=Outcome.PASSED,
        observed=_describe_optimizer(optimizer)[0],
    )
    return optimizer, passed, ()


def _check_work(item_id: str, multiply_adds: float, left: float) -> CheckResult:
    title = "Training work"
    observed = f"up to {multiply_adds / 1e9:,.0f} billion multiply-adds over all seeds"
    expected = f"at most {left / 1e9:,.0f} billion, what is left of the submission's budget"
    if multiply_adds <= left:
        return CheckResult(
            id="work", title=title, outcome=Outcome.PASSED, observed=observed, expected=expected
        )
    return CheckResult(
        id="work",
        title=title,
        outcome=Outcome.FAILED,
        observed=f"{item_id} needs {observed}",
        expected=expected,
        next_step="make the model smaller (fewer channels, an earlier pooling) or train it for "
        "fewer epochs",
    )


def tabulate_layers(model: ModelSpec, shapes: Shapes) -> tuple[LayerRow, ...]:
    """The architecture as a table; hidden units are those of every Linear but the last."""
    linear = [index for index, _ in model.linear_layers()]
    rows = []
    for index, layer in enumerate(model.layers):
        ordinary = layer.irregularity != "unknown"
        counted = ordinary and index in linear[:-1]
        rows.append(
            LayerRow(
                index=index,
                path=layer.path,
                description=layer.describe(),
                output_shape=shapes[index] if shapes else (),
                parameters=count_layer_parameters(layer) if layer.arguments else 0,
                hidden_units=layer.integer("out_features") if counted and layer.arguments else 0,
            )
        )
    return tuple(rows)


def _describe_optimizer(optimizer: OptimizerSpec) -> tuple[str, ...]:
    lines = []
    for group in optimizer.groups:
        settings = ", ".join(
            f"{name}={value}" for name, value in group.settings.items() if value is not False
        )
        text = f"{optimizer.kind}({settings})"
        if len(optimizer.groups) > 1:
            text += f" for {', '.join(group.parameters)}"
        lines.append(text)
    return tuple(lines)


def _describe_scheduler(scheduler: SchedulerSpec | None) -> str:
    if scheduler is None:
        return ""
    settings = ", ".join(f"{name}={value}" for name, value in scheduler.arguments.items())
    return f"{scheduler.kind}({settings}), stepped once an epoch"
