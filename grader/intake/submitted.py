"""One student's submitted work: find the assignment's files in it, and compute its digest."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from grader.errors import UnusableSubmissionError
from grader.intake.archives import is_archive, unpack
from grader.intake.files import is_skipped, kind_of, open_regular
from grader.intake.layouts import FoundSubmission, LooseFile, resubmission_of
from grader.intake.names import CODE, find_named, suffix_of
from grader.intake.private_copy import MAXIMUM_DEPTH, MAXIMUM_ENTRIES, MAXIMUM_TOTAL_BYTES
from grader.intake.private_directory import private_directory
from grader.intake.students import Student
from grader.intake.written import DOCUMENTS, TEXTS, names_part
from grader.text import display_name

MAXIMUM_WRAPPING = 3
"""Directories, or archives in archives, that may wrap the assignment's files."""

LEAST_TEXT_BYTES = 150
"""Of a text that may be an answer; a shorter one is an apology."""

MAXIMUM_DIGESTED_BYTES = 4 * MAXIMUM_TOTAL_BYTES
"""As much as may be unpacked."""

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class SubmittedWork(FoundSubmission):
    """A submission with its student.

    Attributes:
        refusal_needs_person: True if the student may have done nothing wrong.
        whose: why it is not certain whose it is, with what to do, or "".
        commit: the hash of the commit whose files these are, if not the one checked out, or "".
    """

    student: Student
    whose: str = ""
    refusal_needs_person: bool = False
    commit: str = ""


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A submission's directory, unpacked if it came as an archive.

    Attributes:
        left_out: the members that were not unpacked, with the reasons.
    """

    directory: Path
    left_out: Mapping[str, str]


@contextmanager
def open_submission(
    work: SubmittedWork,
    files: Sequence[str],
    other_names: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> Iterator[Opened]:
    """Yield the directory that `grader.intake.private_copy.collect` takes.

    The assignment's `files` may lie in one archive, in one directory, or in one in the other;
    files that Canvas renamed get their names back. `other_names` is as in `collect`.

    Raises:
        UnusableSubmissionError: the submission cannot be unpacked, or has none of the files.
        MachineError: the disk is too full to unpack it.
    """
    if work.refusal:
        raise UnusableSubmissionError(
            work.refusal,
            next_step="correct that, then grade again"
            if work.refusal_needs_person
            else "ask the student to submit the plain files, or one ordinary zip archive",
            needs_person=work.refusal_needs_person,
        )
    with ExitStack() as private_directories:
        search = _Search(
            files=tuple(files), other_names=other_names, private_directories=private_directories
        )
        if work.loose:
            yield search.open(search.gather(work.loose))
        elif kind_of(work.source) == stat.S_IFREG:
            yield search.open(search.unpack(work.source))
        elif kind_of(work.source) == stat.S_IFDIR:
            yield search.open(work.source)
        else:
            raise UnusableSubmissionError(
                f"{display_name(work.source.name)} is neither a directory nor an archive",
                next_step="check that it was not moved or deleted",
                needs_person=True,
            )


@dataclass(frozen=True, kw_only=True)
class _Search:
    """The search for the assignment's files; unpacked ones are deleted when the stack closes."""

    files: tuple[str, ...]
    other_names: Mapping[str, Sequence[str]]
    private_directories: ExitStack
    left_out: dict[Path, str] = field(default_factory=dict)

    def open(self, directory: Path) -> Opened:
        """Find the directory that holds the assignment's files.

        Raises:
            UnusableSubmissionError: no directory holds them, or several do.
        """
        settled = self.settle(directory)
        left_out = {
            path.relative_to(settled).as_posix(): reason
            for path, reason in self.left_out.items()
            if path.is_relative_to(settled)
        }
        return Opened(directory=settled, left_out=left_out)

    def _make_directory(self) -> Path:
        target = self.private_directories.enter_context(private_directory()) / "unpacked"
        target.mkdir()
        return target

    def unpack(self, archive: Path) -> Path:
        """Return a directory with an archive's contents."""
        target = self._make_directory()
        for path, reason in unpack(archive, target).items():
            self.left_out[target / path] = reason
        return target

    def gather(self, loose: Sequence[LooseFile]) -> Path:
        """Copy loose files into one directory, each to the assignment's path for it."""
        target = self._make_directory()
        # The latest upload of a name has the highest number, and is copied last.
        for file in sorted(loose, key=lambda file: resubmission_of(file.name)[1]):
            if is_skipped(file.name):
                continue
            try:
                source = open_regular(file.path)
            except OSError:
                continue  # a link, or a file that was deleted
            destination = target / self._expected_path(file.name)
            destination.parent.mkdir(parents=True, exist_ok=True)
            with source:
                destination.write_bytes(source.read(MAXIMUM_TOTAL_BYTES))
        return target

    def _expected_path(self, name: str) -> str:
        """Return the path of a flat file; platforms drop its directory and may number it."""
        for candidate in (name, resubmission_of(name)[0]):
            paths = {file for file in self.files if PurePosixPath(file).name == candidate}
            if len(paths) == 1:
                return paths.pop()
            if self._named([candidate]):
                return candidate
        return name

    def settle(self, directory: Path) -> Path:
        """Return the directory at or below this one that holds the assignment's files.

        Raises:
            UnusableSubmissionError: no directory holds them, or several do.
        """
        for remaining_unpackings in reversed(range(MAXIMUM_WRAPPING)):
            levels = list(_levels(directory))
            holding = _first_found(levels, lambda place: [place] if self._holds_some(place) else [])
            if len(holding) == 1:
                return holding[0]
            if holding:
                return self._common(directory, holding)
            archives = _first_found(levels, _archives)
            if len(archives) != 1 or not remaining_unpackings:
                break
            directory = self.unpack(archives[0])
        # One notebook or script under any name may hold everything.
        having_code = _first_found(levels, lambda place: [place] if _has_code(place) else [])
        if len(having_code) == 1 and not archives:
            return having_code[0]
        raise self._nothing(directory, levels, archives)

    def _common(self, directory: Path, holding: Sequence[Path]) -> Path:
        """Return the directory above several, if no two of them hold the same file of code.

        Raises:
            UnusableSubmissionError: two hold the same file, or a directory holds no code.
        """
        named = [self._named(_names(place)) for place in holding]
        if all(named) and sum(map(len, named)) == len(frozenset().union(*named)):
            return directory
        places = [display_name(str(place.relative_to(directory))) for place in holding[:5]]
        raise UnusableSubmissionError(
            f"the assignment's files lie in several directories: {' and '.join(places)}",
            next_step="leave only the directory that is meant",
            needs_person=True,
        )

    def _holds_some(self, directory: Path) -> bool:
        if any(kind_of(directory / file) == stat.S_IFREG for file in self.files):
            return True
        names = _names(directory)
        if self._named(names):
            return True
        written = [file for file in self.files if suffix_of(file) not in CODE]
        folders = {PurePosixPath(file).parts[0].casefold() for file in written if "/" in file}
        for inner in _entries(directory, stat.S_IFDIR):
            if inner.name.casefold() in folders:
                names += [f"{inner.name}/{name}" for name in _names(inner)]
        return any(names_part(name, file) for name in names for file in written)

    def _named(self, names: Sequence[str]) -> frozenset[str]:
        """Return the assignment's files of code whose names some files bear, or nearly."""
        code = [file for file in self.files if suffix_of(file) in CODE]
        return find_named(names, code, self.other_names)

    def _nothing(
        self, directory: Path, levels: Sequence[Sequence[Path]], archives: Sequence[Path]
    ) -> UnusableSubmissionError:
        there = sorted(
            display_name(entry.name)
            for kind in (stat.S_IFREG, stat.S_IFDIR)
            for entry in _entries(directory, kind)
        )
        found = f"there is {', '.join(there[:8])}" if there else "there is nothing"
        if len(archives) > 1:
            found = f"there are {len(archives)} archives: {', '.join(there[:8])}"
        may_be_work = any(_has_work(place) for level in levels for place in level)
        return UnusableSubmissionError(
            f"none of the assignment's files was submitted ({found})",
            next_step=f"hand in {', '.join(self.files)}",
            needs_person=len(archives) > 1 or may_be_work,
        )


