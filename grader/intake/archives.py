"""Unpack archives that strangers made: every member is checked before the first is written.

Refused are paths that lead outside, links, devices, encrypted members, two names that some file
system takes for one, and whatever unpacks to more than the caps. The caps are wider than those of
`grader.intake.private_copy`, which reads what was unpacked: a film beside the answers is no attack,
and is left out there with a note.
"""

from __future__ import annotations

import errno
import lzma
import os
import re
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from grader.errors import MachineError, UnusableSubmissionError
from grader.intake.archive_formats import CHUNK_BYTES, REMEDY, Member, Opener, open_archive
from grader.intake.private_copy import (
    MAXIMUM_DEPTH,
    MAXIMUM_ENTRIES,
    MAXIMUM_TOTAL_BYTES,
    is_skipped,
)
from grader.text import display_name

ARCHIVE_ENDINGS = (
    *(".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2"),
    *(".rar", ".7z"),
)
"""Names of archives, the last two only to say that they cannot be unpacked."""

RATIO_FREE_BYTES = 10_000_000
"""Up to here any ratio is fine: a small file of zeros is no bomb."""

MAXIMUM_RATIO = 200
"""Text and weights are packed to a tenth or so; a zip bomb to a thousandth."""

_MAXIMUM_PART_BYTES = 255
_DIRECTORY_ENTRY_BYTES = 400
"""A zip's directory takes 46 bytes for a member, its name, and a few fields more."""

_APPLE_DOUBLE = "__MACOSX"
_DRIVE = re.compile(r"[A-Za-z]:")
_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    LookupError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    ValueError,
)

Parts = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Caps:
    """How much may come out of one archive.

    Attributes:
        members: files and directories, those left out included.
        file_bytes: for one file.
        total_bytes: for all files.
        depth: directories above a file; a wrapping one or two are usual.
    """

    members: int = MAXIMUM_ENTRIES
    file_bytes: int = MAXIMUM_TOTAL_BYTES
    total_bytes: int = 4 * MAXIMUM_TOTAL_BYTES
    depth: int = MAXIMUM_DEPTH + 2


STUDENT_CAPS = Caps()
CLASS_CAPS = Caps(members=1_000_000, total_bytes=100_000_000_000)
"""For a whole class's download, in which each student's part still keeps to `STUDENT_CAPS`."""


def is_archive(name: str) -> bool:
    """Whether a file of this name is to be unpacked."""
    return name.lower().endswith(ARCHIVE_ENDINGS)


def without_ending(name: str) -> str:
    """The name without the ending that makes it an archive's."""
    endings = [ending for ending in ARCHIVE_ENDINGS if name.lower().endswith(ending)]
    return name[: -len(max(endings, key=len))] if endings else name


def unpack(archive: Path, target: Path) -> None:
    """Write what a student's archive holds.

    Args:
        archive: a regular file.
        target: an empty directory that nobody else can enter. After an error it may hold a part.

    Raises:
        UnusableSubmissionError: the archive is damaged, hostile, or too large.
        MachineError: there is no room for it.
    """
    with _named(archive), archive.open("rb") as file:
        total_bytes = _total_cap(os.fstat(file.fileno()).st_size, STUDENT_CAPS)
        reader = open_archive(
            file,
            unpacked_bytes=total_bytes,
            directory_bytes=STUDENT_CAPS.members * _DIRECTORY_ENTRY_BYTES,
        )
        plan = _Plan(caps=STUDENT_CAPS, total_bytes=total_bytes)
        plan.add_all(reader.members())
        for index, opener in reader.contents(plan.files):
            plan.write(index, opener, target)


@dataclass(frozen=True, kw_only=True)
class UnpackedClass:
    """A whole class's download.

    Attributes:
        root: the directory with an entry for each student, or for each file of one.
        refusals: entries of which nothing was written, each with the reason.
    """

    root: Path
    refusals: dict[str, str]


