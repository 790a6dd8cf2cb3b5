"""The handout: what an assignment asks for, in Markdown, with points, rules and thresholds."""

from __future__ import annotations

from collections.abc import Iterator

from grader.assignment.constraints import Constraint
from grader.assignment.own_rules import describe_rule
from grader.assignment.records import (
    AnswerItem,
    Assignment,
    FunctionsItem,
    Item,
    ItemWithData,
    ModelItem,
    SweepItem,
    TrainedModelItem,
    TruthTableItem,
    VersionsItem,
    WrittenItem,
)
from grader.results import Metric


def write_handout(assignment: Assignment) -> str:
    """Return the handout."""
    lines = [f"# {assignment.title}", "", f"{_points(assignment.points)} in all.", ""]
    for problem in assignment.problems:
        total = sum(item.points for part in problem.parts for _, item in part.items)
        lines += [f"## {problem.id}. {problem.title} ({_points(total)})", ""]
        for part in problem.parts:
            points = sum(item.points for _, item in part.items)
            lines += [f"### {part.id} {part.title} ({_points(points)})", ""]
            for _, item in part.items:
                if len(part.items) > 1:
                    lines += [f"**{item.title}** ({_points(item.points)})", ""]
                elif item.title != part.title:
                    lines += [f"{item.title}.", ""]
                lines += [*describe_task(item), ""]
    return "\n".join(lines).rstrip() + "\n"


def describe_task(item: Item) -> list[str]:
    """Return what a student does for an item, as a list in Markdown."""
    return [f"- {line}" for line in _task(item)]


def _task(item: Item) -> Iterator[str]:
    match item:
        case WrittenItem():
            yield f"{item.question}"
            yield f"Write into `{item.file}`; a person grades it."
        case AnswerItem():
            yield f"`{item.file}`: `{item.function}()` returns the answer."
        case FunctionsItem():
            yield f"`{item.file}`: the functions are called by tests, each with its own points."
        case VersionsItem():
            yield f"`{item.file}`: `{item.function}()` returns the two versions."
        case TruthTableItem():
            yield f"`{item.file}`: `{item.function}()` returns the network with its weights set."
            for row in item.rows:
                inputs = ", ".join(f"{value:g}" for value in row.inputs)
                output = f"{row.equals:g}" if row.equals is not None else f"≥ {row.at_least:g}"
                yield f"({inputs}) gives {output}"
            yield from _rules(item.constraints)
        case ModelItem():
            yield from _model_task(item)
        case TrainedModelItem():
            yield (
                f"`{item.file}`: `{item.model}()` returns the model; hand in its weights as "
                f"`{item.weights}`. The grader evaluates it, and does not train it."
            )
            yield from _rules(item.constraints)
            yield from _thresholds(item)
        case SweepItem():
            probabilities = ", ".join(f"{value:.4g}" for value in item.probabilities)
            epochs = "1 epoch" if item.epochs == 1 else f"{item.epochs} epochs"
            yield (
                f"`{item.file}`: `{item.function}()` returns the test accuracies of the model "
                f"after {epochs} at the dropout probabilities {probabilities}. At least "
                f"{item.minimum_agreeing} must be those that the grader finds."
            )


def _model_task(item: ModelItem) -> Iterator[str]:
    yield (
        f"`{item.file}`: `{item.model}()` returns the model, which the grader trains. "
        f"`{item.optimizer}(model)` and `{item.scheduler}(optimizer)` may return your own; without "
        f"them it is Adam. `{item.reported}()` returns what you measured."
    )
    recipe = item.recipe
    if recipe.fixed:
        yield f"It is trained for {recipe.epochs} epochs at batch size {recipe.batch_size}."
    else:
        yield (
            f"`{item.training}()` returns the epochs (at most {recipe.maximum_epochs}) and the "
            f"batch size ({recipe.minimum_batch_size} to {recipe.maximum_batch_size})."
        )
    yield from _rules(item.constraints)
    yield from _thresholds(item)


def _rules(constraints: tuple[Constraint, ...]) -> Iterator[str]:
    for constraint in constraints:
        yield describe_rule(constraint)


def _thresholds(item: ItemWithData) -> Iterator[str]:
    if item.loss != "CrossEntropyLoss":
        yield f"The loss is `nn.{item.loss}`."
    for threshold in item.thresholds:
        metric = threshold.metric
        bound = "at least" if metric is Metric.ACCURACY else "at most"
        line = f"{metric.heading} {bound} {metric.show(threshold.value)}"
        if isinstance(item, ModelItem):
            line += f" in the {threshold.epoch} epoch"
        if len(item.thresholds) > 1:
            line += f": {_points(threshold.points or item.points)}"
        yield line


def _points(number: float) -> str:
    return f"{number:g} point{'' if number == 1 else 's'}"
