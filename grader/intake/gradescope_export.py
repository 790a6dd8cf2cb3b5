"""Read Gradescope's export of submissions.

`submission_metadata.yml` lies beside the submissions' directories and maps the name of each to
`:submitters` (each with `:name`, `:sid`, `:email`), `:created_at` and `:history`. The keys are
Ruby's symbols, which YAML takes for text. otter-grader (`otter/metadata.py`) reads it so, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from grader.errors import UsageError
from grader.intake.records import Found, IntakeProblem, Layout
from grader.intake.students import Identity
from grader.text import clean_line, display_name

METADATA_FILE = "submission_metadata.yml"
MAXIMUM_METADATA_BYTES = 200_000_000
_MAXIMUM_TEXT = 300


def read_gradescope(directory: Path, refusals: Mapping[str, str]) -> Layout:
    """Find the submissions in an export.

    Args:
        directory: what holds the metadata and a directory for each submission.
        refusals: directories that could not be unpacked, and why.

    Raises:
        UsageError: the metadata cannot be read.
    """
    layout = Layout()
    metadata = _load(directory / METADATA_FILE)
    for name, record in metadata.items():
        source = directory / str(name)
        known = isinstance(record, dict) and isinstance(record.get(":submitters"), list)
        if not known or "/" in str(name):
            problem = "has no list of submitters in the metadata, so it was left out"
            layout.ignored.append(IntakeProblem(source=source, message=problem))
        elif not source.is_dir() and str(name) not in refusals:
            problem = "is in the metadata, but there is no such directory"
            layout.ignored.append(IntakeProblem(source=source, message=problem))
        else:
            layout.found += _read_submission(source, record, refusals.get(str(name), ""))
    layout.ignored += [
        IntakeProblem(source=entry, message="is not in the metadata, so it was left out")
        for entry in sorted(directory.iterdir())
        if entry.is_dir() and entry.name not in metadata and not entry.name.startswith((".", "_"))
    ]
    return layout


def _load(path: Path) -> dict[Any, Any]:
    # Loaded here: few classes come from Gradescope, and every start of the command would pay.
    import yaml  # noqa: PLC0415

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        with path.open("rb") as file:
            content = yaml.load(file.read(MAXIMUM_METADATA_BYTES), Loader=loader)  # noqa: S506
    except (OSError, yaml.YAMLError, ValueError, RecursionError) as error:
        raise UsageError(
            f"{display_name(path.name)} cannot be read: {clean_line(str(error))[:_MAXIMUM_TEXT]}",
            next_step="export the submissions from Gradescope once more",
        ) from None
    if not isinstance(content, dict):
        raise UsageError(
            f"{display_name(path.name)} does not map directories to submissions",
            next_step="export the submissions from Gradescope once more",
        )
    return content


def _read_submission(source: Path, record: dict[str, Any], refusal: str) -> list[Found]:
    """The submission, once for each of those who handed it in together."""
    history = record.get(":history")
    return [
        Found(
            source=source,
            identity=_identity(submitter, source.name),
            layout="from Gradescope",
            submitted_at=_time(record.get(":created_at")),
            resubmission=len(history) if isinstance(history, list) else 0,
            refusal=refusal,
        )
        for submitter in record[":submitters"]
        if isinstance(submitter, dict)
    ]


def _identity(submitter: dict[str, Any], directory: str) -> Identity:
    number, email, name = (
        clean_line(str(submitter.get(key) or ""))[:_MAXIMUM_TEXT]
        for key in (":sid", ":email", ":name")
    )
    return Identity(
        label=number or email or name or display_name(directory),
        ids=(number,) if number else (),
        email=email,
        name=name,
    )


def _time(value: object) -> datetime | None:
    if isinstance(value, datetime):
        # YAML's times without a zone are in UTC.
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, str):
        try:
            return _time(datetime.fromisoformat(value))
        except ValueError:
            return None
    return (
        datetime(value.year, value.month, value.day, tzinfo=UTC)
        if isinstance(value, date)
        else None
    )