def unpack_class(archive: Path, target: Path) -> UnpackedClass:
    """Write what a learning platform handed out; one student's bad part harms no other.

    Raises:
        UnusableSubmissionError: the archive as a whole cannot be read.
        MachineError: there is no room for it.
    """
    with _named(archive), archive.open("rb") as file:
        reader = open_archive(
            file,
            unpacked_bytes=CLASS_CAPS.total_bytes,
            directory_bytes=CLASS_CAPS.members * _DIRECTORY_ENTRY_BYTES,
        )
        members = list(reader.members())
        wrapping = _wrapping(members)
        plans, refusals = _plan_entries(members, wrapping)
        entry_of = {index: entry for entry, plan in plans.items() for index in plan.files}
        for index, opener in reader.contents(entry_of):
            entry = entry_of[index]
            if entry not in refusals:
                try:
                    with _damage_explained():
                        plans[entry].write(index, opener, target)
                except UnusableSubmissionError as error:
                    refusals[entry] = str(error)
    root = target.joinpath(*wrapping)
    root.mkdir(parents=True, exist_ok=True)
    return UnpackedClass(root=root, refusals=refusals)


def _plan_entries(
    members: list[Member], wrapping: Parts
) -> tuple[dict[str, _Plan], dict[str, str]]:
    """What is written of each entry of the class, and which entries are refused."""
    plans: dict[str, _Plan] = {}
    refusals: dict[str, str] = {}
    depth = len(wrapping)
    for member in members:
        rough = [part for part in member.path.split("/") if part not in {"", "."}]
        entry = rough[depth] if len(rough) > depth else ""
        if not entry or entry == "..":
            continue
        plan = plans.setdefault(
            entry, _Plan(caps=STUDENT_CAPS, total_bytes=STUDENT_CAPS.total_bytes)
        )
        try:
            plan.add(member)
        except UnusableSubmissionError as error:
            refusals.setdefault(entry, str(error))
    return plans, refusals


def _wrapping(members: list[Member]) -> Parts:
    """The directory that wraps all students' entries, if there is one.

    It wraps them if all lies in it, and it holds either a list of submissions or several entries
    which are directories or archives. Else it is a student's own.
    """
    paths = [tuple(p for p in member.path.split("/") if p not in {"", "."}) for member in members]
    paths = [path for path in paths if path and path[0] != _APPLE_DOUBLE]
    if len({path[0] for path in paths}) != 1:
        return ()
    inner = {path[1] for path in paths if len(path) > 1 and not is_skipped(path[1])}
    directories = {path[1] for path in paths if len(path) > 2}
    loose = {name for name in inner - directories if not is_archive(name)}
    if "submission_metadata.yml" in inner or (len(inner) > 1 and not loose):
        return paths[0][:1]
    return ()


@dataclass(kw_only=True)
class _Plan:
    """What is to be written of one student's members.

    Attributes:
        files: by their indices, where each goes below the target.
        spellings: of every path and of those above it, by what file systems may take it for.
        declared_bytes: what the headers promise.
        written_bytes: what really came.
    """

    caps: Caps
    total_bytes: int
    files: dict[int, Parts] = field(default_factory=dict)
    spellings: dict[Parts, Parts] = field(default_factory=dict)
    taken: set[Parts] = field(default_factory=set)
    parents: set[Parts] = field(default_factory=set)
    members: int = 0
    declared_bytes: int = 0
    written_bytes: int = 0

    def add_all(self, members: Iterable[Member]) -> None:
        """Check every member."""
        for member in members:
            self.add(member)

    def add(self, member: Member) -> None:
        """Check one member, and take it into the plan if it is a student's work.

        Raises:
            UnusableSubmissionError: it must not be written.
        """
        self.members += 1
        if self.members > self.caps.members:
            raise _refusal(f"it has more than {self.caps.members:,} members")
        parts = _safe_parts(member.path)
        if not parts or any(is_skipped(part) or part == _APPLE_DOUBLE for part in parts):
            return
        if member.flaw:
            raise _refusal(f"{display_name(member.path)} in it is {member.flaw}")
        if len(parts) > self.caps.depth + 1:
            raise _refusal(
                f"{display_name(member.path)} in it is more than {self.caps.depth} directories deep"
            )
        self._require_distinct(parts, is_directory=member.is_directory)
        if not member.is_directory:
            self._require_small(member)
            self.files[member.index] = parts

    def _require_distinct(self, parts: Parts, *, is_directory: bool) -> None:
        above = [parts[:length] for length in range(1, len(parts))]
        for path in (*above, parts):
            spelling = self.spellings.setdefault(_without_case(path), path)
            if spelling != path:
                raise _refusal(
                    f"{_shown(spelling)} and {_shown(path)} in it are one name to some file systems"
                )
        if not self.taken.isdisjoint(above) or (
            parts in self.taken or (not is_directory and parts in self.parents)
        ):
            raise _refusal(f"{_shown(parts)} is in it twice")
        self.parents.update(above)
        if is_directory:
            self.parents.add(parts)
        else:
            self.taken.add(parts)

    def _require_small(self, member: Member) -> None:
        self.declared_bytes += member.size_bytes
        if member.size_bytes > self.caps.file_bytes:
            raise _refusal(
                f"{display_name(member.path)} in it has more than {self.caps.file_bytes:,} bytes"
            )
        if self.declared_bytes > self.total_bytes:
            raise _too_large(self.total_bytes)

    def write(self, index: int, opener: Opener, target: Path) -> None:
        """Write one member of the plan, counting what really comes."""
        destination = target.joinpath(*self.files[index])
        destination.parent.mkdir(parents=True, exist_ok=True)
        with opener() as source, destination.open("xb") as copy:
            for chunk in _chunks(source):
                self.written_bytes += len(chunk)
                if self.written_bytes > self.total_bytes:
                    raise _too_large(self.total_bytes)
                copy.write(chunk)


