"""What one student handed in: open it, whatever wraps it, and tell whether it has changed."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Self

from grader.errors import UnusableSubmissionError
from grader.intake.archives import is_archive, unpack
from grader.intake.layouts import resubmission_of
from grader.intake.private_copy import (
    MAXIMUM_DEPTH,
    MAXIMUM_ENTRIES,
    MAXIMUM_TOTAL_BYTES,
    READ_BYTES,
    is_skipped,
)
from grader.intake.private_directory import make_private_directory
from grader.intake.records import LooseFile
from grader.intake.students import Student
from grader.text import display_name

MAXIMUM_WRAPPING = 3
"""How many directories, or archives in archives, may wrap the assignment's files."""

MAXIMUM_FINGERPRINT_BYTES = 4 * MAXIMUM_TOTAL_BYTES
"""As much as may be unpacked."""


@dataclass(frozen=True, kw_only=True)
class Handed:
    """What one student handed in.

    Attributes:
        source: the directory, the archive, or the directory that holds the loose files.
        late: the platform's mark, or None where it sets none.
        submitted_at: with its time zone, or None.
        resubmission: how many came before, as far as the platform tells.
        loose: the files, where a platform put all students' into one directory.
        refusal: why it cannot be opened at all, or nothing.
        refusal_needs_person: whether the student may have done nothing wrong.
    """

    student: Student
    source: Path
    late: bool | None = None
    submitted_at: datetime | None = None
    resubmission: int = 0
    loose: tuple[LooseFile, ...] = ()
    refusal: str = ""
    refusal_needs_person: bool = False


@contextmanager
def open_submission(handed: Handed, files: Sequence[str]) -> Iterator[Path]:
    """The directory that `grader.intake.private_copy.collect` takes, as long as the block lasts.

    Args:
        handed: one student's submission.
        files: the assignment's files. They may lie in one archive, in one directory, or in one in
            the other; what Canvas renamed gets its name back.

    Raises:
        UnusableSubmissionError: it cannot be unpacked, or has none of the files.
        MachineError: there is no room to unpack it.
    """
    if handed.refusal:
        raise UnusableSubmissionError(
            handed.refusal,
            next_step="leave one of them there, then grade again"
            if handed.refusal_needs_person
            else "ask the student to hand in the plain files, or one ordinary zip archive",
            needs_person=handed.refusal_needs_person,
        )
    with _Opening(files=tuple(files)) as opening:
        if handed.loose:
            yield opening.settle(opening.gather(handed.loose))
        elif _kind(handed.source) == stat.S_IFREG:
            yield opening.settle(opening.unpack(handed.source))
        elif _kind(handed.source) == stat.S_IFDIR:
            yield opening.settle(handed.source)
        else:
            raise UnusableSubmissionError(
                f"{display_name(handed.source.name)} is neither a directory nor an archive",
                next_step="see whether it was moved or deleted",
                needs_person=True,
            )


@dataclass(kw_only=True)
class _Opening:
    """The search for the assignment's files, with room for what is unpacked on the way.

    Attributes:
        files: the assignment's.
        rooms: private directories, which go away at the end.
    """

    files: tuple[str, ...]
    rooms: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.rooms.close()

    def _take_room(self) -> Path:
        private = make_private_directory()
        self.rooms.callback(private.delete)
        target = private.path / "unpacked"
        target.mkdir()
        return target

    def unpack(self, archive: Path) -> Path:
        """What an archive holds."""
        target = self._take_room()
        unpack(archive, target)
        return target

    def gather(self, loose: Sequence[LooseFile]) -> Path:
        """Copy loose files into one directory, each under the name that the assignment gives it."""
        target = self._take_room()
        # The latest upload of a name has the highest number, and is copied last.
        for file in sorted(loose, key=lambda file: resubmission_of(file.name)[1]):
            if is_skipped(file.name):
                continue
            try:
                source = _open_regular(file.path)
            except OSError:
                continue  # a link, or a file that went away: then it was not handed in
            destination = target / self._wanted_path(file.name)
            destination.parent.mkdir(parents=True, exist_ok=True)
            with source:
                destination.write_bytes(source.read(MAXIMUM_TOTAL_BYTES))
        return target

    def _wanted_path(self, name: str) -> str:
        """Where a flat file belongs; platforms drop its directory and may number it."""
        places: dict[str, list[str]] = {}
        for file in self.files:
            places.setdefault(PurePosixPath(file).name, []).append(file)
        for candidate in (name, resubmission_of(name)[0]):
            if len(places.get(candidate, ())) == 1:
                return places[candidate][0]
        return name

    def settle(self, directory: Path) -> Path:
        """The directory at or below this one that holds the assignment's files.

        Raises:
            UnusableSubmissionError: there is none, or it is not clear which.
        """
        for unpackings_left in reversed(range(MAXIMUM_WRAPPING)):
            levels = list(_levels(directory))
            holding = _first_found(levels, lambda place: [place] if self._holds_some(place) else [])
            if len(holding) == 1:
                return holding[0]
            if holding:
                raise self._unclear(directory, holding)
            archives = _first_found(levels, _archives)
            if len(archives) != 1 or not unpackings_left:
                break
            directory = self.unpack(archives[0])
        raise self._nothing(directory, archives)

    def _holds_some(self, directory: Path) -> bool:
        return any(_kind(directory / file) == stat.S_IFREG for file in self.files)

    def _unclear(self, directory: Path, holding: list[Path]) -> UnusableSubmissionError:
        places = " and ".join(
            display_name(str(place.relative_to(directory))) for place in holding[:5]
        )
        return UnusableSubmissionError(
            f"the assignment's files lie in several directories: {places}",
            next_step="see which of them is meant, and leave only that one",
            needs_person=True,
        )

    def _nothing(self, directory: Path, archives: list[Path]) -> UnusableSubmissionError:
        there = sorted(
            display_name(entry.name)
            for kind in (stat.S_IFREG, stat.S_IFDIR)
            for entry in _entries(directory, kind)
        )
        found = f"there is {', '.join(there[:8])}" if there else "there is nothing"
        if len(archives) > 1:
            found = f"there are {len(archives)} archives: {', '.join(there[:8])}"
        return UnusableSubmissionError(
            f"none of the assignment's files was handed in ({found})",
            next_step=f"hand in {', '.join(self.files)}",
            needs_person=len(archives) > 1,
        )


