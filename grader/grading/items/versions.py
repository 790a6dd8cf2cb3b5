"""Check the versions of torch and torchvision that a student reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packaging.version import InvalidVersion, Version

from grader.grading.items.comparison import format_value
from grader.questions import PlainMapping
from grader.results import CheckResult, Outcome

if TYPE_CHECKING:
    from grader.questions import PlainValue

_NAMES = ("torch", "torchvision")


def check_versions(
    value: PlainValue, *, grader_torch: str
) -> tuple[tuple[CheckResult, ...], tuple[str, ...]]:
    """Check that two versions are well-formed and go together.

    Args:
        value: the student's answer: (torch, torchvision), or a dict with these two keys.
        grader_torch: the grader's own version of torch.

    Returns:
        The checks, the second only if the first passed, and notes on what is no fault.
    """
    versions = _read_versions(value)
    if isinstance(versions, CheckResult):
        return (versions,), ()
    torch, torchvision = versions
    well_formed = _check_form(f"torch {torch} and torchvision {torchvision}")
    notes = []
    if torch.public != Version(grader_torch).public:
        notes.append(
            f"You have torch {torch.public}, the grader trains with {grader_torch}: accuracies "
            "can differ a little between the two."
        )
    return (well_formed, _check_pair(torch, torchvision)), tuple(notes)


def _read_versions(value: PlainValue) -> tuple[Version, Version] | CheckResult:
    """The two versions, or the failed check that says why there are not two."""
    pair: tuple[PlainValue, ...] = ()
    if isinstance(value, PlainMapping):
        named = {key.lower(): item for key, item in value.pairs if isinstance(key, str)}
        pair = tuple(named[name] for name in _NAMES if name in named)
    elif isinstance(value, tuple):
        pair = value
    if len(pair) != len(_NAMES):
        forgotten = ": did you forget `return`?" if value is None else ""
        return _check_form(
            f"your function returned {format_value(value)}{forgotten}",
            next_step="return (torch.__version__, torchvision.__version__)",
        )
    versions = []
    for name, text in zip(_NAMES, pair, strict=True):
        try:
            versions.append(Version(text if isinstance(text, str) else ""))
        except InvalidVersion:
            kind = "no version" if isinstance(text, str) else "not text"
            return _check_form(
                f"the version of {name} is given as {format_value(text)}, which is {kind}",
                next_step=f"return {name}.__version__ as it is",
            )
    torch, torchvision = versions
    return torch, torchvision


def _check_form(observed: str, *, next_step: str = "") -> CheckResult:
    return CheckResult(
        id="well-formed-versions",
        title="Two versions",
        outcome=Outcome.FAILED if next_step else Outcome.PASSED,
        observed=observed,
        expected='the versions of torch and torchvision as text, such as ("2.6.0", "0.21.0")',
        next_step=next_step,
    )


def _check_pair(torch: Version, torchvision: Version) -> CheckResult:
    minor = _torchvision_minor(torch)
    swapped_minor = _torchvision_minor(torchvision)
    if minor is not None and torchvision.release[:2] == (0, minor):
        next_step = ""
    elif swapped_minor is not None and torch.release[:2] == (0, swapped_minor):
        next_step = "swap the two: return torch's version first, then torchvision's"
    else:
        next_step = (
            "return torch.__version__ and torchvision.__version__ of one environment; if that is "
            "what they say there, install the two anew, together"
        )
    return CheckResult(
        id="matching-versions",
        title="The versions go together",
        outcome=Outcome.FAILED if next_step else Outcome.PASSED,
        observed=f"torch {torch} with torchvision {torchvision}",
        expected=(
            "torch 1.4 to 2.x" if minor is None else f"torchvision 0.{minor} with torch {torch}"
        ),
        next_step=next_step,
    )


def _torchvision_minor(torch: Version) -> int | None:
    """The x of the torchvision 0.x that goes with a version of torch, or None if none is known.

    The table in torchvision's README (https://github.com/pytorch/vision#installation) pairs
    torch 1.4 to 1.13 with 0.5 to 0.14, and torch 2.0 onwards with 0.15 onwards, minor by minor.
    Older releases follow no such pattern.
    """
    major, minor = (*torch.release, 0)[:2]
    if major == 1 and 4 <= minor <= 13:
        return minor + 1
    return minor + 15 if major == 2 else None
