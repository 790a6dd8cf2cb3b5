"""Versions: torch and torchvision as a student has them must go together."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version

from packaging.version import InvalidVersion, Version

from grader.assignment.records import VersionsItem
from grader.grading.items.calls import check_answered
from grader.grading.items.comparison import format_value
from grader.grading.items.interface import Context
from grader.grading.points import conclude
from grader.models.questions import PlainMapping, PlainValue
from grader.results import CheckResult, ItemResult

_NAMES = ("torch", "torchvision")
_MAXIMUM_CHARACTERS = 64
# A longer text is not a version, and int() of more than 4,300 digits raises ValueError.


def check(item_id: str, item: VersionsItem, context: Context) -> ItemResult:
    """Fail if the reported versions of torch and torchvision do not go together."""
    extraction = context.extractions[item_id]
    called = check_answered(extraction)
    if not extraction.answered:
        return conclude(item_id, item, called)
    checks, notes = check_versions(extraction.value, grader_torch=version("torch"))
    located = (replace(check, location=extraction.location) for check in checks)
    result = conclude(item_id, item, called, *located)
    return replace(result, notes=notes, answer=format_value(extraction.value))


def check_versions(
    value: PlainValue, *, grader_torch: str
) -> tuple[tuple[CheckResult, ...], tuple[str, ...]]:
    """Check that two versions are well-formed and go together.

    Args:
        value: the student's answer: (torch, torchvision), or a dict with these two keys.
        grader_torch: the grader's own version of torch.

    Returns:
        The checks, the second only if the first passed, and notes, which cost no points.
    """
    pair, observed, next_step = _read_versions(value)
    form = CheckResult.judged(
        "well-formed-versions",
        "Two versions",
        passed=pair is not None,
        observed=observed,
        expected='the versions of torch and torchvision as text, such as ("2.6.0", "0.21.0")',
        next_step=next_step,
    )
    if pair is None:
        return (form,), ()
    torch, torchvision = pair
    notes: tuple[str, ...] = ()
    if torch.public != Version(grader_torch).public:
        note = (
            f"You have torch {torch.public}, the grader trains with {grader_torch}: accuracies "
            "can differ a little between the two."
        )
        notes = (note,)
    return (form, _check_pair(torch, torchvision)), notes


def _read_versions(value: PlainValue) -> tuple[tuple[Version, Version] | None, str, str]:
    """Return the two versions or None, with the observation and the next step."""
    given: tuple[PlainValue, ...] = ()
    if isinstance(value, PlainMapping):
        named = {key.lower(): item for key, item in value.pairs if isinstance(key, str)}
        given = tuple(named[name] for name in _NAMES if name in named)
    elif isinstance(value, tuple):
        given = value
    if len(given) != len(_NAMES):
        observed = f"your function returned {format_value(value)}"
        return None, observed, "return (torch.__version__, torchvision.__version__)"
    versions = []
    for name, text in zip(_NAMES, given, strict=True):
        try:
            is_version = isinstance(text, str) and len(text) <= _MAXIMUM_CHARACTERS
            versions.append(Version(str(text) if is_version else ""))
        except InvalidVersion:
            fault = "not a version" if isinstance(text, str) else "not text"
            observed = f"the version of {name} is given as {format_value(text)}, which is {fault}"
            return None, observed, f"return {name}.__version__ as it is"
    torch, torchvision = versions
    return (torch, torchvision), f"torch {torch} and torchvision {torchvision}", ""


def _check_pair(torch: Version, torchvision: Version) -> CheckResult:
    minor = _torchvision_minor(torch)
    swapped_minor = _torchvision_minor(torchvision)
    if swapped_minor is not None and torch.release[:2] == (0, swapped_minor):
        next_step = "swap the two: return torch's version first, then torchvision's"
    else:
        next_step = (
            "return torch.__version__ and torchvision.__version__ of one environment; if you did, "
            "reinstall both together"
        )
    return CheckResult.judged(
        "matching-versions",
        "The versions go together",
        passed=minor is not None and torchvision.release[:2] == (0, minor),
        observed=f"torch {torch} with torchvision {torchvision}",
        expected=(
            "torch 1.4 to 2.x" if minor is None else f"torchvision 0.{minor} with torch {torch}"
        ),
        next_step=next_step,
    )


def _torchvision_minor(torch: Version) -> int | None:
    """Return the x of the torchvision 0.x that goes with a version of torch, or None if unknown.

    The table in torchvision's README (https://github.com/pytorch/vision#installation) pairs
    torch 1.4 to 1.13 with 0.5 to 0.14, and torch 2.0 onwards with 0.15 onwards, minor by minor.
    Older releases have no such pattern.
    """
    major, minor = (*torch.release, 0)[:2]
    if major == 1 and 4 <= minor <= 13:
        return minor + 1
    return minor + 15 if major == 2 else None
