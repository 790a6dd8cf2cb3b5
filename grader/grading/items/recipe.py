"""Checks of a student's recipe: optimiser, scheduler, epochs and batch size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grader.assignment.records import ModelItem, Recipe
from grader.errors import SubmissionError
from grader.grading.items.calls import describe_failure
from grader.grading.items.comparison import format_value
from grader.models.questions import ExtractedModel, PlainMapping, PlainValue
from grader.models.spec import OptimizerSpec, SchedulerSpec, default_optimizer
from grader.results import CheckResult, RecipeReport
from grader.text import did_you_mean
from grader.training.job import Normalization, TrainingJob


@dataclass(frozen=True, kw_only=True)
class CheckedRecipe:
    """A student's recipe after its checks, with the assignment's values for missing entries."""

    optimizer: OptimizerSpec
    scheduler: SchedulerSpec | None
    epochs: int
    batch_size: int
    normalization: Normalization | None
    checks: tuple[CheckResult, ...]
    notes: tuple[str, ...]


def check_recipe(item: ModelItem, extracted: ExtractedModel, *, channels: int) -> CheckedRecipe:
    """Check the parts of the recipe that the student declares; images have `channels`."""
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
    # No settings at all are an empty choice, without a check of its own.
    choice = _check_choice(PlainMapping(pairs=()), item.recipe, channels)
    if "training" in failures:
        title = f"{item.training}() gives a recipe"
        checks.append(describe_failure(failures["training"], check_id="recipe", title=title))
    elif extracted.training is not None:
        choice = _check_choice(extracted.training, item.recipe, channels)
        checks.append(choice.check)
        notes += choice.notes
    return CheckedRecipe(
        optimizer=declared or default_optimizer(extracted.model),
        scheduler=extracted.scheduler,
        epochs=choice.epochs,
        batch_size=choice.batch_size,
        normalization=choice.normalization,
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


@dataclass(frozen=True, kw_only=True)
class _Choice:
    """A student's own epochs, batch size and normalisation, with their check.

    The recipe's own values stand in for missing and faulty ones.
    """

    epochs: int
    batch_size: int
    normalization: Normalization | None
    check: CheckResult
    notes: tuple[str, ...]


LARGEST_STATISTIC = 1e6
SMALLEST_STD = 1e-6
"""The range of a normalisation's numbers: far wider than use, well inside a float32's."""

_STATISTICS = {
    "mean": (-LARGEST_STATISTIC, LARGEST_STATISTIC),
    "std": (SMALLEST_STD, LARGEST_STATISTIC),
}


def _check_choice(value: PlainValue, recipe: Recipe, channels: int) -> _Choice:
    """Read a student's dict of training settings."""
    ranges = {
        "epochs": (1, recipe.maximum_epochs),
        "batch_size": (recipe.minimum_batch_size, recipe.maximum_batch_size),
    }
    chosen = {"epochs": recipe.epochs, "batch_size": recipe.batch_size}
    if recipe.fixed:
        ranges = {name: (number, number) for name, number in chosen.items()}
    keys = [*ranges, *(_STATISTICS if recipe.normalization else ())]
    statistics: dict[str, tuple[float, ...]] = {}
    faults: list[tuple[str, str]] = []
    notes: list[str] = []
    if not isinstance(value, PlainMapping):
        faults.append(
            (
                f"it is {format_value(value)} and not a dict",
                f'return {{"epochs": {recipe.epochs}, "batch_size": {recipe.batch_size}}}',
            )
        )
    for key, given in value.pairs if isinstance(value, PlainMapping) else ():
        try:
            name = _read_key(key, keys)
            if name in _STATISTICS:
                statistics[name] = _read_statistic(name, given, channels)
                continue
            is_cut = recipe.cut_epochs and name == "epochs"
            chosen[name], note = _read_number(name, given, *ranges[name], is_cut=is_cut)
            notes += note
        except SubmissionError as error:
            faults.append((str(error), error.next_step))
    if len(statistics) == 1 and not faults:
        faults.append((f'"{next(iter(statistics))}" is given alone', 'give both "mean" and "std"'))
    normalization = None
    if len(statistics) == len(_STATISTICS):
        normalization = Normalization(**statistics)
    settings = f"{chosen['epochs']} epochs at batch size {chosen['batch_size']}"
    if normalization is not None:
        settings += f"; images normalised with {describe_normalization(normalization)}"
    check = CheckResult.judged(
        "recipe",
        "Epochs and batch size",
        passed=not faults,
        observed="; ".join(observed for observed, _ in faults) or settings,
        expected="; ".join(
            f"{name} {_describe_range(*allowed)}" for name, allowed in ranges.items()
        ),
        next_step="; ".join(dict.fromkeys(next_step for _, next_step in faults)),
    )
    return _Choice(**chosen, normalization=normalization, check=check, notes=tuple(notes))


