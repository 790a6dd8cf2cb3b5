"""Recognise the layouts of Canvas, Moodle, Gradescope, Blackboard, Brightspace and nbgrader.

Anything else is one directory, clone or archive for each student, named after the student.
"""

from __future__ import annotations

import csv
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from grader.errors import UsageError
from grader.intake.archives import is_archive, without_ending
from grader.intake.files import TIMESTAMP_FILE, is_skipped, kind_of
from grader.intake.students import Identity, Platform
from grader.text import clean_line, display_name, is_hidden

# Gradescope: the file lies beside the submissions' directories and maps the name of each to
# `:submitters` (each with `:name`, `:sid`, `:email`) and `:created_at`. The keys are Ruby's
# symbols, which YAML takes for text. otter-grader (`otter/metadata.py`) reads the same keys.
METADATA_FILE = "submission_metadata.yml"

MAXIMUM_METADATA_BYTES = 200_000_000
MAXIMUM_LIST_BYTES = 5_000_000
_MAXIMUM_TEXT = 300

# Canvas (`lib/content_zipper.rb`): `<name>_[LATE_]<user id>_<file id>_<file name>`, where the name
# is in lower case without spaces or punctuation, or `anon_<id>`. A second upload of a name becomes
# `<stem>-1<ending>`; a text or link becomes `…_text.html` or `…_link.html`.
_CANVAS_FILE = re.compile(
    r"(?:(?!LATE_|anon_)(?P<name>\w*?)_)?(?P<late>LATE_)?(?P<user>\d+|anon_\w+?)_"
    r"(?:\d+_(?P<file>.+)|(?P<page>(?:text|link)\.html))",
    re.DOTALL,
)
# Moodle (`mod/assign/classes/downloader.php`): a directory, or flat files with this before their
# names. Earlier releases put one more `_` at the end of the directory's name.
_MOODLE_ENTRY = re.compile(
    r"(?P<name>[^_]*)_(?P<participant>\d+)_assignsubmission_(?P<kind>file|onlinetext)"
    r"(?:_(?P<file>.*))?",
    re.DOTALL,
)
# Blackboard: `<assignment>_<user name>_attempt_<time>_<file name>`, beside `…_<time>.txt` about the
# attempt (https://github.com/kwurst/bb-file-cleanup). The time is that of the course, without zone.
_BLACKBOARD_FILE = re.compile(
    r".*?_(?P<user>[^_]+)_attempt_(?P<time>\d{4}(?:-\d\d){5})(?:_(?P<file>.+)|\.txt)", re.DOTALL
)
_BLACKBOARD_NAME = re.compile(
    rb"\s*(?:\xef\xbb\xbf)?[^:\n]{1,40}: *(?P<name>[^\n]*?) *\((?P<user>[^()\n]*)\)"
)
# Brightspace: directories or flat files `<user number>-<number> - <name> - Mar 6, 2026 159 PM`.
_BRIGHTSPACE_ENTRY = re.compile(
    r"(?P<user>\d+)-\d+ - (?P<name>.+?)"
    r"(?: - (?P<time>\w+ \d{1,2}, \d{4} \d{3,4} [AP]M))?(?: - (?P<file>.+))?",
    re.DOTALL | re.IGNORECASE,
)
# Google Drive numbers files of one name, of whichever students: `problem_1(7).py`.
_DRIVE_COPY = re.compile(r"(?P<stem>.+?) ?\((?P<number>\d{1,4})\)(?P<ending>\.\w+)?")
LEAST_DRIVE_COPIES = 3
SHOWN_STRAYS = 3

_RESUBMITTED = re.compile(r"(?P<stem>.+)-(?P<number>\d{1,3})(?P<ending>(?:\.\w+)*)", re.DOTALL)
_TIMESTAMP = re.compile(
    r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(\.\d{1,6})?\s*(UTC|GMT|Z|[+-]\d\d:?\d\d)", re.IGNORECASE
)


@dataclass(frozen=True, kw_only=True)
class LooseFile:
    """A file that lies in one directory with other students' files.

    Attributes:
        name: the student's own name for the file, as far as the platform keeps it.
    """

    path: Path
    name: str