def _levels(directory: Path) -> Iterator[list[Path]]:
    """Yield the directory, then those in it, then those in them, as deep as wrapping goes."""
    level = [directory]
    for _ in range(MAXIMUM_WRAPPING + 1):
        yield level
        inner = (child for parent in level for child in _entries(parent, stat.S_IFDIR))
        level = list(islice(inner, MAXIMUM_ENTRIES))


def _first_found(levels: list[list[Path]], find: Callable[[Path], list[Path]]) -> list[Path]:
    """Return the findings in the first level that has any."""
    for level in levels:
        if found := [path for directory in level for path in find(directory)]:
            return found
    return []


def _archives(directory: Path) -> list[Path]:
    return [entry for entry in _entries(directory, stat.S_IFREG) if is_archive(entry.name)]


def _entries(directory: Path, kind: int) -> list[Path]:
    """Return a directory's entries of one kind, sorted; links are not followed."""
    try:
        entries = sorted(directory.iterdir())[:MAXIMUM_ENTRIES]
    except OSError:
        return []
    return [entry for entry in entries if kind_of(entry) == kind and not is_skipped(entry.name)]


def _names(directory: Path) -> list[str]:
    return [entry.name for entry in _entries(directory, stat.S_IFREG)]


def _has_code(directory: Path) -> bool:
    return any(suffix_of(name) in CODE for name in _names(directory))


