"""Print what would be graded of a submission: where each answer and model was found."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rich.console import Console
from rich.padding import Padding

from grader.report.terminal import plain_text
from grader.report.wording import checks_to_act_on, counted, shortened, verdict_label
from grader.results import ItemResult, Outcome, RecipeReport, SubmissionResult

_ARGUMENT_NAME = re.compile(r"\b\w+=")
_FACT_CHARACTERS = 300
_FAULT_CHARACTERS = 160


def print_preview(result: SubmissionResult, console: Console) -> None:
    """Print each item with its place, and its model and recipe or its answer."""
    for item in result.items():
        if not item.checks or not item.was_asked:
            continue
        heading = plain_text(item.id, console, "bold") + plain_text(f"  {item.title}", console)
        console.print(heading)
        for line, style in _describe(item):
            text = plain_text(shortened(line, _FACT_CHARACTERS), console, style)
            console.print(Padding(text, (0, 0, 0, 4), expand=False))
    for program in result.programs:
        if program.faults:
            failed = f"{counted(len(program.faults), 'statement')} failed in {program.file}"
            console.print(plain_text(f"{failed}; the rest ran:", console))
        for fault in program.faults:
            failed = f"{fault.location}: {shortened(fault.message, _FAULT_CHARACTERS)}"
            text = plain_text(failed, console, "dim")
            console.print(Padding(text, (0, 0, 0, 4), expand=False))
    for note in result.intake:
        console.print(plain_text(f"{note.file}: {note.message}", console, "dim"))


def _describe(item: ItemResult) -> Iterator[tuple[str, str]]:
    """Yield the lines about an item with their styles."""
    place = next((check.location for check in item.checks if check.location), "")
    if item.source is not None:
        place = item.source.location
    if place:
        yield place, ""
    if item.architecture:
        yield describe_model(item), ""
    if item.recipe is not None:
        yield describe_recipe(item.recipe), ""
    if item.answer is not None:
        yield f"answered {item.answer}", ""
    if item.written_text is not None:
        yield counted(len(item.written_text.split()), "word"), ""
    if item.source is not None:
        others = item.source.others
        more = f"; other trainings: {'; '.join(others)}" if others else ""
        yield f"taken because {item.source.reason}{more}", "dim"
    for note in item.notes:
        yield note, "dim"
    for check in checks_to_act_on(item.checks):
        if check.outcome is Outcome.PENDING:
            yield f"{verdict_label(check)}: {check.observed}", "yellow"
        else:
            yield f"{check.title}: {check.observed}", "red"


def describe_model(item: ItemResult) -> str:
    """Return the layers in one line: "Flatten → Linear(784, 100) → ReLU → Linear(100, 10)"."""
    layers = (_ARGUMENT_NAME.sub("", row.description) for row in item.architecture)
    return " \N{RIGHTWARDS ARROW} ".join(layer.removesuffix("()") for layer in layers)


def describe_recipe(recipe: RecipeReport) -> str:
    """Return the recipe in one line."""
    parts = [f"{recipe.epochs} epochs at batch size {recipe.batch_size}", *recipe.optimizer]
    if recipe.scheduler:
        parts.append(recipe.scheduler)
    if recipe.normalization:
        parts.append(f"images normalised with {recipe.normalization}")
    return "; ".join(parts)