@dataclass(frozen=True, kw_only=True)
class FoundSubmission:
    """One student's submission, before it is matched to the roster.

    Attributes:
        source: the directory, the archive, or the directory that holds the loose files.
        identity: the student, as far as the layout tells.
        layout: the layout's name, in words that follow a colon.
        loose: the files, if a platform put all students' files into one directory.
        late: the platform's mark, or None if it sets none.
        submitted_at: with its time zone, or None if unknown.
        refusal: the reason why the submission cannot be used, or "".
        shared_as: equal for all students who submitted this together, or "".
        feedback_name: what names the submission in a zip of feedback for its platform: Moodle's
            directory, or what Canvas puts before the student's own name of a file; or "".
    """

    source: Path
    identity: Identity
    layout: str
    shared_as: str = ""
    loose: tuple[LooseFile, ...] = ()
    late: bool | None = None
    submitted_at: datetime | None = None
    refusal: str = ""
    feedback_name: str = ""


@dataclass(frozen=True, kw_only=True)
class IntakeProblem:
    """Something that the instructor should know about the submissions.

    Attributes:
        message: one sentence that continues the source's name.
    """

    source: Path
    message: str


@dataclass(kw_only=True)
class Layout:
    """The contents of a directory: submissions, and the rest."""

    found: list[FoundSubmission] = field(default_factory=list)
    ignored: list[IntakeProblem] = field(default_factory=list)

    def ignore(self, source: Path, message: str) -> None:
        """Add a problem."""
        self.ignored.append(IntakeProblem(source=source, message=message))


def recognise(directory: Path, refusals: Mapping[str, str]) -> Layout:
    """Find the submissions in a directory.

    `refusals` are entries that could not be unpacked from the class's archive, with the reasons.

    Raises:
        UsageError: Gradescope's metadata cannot be read.
    """
    if (directory / METADATA_FILE).is_file():
        return _read_gradescope(directory, refusals)
    submitted = directory / "submitted"
    has_timestamps = any(submitted.glob(f"*/*/{TIMESTAMP_FILE}"))
    if has_timestamps or (submitted.is_dir() and (directory / "source").is_dir()):
        return recognise(submitted, {})
    layout = _read_entries(directory, refusals)
    if len(layout.found) == 1 and kind_of(only := layout.found[0].source) == stat.S_IFDIR:
        _refuse_drive(only)
    return layout


def read_list(path: Path) -> Layout:
    """Find the submissions that a text file lists: one path a line, or `id,path`.

    Raises:
        UsageError: the list cannot be read, or names missing paths; all are reported at once.
    """
    layout = Layout()
    mistakes = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file.read(MAXIMUM_LIST_BYTES).splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(
            f"{display_name(str(path))} is not a directory, archive or list of paths ({error})",
            next_step="name the directory that holds the submissions",
        ) from None
    for line, row in enumerate(rows, start=1):
        cells = [cell.strip() for cell in row]
        if not any(cells) or cells[0].startswith("#"):
            continue
        source = path.parent / Path(cells[-1]).expanduser()
        usable = source.is_dir() or (source.is_file() and is_archive(source.name))
        if len(cells) > 2 or not usable:
            text = clean_line(",".join(cells))[:200]
            mistakes.append(f"{display_name(path.name)}:{line}: {text}")
            continue
        layout.found.append(_plain(source.resolve(), label=cells[0] if len(cells) == 2 else ""))
    if mistakes:
        raise UsageError(
            "these lines name no directory and no archive:\n  - " + "\n  - ".join(mistakes[:20]),
            next_step="write one path a line, relative to the list, or an id, a comma and a path",
        )
    return layout


def resubmission_of(name: str) -> tuple[str, int]:
    """Split a name from the number that Canvas gives a second upload, or 0."""
    match = _RESUBMITTED.fullmatch(name)
    if match is None:
        return name, 0
    return match["stem"] + match["ending"], int(match["number"])