def _safe_parts(path: str) -> Parts:
    """A member's path below the target.

    Raises:
        UnusableSubmissionError: it leads elsewhere, or no file can have it.
    """
    shown = display_name(path)
    if path.startswith("/") or _DRIVE.match(path):
        raise _refusal(f"{shown} in it is an absolute path")
    if "\\" in path or "\0" in path:
        raise _refusal(f"{shown} in it has a backslash or a NUL")
    parts = tuple(part for part in path.split("/") if part not in {"", "."})
    if ".." in parts:
        raise _refusal(f"{shown} in it leads out of the archive")
    if any(len(os.fsencode(part)) > _MAXIMUM_PART_BYTES for part in parts):
        raise _refusal(f"a name in it has more than {_MAXIMUM_PART_BYTES} bytes: {shown[:60]}…")
    return parts


def _without_case(path: Parts) -> Parts:
    """What macOS and Windows may take this path for (Unicode's canonical caseless matching)."""
    return tuple(
        unicodedata.normalize("NFD", unicodedata.normalize("NFD", part).casefold()) for part in path
    )


def _total_cap(archive_bytes: int, caps: Caps) -> int:
    return min(caps.total_bytes, max(RATIO_FREE_BYTES, MAXIMUM_RATIO * archive_bytes))


def _chunks(source: IO[bytes]) -> Iterator[bytes]:
    while chunk := source.read(CHUNK_BYTES):
        yield chunk


def _shown(parts: Parts) -> str:
    return display_name("/".join(parts))


def _refusal(message: str) -> UnusableSubmissionError:
    return UnusableSubmissionError(message, next_step=REMEDY)


def _too_large(limit_bytes: int) -> UnusableSubmissionError:
    return _refusal(f"it unpacks to more than {limit_bytes:,} bytes, as a bomb does")


@contextmanager
def _named(archive: Path) -> Iterator[None]:
    """Put the archive's name before whatever is wrong with it."""
    try:
        with _damage_explained():
            yield
    except UnusableSubmissionError as error:
        raise UnusableSubmissionError(
            f"{display_name(archive.name)} cannot be unpacked: {error}", next_step=error.next_step
        ) from error


@contextmanager
def _damage_explained() -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        raise _refusal(f"it is damaged ({display_name(str(error)) or 'it ends early'})") from error
    except OSError as error:
        # gzip and bz2 tell of damage by an OSError without a number; a wrong offset is invalid.
        if error.errno in {None, errno.EINVAL}:
            raise _refusal(f"it is damaged ({display_name(str(error))})") from error
        raise MachineError(
            f"an archive could not be unpacked: {error.strerror}",
            next_step="see that the temporary directory (TMPDIR) has room, then start again",
        ) from error