def _read_key(key: PlainValue, keys: Sequence[str]) -> str:
    if isinstance(key, str) and key in keys:
        return key
    hint = did_you_mean(key, keys) if isinstance(key, str) else ""
    *first, last = (f'"{name}"' for name in keys)
    raise SubmissionError(
        f"{format_value(key, 40)} cannot be chosen{hint}",
        next_step=f"use only the keys {', '.join(first)} and {last}",
    )


def _read_number(
    key: str, number: PlainValue, minimum: int, maximum: int, *, is_cut: bool
) -> tuple[int, list[str]]:
    """Return a chosen number, at most the maximum, with a note if it was cut.

    Raises:
        SubmissionError: the number is out of range, or not a whole number.
    """
    fault = ""
    if isinstance(number, bool) or not isinstance(number, int | float):
        fault = "which is not a number"
    elif isinstance(number, float) and not number.is_integer():
        fault = "which is not a whole number"
    elif number > maximum and not is_cut:
        fault = f"above the maximum of {maximum}"
    elif number < minimum:
        fault = f"below the minimum of {minimum}"
    elif number > maximum:
        note = f"{key} is {format_value(number, 40)}: cut to {maximum}, the maximum."
        return maximum, [note]
    else:
        return int(number), []
    raise SubmissionError(
        f"{key} is {format_value(number, 40)}, {fault}",
        next_step=f"choose {key} {_describe_range(minimum, maximum)}",
    )


def _read_statistic(key: str, value: PlainValue, channels: int) -> tuple[float, ...]:
    """Return one number for all channels, or one for each.

    Raises:
        SubmissionError: the value is neither, or out of range.
    """
    next_step = f"give {key} as one number, or as a list with one for each channel"
    numbers = value if isinstance(value, tuple) else (value,)
    minimum, maximum = _STATISTICS[key]
    for number in numbers:
        shown = f"{key} is {format_value(number, 40)}"
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise SubmissionError(f"{shown}, which is not a number", next_step=next_step)
        if not minimum <= number <= maximum:
            limits = f"from {minimum:g} to {maximum:g}"
            raise SubmissionError(f"{shown}, which is not {limits}", next_step=next_step)
    if len(set(numbers)) == 1:  # torchvision, too, takes one number for all channels
        numbers = numbers[:1]
    elif len(numbers) != channels:
        plural = "channel" if channels == 1 else "channels"
        raise SubmissionError(
            f"{key} has {len(numbers)} values, but an image has {channels} {plural}",
            next_step=next_step,
        )
    return tuple(float(number) for number in numbers if isinstance(number, int | float))


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
        normalization=describe_normalization(job.normalization) if job.normalization else "",
        loss="" if job.loss == "CrossEntropyLoss" else job.loss,
    )


def describe_normalization(normalization: Normalization) -> str:
    """Return the values for a person to read: "mean 0.1307, std 0.3081"."""
    texts = (
        f"{name} {', '.join(f'{number:.7g}' for number in numbers)}"
        for name, numbers in (("mean", normalization.mean), ("std", normalization.std))
    )
    return ("; " if len(normalization.mean) > 1 else ", ").join(texts)