def moodle_directory(name: str, participant: str, *, kind: str = "file", end: str = "_") -> str:
    """Return Moodle's name of a student's directory, in which it finds the student by the number.

    Of the name, only the characters stay that cannot lead out of a directory or end the name.
    """
    shown = "".join(" " if one in "/\\_" or is_hidden(one) else one for one in name).strip()
    return f"{shown}_{participant}_assignsubmission_{kind}{end}"


def _read_entries(directory: Path, refusals: Mapping[str, str]) -> Layout:
    layout = Layout()
    canvas: dict[str, list[re.Match[str]]] = {}
    moodle: dict[str, list[re.Match[str]]] = {}
    blackboard: dict[str, list[re.Match[str]]] = {}
    brightspace: dict[str, list[re.Match[str]]] = {}
    strays: list[Path] = []
    entries = {entry.name: entry for entry in directory.iterdir()}
    for name in sorted(entries.keys() | refusals.keys()):
        entry = entries.get(name, directory / name)
        if is_skipped(name):
            continue
        kind = kind_of(entry) if name in entries else stat.S_IFREG
        if match := _MOODLE_ENTRY.fullmatch(name):
            moodle.setdefault(match["participant"], []).append(match)
        elif kind == stat.S_IFREG and (match := _BLACKBOARD_FILE.fullmatch(name)):
            blackboard.setdefault(match["user"], []).append(match)
        elif match := _BRIGHTSPACE_ENTRY.fullmatch(name):
            brightspace.setdefault(match["user"], []).append(match)
        elif kind == stat.S_IFREG and (match := _CANVAS_FILE.fullmatch(name)):
            canvas.setdefault(match["user"], []).append(match)
        elif name in refusals:
            layout.found.append(_plain(entry, refusal=refusals[name]))
        elif kind == stat.S_IFDIR:
            layout.found.append(_read_directory(entry, layout))
        elif kind == stat.S_IFREG and is_archive(name):
            layout.found.append(_plain(entry))
        elif kind == stat.S_IFLNK:
            layout.ignore(entry, "is a symbolic link, so it was left out")
        else:
            strays.append(entry)
    layout.found += [_from_canvas(directory, matches, refusals) for matches in canvas.values()]
    layout.found += [_from_moodle(directory, matches, refusals) for matches in moodle.values()]
    layout.found += [_from_blackboard(directory, each, refusals) for each in blackboard.values()]
    for matches in brightspace.values():
        layout.found.append(_from_brightspace(directory, matches, refusals, layout))
    _ignore_strays(directory, strays, layout)
    return layout


def _ignore_strays(directory: Path, strays: list[Path], layout: Layout) -> None:
    """Name some of what is no submission, and count the rest.

    Raises:
        UsageError: they are the files of all students, and nothing tells whose.
    """
    if len(strays) > SHOWN_STRAYS:
        _refuse_drive(directory)
    for entry in strays[:SHOWN_STRAYS]:
        layout.ignore(entry, "is neither directory nor archive, so it was left out")
    if (more := len(strays) - SHOWN_STRAYS) > 0:
        layout.ignore(directory, f"holds {more} more such files, which were left out")


def _refuse_drive(directory: Path) -> None:
    """Raise `UsageError` if all students' files lie in one directory, and nothing tells whose.

    A student's own second copies are no more than two of most names.
    """
    copies: dict[tuple[str, str], set[str]] = {}
    for entry in directory.iterdir():
        if match := _DRIVE_COPY.fullmatch(entry.name):
            key = match["stem"], match["ending"] or ""
            copies.setdefault(key, set()).add(match["number"])
    if any(len(numbers) >= LEAST_DRIVE_COPIES for numbers in copies.values()):
        raise UsageError(
            f"{display_name(directory.name)} looks like a folder of Google Drive, where the files "
            "of all students lie together, such as problem_1(7).py; nothing tells whose they are",
            next_step="put each student's files into a folder of the student's own, or ask for one "
            "archive from each",
        )


