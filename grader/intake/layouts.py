"""Recognise how a class's submissions are laid out on disk.

Sources of the names, read in the platforms' own code:

- Canvas (`lib/content_zipper.rb` in instructure/canvas-lms): flat files, each
  `<name>_[LATE_]<user id>_<file id>_<file name>`; the name is the sortable one in lower case
  without spaces or punctuation, `anon_<id>` where names are hidden. A second upload of a name
  becomes `<stem>-1<ending>`. A text or link becomes `…_text.html` or `…_link.html`.
- Moodle (`mod/assign/classes/downloader.php` in moodle/moodle): a directory
  `<full name>_<participant>_assignsubmission_<file|onlinetext>`, or flat files with that before
  their names. Earlier releases put one more `_` at the end of the directory's name.
- Gradescope's export: see `grader.intake.gradescope_export`.
- nbgrader (`docs/source/exchange/exchange_api.rst` in jupyter/nbgrader):
  `submitted/<student>/<assignment>/` with `timestamp.txt`.

Anything else is one directory, clone or archive for each student, named after the student.
"""

from __future__ import annotations

import csv
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from grader.errors import UsageError
from grader.intake.archives import is_archive, without_ending
from grader.intake.gradescope_export import METADATA_FILE, read_gradescope
from grader.intake.private_copy import is_skipped
from grader.intake.records import Found, IntakeProblem, Layout, LooseFile
from grader.intake.students import Identity
from grader.text import clean_line, display_name

TIMESTAMP_FILE = "timestamp.txt"
MAXIMUM_LIST_BYTES = 5_000_000

_CANVAS_FILE = re.compile(
    r"(?:(?!LATE_|anon_)(?P<name>\w*?)_)?(?P<late>LATE_)?(?P<user>\d+|anon_\w+?)_"
    r"(?:\d+_(?P<file>.+)|(?P<page>(?:text|link)\.html))",
    re.DOTALL,
)
_MOODLE_ENTRY = re.compile(
    r"(?P<name>[^_]*)_(?P<participant>\d+)_assignsubmission_(?P<kind>file|onlinetext)"
    r"(?:_(?P<file>.*))?",
    re.DOTALL,
)
_RESUBMITTED = re.compile(r"(?P<stem>.+)-(?P<number>\d{1,3})(?P<ending>(?:\.\w+)*)", re.DOTALL)
_TIMESTAMP = re.compile(
    r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(\.\d{1,6})?\s*(UTC|GMT|Z|[+-]\d\d:?\d\d)", re.IGNORECASE
)
_OUTSIDE_ENTRIES = frozenset({"__MACOSX"})


def recognise(directory: Path, refusals: Mapping[str, str]) -> Layout:
    """Find the submissions in a directory.

    Args:
        directory: a class's submissions.
        refusals: entries that an archive of the class has, but that were not unpacked, and why.
    """
    if (directory / METADATA_FILE).is_file():
        return read_gradescope(directory, refusals)
    submitted = directory / "submitted"
    if submitted.is_dir() and ((directory / "source").is_dir() or _has_timestamps(submitted)):
        return recognise(submitted, {})
    return _read_entries(directory, refusals)


def read_list(path: Path) -> Layout:
    """Find the submissions that a text file lists: one path a line, or `id,path`.

    Raises:
        UsageError: it cannot be read, or lists what is not there; all such lines are reported.
    """
    layout = Layout()
    mistakes = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file.read(MAXIMUM_LIST_BYTES).splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(
            f"{display_name(str(path))} is no directory, no archive and no list of paths ({error})",
            next_step="name the directory that holds the submissions",
        ) from None
    for line, row in enumerate(rows, start=1):
        cells = [cell.strip() for cell in row]
        if not any(cells) or cells[0].startswith("#"):
            continue
        source = path.parent / Path(cells[-1]).expanduser()
        if len(cells) > 2 or not (
            source.is_dir() or (source.is_file() and is_archive(source.name))
        ):
            mistakes.append(
                f"{display_name(path.name)}:{line}: {clean_line(','.join(cells))[:200]}"
            )
            continue
        layout.found.append(_plain(source.resolve(), label=cells[0] if len(cells) == 2 else ""))
    if mistakes:
        raise UsageError(
            "these lines name no directory and no archive:\n  - " + "\n  - ".join(mistakes[:20]),
            next_step="write one path a line, relative to the list, or an id, a comma and a path",
        )
    return layout


def resubmission_of(name: str) -> tuple[str, int]:
    """A name without the number that Canvas gives a second upload, and that number, else 0."""
    match = _RESUBMITTED.fullmatch(name)
    if match is None:
        return name, 0
    return match["stem"] + match["ending"], int(match["number"])