def _levels(directory: Path) -> Iterator[list[Path]]:
    """The directory, then those in it, then those in them, as far as wrapping goes."""
    level = [directory]
    for _ in range(MAXIMUM_WRAPPING + 1):
        yield level
        inner = (child for parent in level for child in _entries(parent, stat.S_IFDIR))
        level = list(islice(inner, MAXIMUM_ENTRIES))


def _first_found(levels: list[list[Path]], find: Callable[[Path], list[Path]]) -> list[Path]:
    """What is found in the directories of the first level that has any."""
    for level in levels:
        if found := [path for directory in level for path in find(directory)]:
            return found
    return []


def _archives(directory: Path) -> list[Path]:
    return [entry for entry in _entries(directory, stat.S_IFREG) if is_archive(entry.name)]


def _entries(directory: Path, kind: int) -> list[Path]:
    """What a directory holds of one kind, links not followed; sorted, tools' leavings left out."""
    try:
        entries = sorted(directory.iterdir())[:MAXIMUM_ENTRIES]
    except OSError:
        return []
    return [entry for entry in entries if _kind(entry) == kind and not is_skipped(entry.name)]


def _kind(path: Path) -> int:
    try:
        return stat.S_IFMT(path.lstat().st_mode)
    except OSError:
        return 0


def _open_regular(path: Path | str, directory: int | None = None) -> BinaryIO:
    """Open a regular file, never through a link and never waiting.

    Raises:
        OSError: it is none, or cannot be read.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    file = os.fdopen(os.open(path, flags, dir_fd=directory), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "not a regular file")
    return file


def fingerprint(handed: Handed) -> str:
    """SHA-256 over what was handed in, in hexadecimal, without unpacking.

    It changes with the names and contents of the files that `grader.intake.private_copy` would look
    at. Links are not followed, and what is beyond the caps counts by its size.
    """
    contents = _Contents()
    if handed.loose:
        for file in sorted(handed.loose, key=lambda file: file.name):
            contents.add(os.fsencode(file.name), file.path)
    elif _kind(handed.source) == stat.S_IFDIR:
        contents.add_directory(handed.source)
    else:
        contents.add(b"", handed.source)
    contents.digest.update(handed.refusal.encode())
    return contents.digest.hexdigest()


@dataclass(kw_only=True)
class _Contents:
    """A digest of files, which stops reading at a limit."""

    digest: hashlib._Hash = field(default_factory=hashlib.sha256)
    left_bytes: int = MAXIMUM_FINGERPRINT_BYTES

    def add(self, name: bytes, path: Path | str, directory: int | None = None) -> None:
        """Add one file: its name, size and contents; of what is no file only that it is there."""
        self.digest.update(len(name).to_bytes(4, "big") + name)
        try:
            with _open_regular(path, directory) as file:
                size = os.fstat(file.fileno()).st_size
                self.digest.update(size.to_bytes(8, "big"))
                while self.left_bytes > 0 and (chunk := file.read(READ_BYTES)):
                    self.digest.update(chunk)
                    self.left_bytes -= len(chunk)
        except OSError as error:
            self.digest.update(f"unreadable: {error.errno}".encode())

    def add_directory(self, top: Path) -> None:
        """Add every file below that may count, in order."""
        seen = 0
        for parent, directories, names, descriptor in os.fwalk(top):
            inner = PurePosixPath(parent).relative_to(top)
            directories[:] = sorted(name for name in directories if not is_skipped(name))
            if len(inner.parts) >= MAXIMUM_DEPTH + MAXIMUM_WRAPPING:
                directories.clear()
            for name in sorted(names):
                seen += 1
                if seen > MAXIMUM_ENTRIES:
                    return
                if not is_skipped(name):
                    self.add(os.fsencode(inner / name), name, descriptor)