def _from_canvas(
    directory: Path, matches: list[re.Match[str]], refusals: Mapping[str, str]
) -> FoundSubmission:
    first = matches[0]
    return FoundSubmission(
        source=directory,
        identity=Identity(
            label=first["user"],
            ids=(first["user"],),
            name=first["name"] or "",
            platform=Platform.CANVAS,
        ),
        layout="from Canvas",
        loose=tuple(
            LooseFile(path=directory / match.string, name=match["file"] or match["page"])
            for match in matches
        ),
        late=any(match["late"] for match in matches),
        refusal=_refusal_of(matches, refusals),
        feedback_name=next(
            (each.string.removesuffix(each["file"]) for each in matches if each["file"]), ""
        ),
    )


def _from_moodle(
    directory: Path, matches: list[re.Match[str]], refusals: Mapping[str, str]
) -> FoundSubmission:
    # The text typed into Moodle comes beside the files, and holds no answer of its own.
    files = [match for match in matches if match["kind"] == "file"] or matches
    first = files[0]
    identity = Identity(
        label=first["participant"],
        ids=(first["participant"],),
        name=first["name"],
        platform=Platform.MOODLE,
    )
    found = FoundSubmission(
        source=directory / first.string,
        identity=identity,
        layout="from Moodle",
        refusal=_refusal_of(files, refusals),
        feedback_name=moodle_directory(
            first["name"],
            first["participant"],
            kind=first["kind"],
            end="" if first["file"] is None else "_",
        ),
    )
    if not first["file"]:
        return found
    loose = tuple(LooseFile(path=directory / match.string, name=match["file"]) for match in files)
    return replace(found, source=directory, loose=loose)


def _from_blackboard(
    directory: Path, matches: list[re.Match[str]], refusals: Mapping[str, str]
) -> FoundSubmission:
    """Return the newest of a student's attempts, each of which has files and a text about it."""
    newest = max(match["time"] for match in matches)
    latest = [match for match in matches if match["time"] == newest]
    user = latest[0]["user"]
    name = ""
    for match in matches:
        if not match["file"] and kind_of(directory / match.string) == stat.S_IFREG:
            with (directory / match.string).open("rb") as file:
                about = _BLACKBOARD_NAME.match(file.read(1000))
            name = about["name"].decode("utf-8", "replace")[:_MAXIMUM_TEXT] if about else ""
    return FoundSubmission(
        source=directory,
        identity=Identity(label=user, ids=(user,), name=clean_line(name)),
        layout="from Blackboard",
        loose=tuple(
            LooseFile(path=directory / match.string, name=match["file"])
            for match in latest
            if match["file"]
        ),
        submitted_at=_parse_time(newest, "%Y-%m-%d-%H-%M-%S"),
        refusal=_refusal_of(latest, refusals),
    )


def _from_brightspace(
    directory: Path, matches: list[re.Match[str]], refusals: Mapping[str, str], layout: Layout
) -> FoundSubmission:
    """Return the newest of a student's uploads; Brightspace keeps them all."""
    times = {match.string: _parse_time(match["time"], "%b %d, %Y %I%M %p") for match in matches}
    newest = max(times.values(), key=lambda time: time.isoformat() if time else "")
    latest = [match for match in matches if times[match.string] == newest]
    first = latest[0]
    directories = [match for match in latest if not match["file"]]
    for match in directories[1:]:
        layout.ignore(directory / match.string, "is one of several uploads of the same time")
    found = FoundSubmission(
        source=directory / first.string,
        # The number is Brightspace's own, which no roster has.
        identity=Identity(label=first["user"], name=first["name"]),
        layout="from Brightspace",
        submitted_at=newest,
        refusal=_refusal_of(latest, refusals),
    )
    if directories:
        return replace(found, source=directory / directories[0].string)
    loose = tuple(LooseFile(path=directory / match.string, name=match["file"]) for match in latest)
    return replace(found, source=directory, loose=loose)


def _parse_time(text: str | None, form: str) -> datetime | None:
    """Return a time without a zone, or None; an hour may have one digit: "159 PM"."""
    padded = re.sub(r"(?<!\d)(\d{3} [AP]M)", r"0\1", text or "", flags=re.IGNORECASE)
    try:
        return datetime.strptime(padded, form)  # noqa: DTZ007 - the platform gives no zone
    except ValueError:
        return None