def _read_entries(directory: Path, refusals: Mapping[str, str]) -> Layout:
    layout = Layout()
    canvas: dict[str, list[re.Match[str]]] = {}
    moodle: dict[str, list[re.Match[str]]] = {}
    entries = {entry.name: entry for entry in directory.iterdir()}
    for name in sorted(entries.keys() | refusals.keys()):
        entry = entries.get(name, directory / name)
        if is_skipped(name) or name in _OUTSIDE_ENTRIES:
            continue
        kind = _kind(entry) if name in entries else stat.S_IFREG
        if match := _MOODLE_ENTRY.fullmatch(name):
            moodle.setdefault(match["participant"], []).append(match)
        elif kind == stat.S_IFREG and (match := _CANVAS_FILE.fullmatch(name)):
            canvas.setdefault(match["user"], []).append(match)
        elif name in refusals:
            layout.found.append(_plain(entry, refusal=refusals[name]))
        elif kind == stat.S_IFDIR:
            layout.found.append(_read_directory(entry, layout))
        elif kind == stat.S_IFREG and is_archive(name):
            layout.found.append(_plain(entry))
        else:
            what = "a symbolic link" if kind == stat.S_IFLNK else "neither directory nor archive"
            layout.ignored.append(IntakeProblem(source=entry, message=f"is {what}, so it was left"))
    layout.found += [_from_canvas(directory, matches, refusals) for matches in canvas.values()]
    layout.found += [_from_moodle(directory, matches, refusals) for matches in moodle.values()]
    return layout


def _from_canvas(
    directory: Path, matches: list[re.Match[str]], refusals: Mapping[str, str]
) -> Found:
    first = matches[0]
    return Found(
        source=directory,
        identity=Identity(label=first["user"], ids=(first["user"],), name=first["name"] or ""),
        layout="from Canvas",
        loose=tuple(
            LooseFile(path=directory / match.string, name=match["file"] or match["page"])
            for match in matches
        ),
        late=any(match["late"] for match in matches),
        resubmission=max(resubmission_of(match["file"] or "")[1] for match in matches),
        refusal=_refusal_of(matches, refusals),
    )


def _from_moodle(
    directory: Path, matches: list[re.Match[str]], refusals: Mapping[str, str]
) -> Found:
    # The text typed into Moodle comes beside the files, and holds no answer of its own.
    files = [match for match in matches if match["kind"] == "file"] or matches
    first = files[0]
    identity = Identity(label=first["participant"], ids=(first["participant"],), name=first["name"])
    refusal = _refusal_of(files, refusals)
    if not first["file"]:
        source = directory / first.string
        return Found(source=source, identity=identity, layout="from Moodle", refusal=refusal)
    loose = tuple(LooseFile(path=directory / match.string, name=match["file"]) for match in files)
    return Found(
        source=directory, identity=identity, layout="from Moodle", loose=loose, refusal=refusal
    )


def _refusal_of(matches: list[re.Match[str]], refusals: Mapping[str, str]) -> str:
    return next((refusals[match.string] for match in matches if match.string in refusals), "")


def _plain(entry: Path, *, label: str = "", refusal: str = "") -> Found:
    name = label or display_name(without_ending(entry.name))
    return Found(
        source=entry,
        identity=Identity(label=name, ids=(name,), email=name if "@" in name else "", name=name),
        layout="a directory or an archive for each student",
        refusal=refusal,
    )


def _read_directory(entry: Path, layout: Layout) -> Found:
    """A student's directory: the files, or what nbgrader collected of one assignment."""
    stamped = [path for path in _timestamps(entry) if _kind(path) == stat.S_IFREG]
    if len(stamped) != 1:
        return _plain(entry)
    submitted_at = _read_timestamp(stamped[0])
    if submitted_at is None:
        layout.ignored.append(
            IntakeProblem(
                source=stamped[0],
                message="is no time with a zone such as UTC or +01:00, so it was not used",
            )
        )
    return replace(
        _plain(entry),
        source=stamped[0].parent,
        layout="as nbgrader collects",
        submitted_at=submitted_at,
    )


def _timestamps(student: Path) -> Iterator[Path]:
    yield student / TIMESTAMP_FILE
    try:
        children = sorted(student.iterdir())
    except OSError:  # whoever reads the files will say so
        return
    for child in children:
        if _kind(child) == stat.S_IFDIR:
            yield child / TIMESTAMP_FILE


def _has_timestamps(submitted: Path) -> bool:
    return any(submitted.glob(f"*/*/{TIMESTAMP_FILE}"))


def _read_timestamp(path: Path) -> datetime | None:
    with path.open("rb") as file:
        match = _TIMESTAMP.fullmatch(file.read(100).decode("ascii", "replace").strip())
    if match is None:
        return None
    date, time, fraction, zone = match.groups()
    offset = "+00:00" if zone.isalpha() else zone
    try:
        return datetime.fromisoformat(f"{date}T{time}{fraction or ''}{offset}")
    except ValueError:
        return None


def _kind(path: Path) -> int:
    try:
        return stat.S_IFMT(path.lstat().st_mode)
    except OSError:
        return 0
