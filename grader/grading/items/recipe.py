"""Checks of a student's recipe: optimiser, scheduler, epochs and batch size."""

from __future__ import annotations

from dataclasses import dataclass

from grader.assignment.records import ModelItem, Recipe
from grader.grading.items.calls import describe_failure
from grader.grading.items.comparison import format_value
from grader.models.questions import ExtractedModel, PlainMapping, PlainValue
from grader.models.spec import OptimizerSpec, SchedulerSpec, default_optimizer
from grader.results import CheckResult, RecipeReport
from grader.text import did_you_mean
from grader.training.job import TrainingJob


@dataclass(frozen=True, kw_only=True)
class CheckedRecipe:
    """A student's recipe after its checks, with the assignment's values for missing entries."""

    optimizer: OptimizerSpec
    scheduler: SchedulerSpec | None
    epochs: int
    batch_size: int
    checks: tuple[CheckResult, ...]
    notes: tuple[str, ...]


def check_recipe(item: ModelItem, extracted: ExtractedModel) -> CheckedRecipe:
    """Check the parts of the recipe that the student declares."""
    failures = dict(extracted.failures)
    declared = extracted.optimizer
    notes: tuple[str, ...] = ()
    title = f"{item.optimizer}() gives an optimiser"
    if "optimizer" in failures:
        declared = None
        checks = [describe_failure(failures["optimizer"], check_id="optimizer", title=title)]
    else:
        checks = [_check_optimizer(declared, title)]
        if declared is None:
            adam = "Adam with a learning rate of 0.001 is used."
            notes = (f"{item.optimizer}() is not defined: {adam}",)
    if "scheduler" in failures:
        title = f"{item.scheduler}() gives a scheduler"
        checks.append(describe_failure(failures["scheduler"], check_id="scheduler", title=title))
    epochs, batch_size = item.recipe.epochs, item.recipe.batch_size
    if "training" in failures:
        title = f"{item.training}() gives a recipe"
        checks.append(describe_failure(failures["training"], check_id="recipe", title=title))
    elif extracted.training is not None:
        epochs, batch_size, choice = _check_choice(extracted.training, item.recipe)
        checks.append(choice)
    return CheckedRecipe(
        optimizer=declared or default_optimizer(extracted.model),
        scheduler=extracted.scheduler,
        epochs=epochs,
        batch_size=batch_size,
        checks=tuple(checks),
        notes=notes,
    )


def _check_optimizer(optimizer: OptimizerSpec | None, title: str) -> CheckResult:
    climbs = optimizer is not None and any(
        group.settings.get("maximize") for group in optimizer.groups
    )
    if optimizer is None:
        observed = "left out: Adam, lr=0.001"
    elif climbs:
        observed = f"{optimizer.kind} with maximize=True, which climbs the loss"
    else:
        observed = _describe_optimizer(optimizer)[0]
    return CheckResult.judged(
        "optimizer",
        title,
        passed=not climbs,
        observed=observed,
        expected="an optimiser that minimises the loss" if climbs else "",
        next_step="leave maximize out",
    )


def _check_choice(value: PlainValue, recipe: Recipe) -> tuple[int, int, CheckResult]:
    """Return allowed epochs and batch size, and the check of a student's dict of the two.

    The recipe's own values stand in for missing and faulty ones.
    """
    ranges = {
        "epochs": (1, recipe.maximum_epochs),
        "batch_size": (recipe.minimum_batch_size, recipe.maximum_batch_size),
    }
    chosen = {"epochs": recipe.epochs, "batch_size": recipe.batch_size}
    if recipe.fixed:
        ranges = {name: (number, number) for name, number in chosen.items()}
    faults: list[tuple[str, str]] = []
    if not isinstance(value, PlainMapping):
        faults.append(
            (
                f"it is {format_value(value)} and not a dict",
                f'return {{"epochs": {recipe.epochs}, "batch_size": {recipe.batch_size}}}',
            )
        )
    for key, number in value.pairs if isinstance(value, PlainMapping) else ():
        if not isinstance(key, str) or key not in ranges:
            hint = did_you_mean(key, ranges) if isinstance(key, str) else ""
            observed = f"{format_value(key, 40)} cannot be chosen{hint}"
            faults.append((observed, 'use only the keys "epochs" and "batch_size"'))
            continue
        fault = _find_range_fault(number, *ranges[key])
        if fault:
            advice = f"choose {key} {_describe_range(*ranges[key])}"
            faults.append((f"{key} is {format_value(number, 40)}, {fault}", advice))
        elif isinstance(number, int | float):
            chosen[key] = int(number)
    check = CheckResult.judged(
        "recipe",
        "Epochs and batch size",
        passed=not faults,
        observed="; ".join(observed for observed, _ in faults)
        or f"{chosen['epochs']} epochs at batch size {chosen['batch_size']}",
        expected="; ".join(
            f"{name} {_describe_range(*allowed)}" for name, allowed in ranges.items()
        ),
        next_step="; ".join(dict.fromkeys(next_step for _, next_step in faults)),
    )
    return chosen["epochs"], chosen["batch_size"], check


def _find_range_fault(number: PlainValue, minimum: int, maximum: int) -> str:
    """Return the fault of a chosen number, or an empty string."""
    if isinstance(number, bool) or not isinstance(number, int | float):
        return "which is not a number"
    if isinstance(number, float) and not number.is_integer():
        return "which is not a whole number"
    if number > maximum:
        return f"above the maximum of {maximum}"
    if number < minimum:
        return f"below the minimum of {minimum}"
    return ""


def _describe_range(minimum: int, maximum: int) -> str:
    return f"{minimum}, fixed" if minimum == maximum else f"from {minimum} to {maximum}"


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


def describe_recipe(job: TrainingJob) -> RecipeReport:
    """Return a job's recipe for the report."""
    scheduler = ""
    if job.scheduler:
        settings = ", ".join(f"{name}={value}" for name, value in job.scheduler.arguments.items())
        scheduler = f"{job.scheduler.kind}({settings}), stepped once an epoch"
    return RecipeReport(
        epochs=job.epochs,
        batch_size=job.batch_size,
        optimizer=_describe_optimizer(job.optimizer),
        scheduler=scheduler,
    )