def _refusal_of(matches: list[re.Match[str]], refusals: Mapping[str, str]) -> str:
    return next((refusals[match.string] for match in matches if match.string in refusals), "")


def _plain(entry: Path, *, label: str = "", refusal: str = "") -> FoundSubmission:
    name = label or display_name(without_ending(entry.name))
    return FoundSubmission(
        source=entry,
        identity=Identity(label=name, ids=(name,), email=name if "@" in name else "", name=name),
        layout="a directory or an archive for each student",
        refusal=refusal,
    )


def _read_directory(entry: Path, layout: Layout) -> FoundSubmission:
    """Read a student's directory: the files, or one assignment as nbgrader collects it."""
    # A link may lead to another student.
    stamped = [
        path
        for pattern in (TIMESTAMP_FILE, f"*/{TIMESTAMP_FILE}")
        for path in entry.glob(pattern)
        if kind_of(path) == stat.S_IFREG and kind_of(path.parent) == stat.S_IFDIR
    ]
    if len(stamped) != 1:
        return _plain(entry)
    submitted_at = _read_timestamp(stamped[0])
    if submitted_at is None:
        layout.ignore(
            stamped[0], "is not a time with a zone such as UTC or +01:00, so it was not used"
        )
    return replace(
        _plain(entry),
        source=stamped[0].parent,
        layout="as nbgrader collects",
        submitted_at=submitted_at,
    )


def _read_timestamp(path: Path) -> datetime | None:
    with path.open("rb") as file:
        match = _TIMESTAMP.fullmatch(file.read(100).decode("ascii", "replace").strip())
    if match is None:
        return None
    day, time, fraction, zone = match.groups()
    offset = "+00:00" if zone.isalpha() else zone
    try:
        return datetime.fromisoformat(f"{day}T{time}{fraction or ''}{offset}")
    except ValueError:
        return None


def _read_gradescope(directory: Path, refusals: Mapping[str, str]) -> Layout:
    layout = Layout()
    metadata = _load_metadata(directory / METADATA_FILE)
    for key, record in metadata.items():
        name = str(key)
        source = directory / name
        submitters = record.get(":submitters") if isinstance(record, dict) else None
        if not isinstance(submitters, list) or "/" in name:
            layout.ignore(source, "has no list of submitters in the metadata, so it was left out")
        elif not source.is_dir() and name not in refusals:
            layout.ignore(source, "is in the metadata, but there is no such directory")
        else:
            layout.found += [
                FoundSubmission(
                    source=source,
                    identity=_identity_of(submitter, name),
                    layout="from Gradescope",
                    submitted_at=_time_of(record.get(":created_at")),
                    refusal=refusals.get(name, ""),
                    shared_as=name if len(submitters) > 1 else "",
                )
                for submitter in submitters
                if isinstance(submitter, dict)
            ]
    for entry in sorted(directory.iterdir()):
        if entry.is_dir() and entry.name not in metadata and not entry.name.startswith((".", "_")):
            layout.ignore(entry, "is not in the metadata, so it was left out")
    return layout


def _load_metadata(path: Path) -> dict[Any, Any]:
    # Imported here: few classes come from Gradescope, and every start of the command would pay.
    import yaml  # noqa: PLC0415

    problem = "does not map directories to submissions"
    try:
        with path.open("rb") as file:
            loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
            content = yaml.load(file.read(MAXIMUM_METADATA_BYTES), Loader=loader)  # noqa: S506
        if isinstance(content, dict):
            return content
    except (OSError, yaml.YAMLError, ValueError, RecursionError) as error:
        problem = f"cannot be read: {clean_line(str(error))[:_MAXIMUM_TEXT]}"
    raise UsageError(
        f"{display_name(path.name)} {problem}",
        next_step="export the submissions from Gradescope again",
    )


def _identity_of(submitter: dict[str, Any], directory: str) -> Identity:
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


def _time_of(value: object) -> datetime | None:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if isinstance(value, datetime):
        # YAML's times without a zone are in UTC.
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return None