def _has_work(directory: Path) -> bool:
    """Return True if a directory holds a file in which a student may have worked."""
    return any(
        entry.lstat().st_size > (LEAST_TEXT_BYTES if suffix_of(entry.name) in TEXTS else 0)
        for entry in _entries(directory, stat.S_IFREG)
        if suffix_of(entry.name) in CODE | DOCUMENTS | TEXTS
    )


def submission_digest(work: SubmittedWork) -> str:
    """Return the SHA-256 of a submission as it lies there, in hexadecimal, without unpacking it.

    The digest covers the names and contents of the files that `grader.intake.private_copy` would
    read. Links are not followed, and files beyond the limit count by their size.
    """
    contents = _Contents()
    if work.loose:
        for file in sorted(work.loose, key=lambda file: file.name):
            contents.add(os.fsencode(file.name), file.path)
    elif kind_of(work.source) == stat.S_IFDIR:
        contents.add_directory(work.source)
    else:
        contents.add(b"", work.source)
    contents.digest.update(work.refusal.encode())
    return contents.digest.hexdigest()


@dataclass(kw_only=True)
class _Contents:
    """A digest of files, up to a limit of bytes read."""

    digest: hashlib._Hash = field(default_factory=hashlib.sha256)
    remaining_bytes: int = MAXIMUM_DIGESTED_BYTES

    def add(self, name: bytes, path: Path | str, directory: int | None = None) -> None:
        """Add one file: its name, size and contents; if it is not regular, only its name."""
        self.digest.update(len(name).to_bytes(4, "big") + name)
        try:
            with open_regular(path, directory) as file:
                size = os.fstat(file.fileno()).st_size
                self.digest.update(size.to_bytes(8, "big"))
                while self.remaining_bytes > 0 and (chunk := file.read(_CHUNK_BYTES)):
                    self.digest.update(chunk)
                    self.remaining_bytes -= len(chunk)
        except OSError as error:
            self.digest.update(f"unreadable: {error.errno}".encode())

    def add_directory(self, top: Path) -> None:
        """Add every file below that may count, in order."""
        seen = 0
        if not os.access(top, os.R_OK | os.X_OK):
            self.digest.update(b"unreadable")
            return
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
