"""Answers: the value of a function is compared with the accepted values."""

from __future__ import annotations

from dataclasses import replace

from grader.assignment.records import AnswerItem
from grader.grading.items.calls import check_answered
from grader.grading.items.comparison import compare, describe_form, format_value
from grader.grading.items.hints import hints_from_notes
from grader.grading.items.interface import Context
from grader.grading.points import add_checks, conclude
from grader.results import CheckResult, ItemResult, Outcome


def check(item_id: str, item: AnswerItem, context: Context) -> ItemResult:
    """Fail if the student's value is not one of the accepted values."""
    extraction = context.extractions[item_id]
    called = conclude(item_id, item, check_answered(extraction))
    result = replace(called, hints=hints_from_notes(extraction.notes))
    if not extraction.answered:
        return result
    title, location = f"{item.function}() gives the right value", extraction.location
    observed = format_value(extraction.value)
    if not item.accepted:
        unchecked = CheckResult(
            id="value",
            title=title,
            outcome=Outcome.PENDING,
            observed=f"{observed}; answered, and checked when it is graded with the key",
            location=location,
        )
        return replace(add_checks(result, unchecked), answer=observed)
    mismatch = compare(extraction.value, item.accepted, tolerance=item.tolerance)
    if mismatch is None:
        integers = [value for value in item.accepted if type(value) is int]
        as_integer = isinstance(extraction.value, float) and extraction.value in integers
        remark = f"; the float {observed} counts as the integer" if as_integer else ""
        value = CheckResult.judged(
            "value", title, passed=True, observed=f"{observed}{remark}", location=location
        )
    elif not item.shows_value:
        value = CheckResult.judged(
            "value",
            title,
            passed=False,
            observed=f"{observed}, which is not right",
            next_step=f"work it out again; {describe_form(item.accepted[0])} is wanted",
            location=location,
        )
    else:
        value = CheckResult.judged(
            "value",
            title,
            passed=False,
            observed=f"{observed}; {mismatch.message}",
            expected=" or ".join(map(format_value, item.accepted)),
            next_step=mismatch.next_step,
            location=location,
            details=mismatch.details,
        )
    return replace(add_checks(result, value), answer=observed)
