"""Copy the regular files of a submission, and nothing else, into a private read-only directory.

The directory is the student's and may change while it is read. So it is walked by directory
descriptors, never by path; no link is followed; and every size is limited while reading.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from grader.errors import SubmissionError, UsageError
from grader.intake import notebooks
from grader.intake.files import (
    Directory,
    close_directory,
    is_skipped,
    kind_name,
    names_below,
    open_directory,
    open_regular,
    status_below,
)
from grader.intake.names import CODE, MAXIMUM_COMPARED, Match, match_code, suffix_of, words_of
from grader.intake.notebooks import Cell
from grader.intake.private_directory import private_directory
from grader.intake.written import TEXTS, Writings, WrittenAnswer, problem_of
from grader.models.failures import Failure, FailureKind
from grader.results import IntakeNote
from grader.text import display_name

MAXIMUM_FILES = 500
MAXIMUM_FILE_BYTES = 5_000_000
MAXIMUM_TOTAL_BYTES = 50_000_000
MAXIMUM_NOTEBOOK_BYTES = 200_000_000
"""Of all notebooks as submitted, of which their cells are kept."""
MAXIMUM_DEPTH = 6
MAXIMUM_ENTRIES = 20_000
MAXIMUM_WRITTEN_BYTES = 200_000
MAXIMUM_NOTES = 100

_DATA_SET_DIRECTORIES = frozenset({"data", "dataset", "datasets", "mnist"})
_DATA_SET_ENDINGS = ("-ubyte", "-ubyte.gz", "mnist.npz", "mnist.pkl.gz")
_DATA_SET_REASON = "a data set is not needed, the grader has its own"


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A submission's private copy.

    Attributes:
        name: the submitted directory's name.
        root: the copy; every file in it is regular, read-only and has one name. Notebooks are in
            the plain form of `grader.intake.notebooks`.
        files: the copied files' names as text, sorted.
        notes: the files that were left out, or used under another name, with the reasons.
        sha256: of the names and submitted contents of the copied files, in hexadecimal.
        sources: the copied files that stand for each of the assignment's files of code.
        written: the assignment's files for written answers.
        left_out: the names of files that were not copied.
        digests: the SHA-256 of each copied file as submitted, in hexadecimal.
    """

    name: str
    root: Path
    files: tuple[str, ...]
    notes: tuple[IntakeNote, ...]
    sha256: str
    sources: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    written: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    digests: Mapping[str, str] = field(default_factory=dict)

    def read_cells(self, file: str) -> tuple[Cell, ...]:
        """Return the cells of a copied notebook, or a copied Python file as one cell."""
        content = self.root.joinpath(file).read_bytes()
        if file.casefold().endswith(notebooks.SUFFIX):
            return notebooks.read_plain(content)
        return (Cell(number=0, kind="code", source=content.decode("utf-8", "replace")),)

    def read_written(self, file: str, below: str = "") -> WrittenAnswer | Failure:
        """Return a written answer, or a failure if there is none.

        Args:
            file: the assignment's file; the answer may come under another name.
            below: a marker; the answer stands below it if it is there.
        """
        found = self._writings.find(file, below)
        if found.text or found.documents:
            return replace(found, sha256=self._digest_of(found.documents))
        if file not in self.files:
            return self.explain_absence(file)
        text = self._read_text(file)
        return text if isinstance(text, Failure) else WrittenAnswer(place=file)

    @cached_property
    def _writings(self) -> Writings:
        read_as = _files_by_source(self.sources)
        texts = {
            file: text
            for file in self.files
            if suffix_of(file) in TEXTS and isinstance(text := self._read_text(file), str)
        }
        return Writings(
            expected=self.written,
            names=(*self.files, *(name for name in self.left_out if name not in self.files)),
            texts=texts,
            notebooks={
                file: self.read_cells(file)
                for file in self.files
                if suffix_of(file) == notebooks.SUFFIX and self.root.joinpath(file).is_file()
            },
            problems={
                source: number
                for source, files in read_as.items()
                if len(files) == 1 and (number := problem_of(files[0])) in words_of(source)
            },
            code="\n".join(cell.source for file in read_as for cell in self.read_cells(file)),
        )

    def _digest_of(self, files: Sequence[str]) -> str:
        """Return the SHA-256 of files' contents, or of the submission for those left out."""
        digests = "".join(self.digests.get(file, self.sha256) for file in files)
        return hashlib.sha256(digests.encode()).hexdigest()

    def _read_text(self, file: str) -> str | Failure:
        try:
            encoded = (self.root / file).read_bytes()
        except OSError:  # a name that is shown with escapes
            return self.explain_absence(file)
        if len(encoded) > MAXIMUM_WRITTEN_BYTES:
            return _unreadable(
                "limit",
                file,
                f"{file} has {len(encoded):,} bytes; at most {MAXIMUM_WRITTEN_BYTES:,} are read.",
                "Hand in text only; images and notebooks do not belong in this file.",
            )
        try:
            return encoded.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = encoded.count(b"\n", 0, error.start) + 1
            return _unreadable(
                "encoding",
                file,
                f"{file} is not UTF-8: line {line} holds the byte 0x{encoded[error.start]:02X}.",
                "Save it as UTF-8 plain text.",
                location=f"{file}:{line}",
            )

    def explain_absence(self, file: str) -> Failure:
        """Return a failure that says why a file is not in the copy."""
        for note in self.notes:
            if note.file == file:
                return _unreadable(
                    "unreadable-file",
                    file,
                    f"{file} was {note.message}.",
                    f"Hand in an ordinary file named {file}.",
                )
        return _unreadable(
            "missing-file", file, f"{file} was not handed in.", f"Hand in a file named {file}."
        )


@contextmanager
def collect(
    directory: Path,
    files: Sequence[str],
    other_names: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> Iterator[Submission]:
    """Copy the regular files in `directory`, and delete the copy at the end.

    Args:
        directory: the submitted directory.
        files: the assignment's files; they are copied first, so that no other can crowd them out.
        other_names: names and glob patterns under which a file may come, too, by file.

    Raises:
        UsageError: `directory` is not a directory, cannot be read, or holds none of `files`.
    """
    try:
        opened = open_directory(directory)
    except OSError as error:
        shown = display_name(str(directory))
        next_step = "name the directory that holds the submission's files; unpack an archive first"
        if isinstance(error, FileNotFoundError):
            problem = f"there is no directory {shown}"
        elif isinstance(error, NotADirectoryError):
            problem = f"{shown} is a file, not a directory"
        else:
            problem = f"{shown} cannot be opened: {error.strerror}"
            next_step = "check its permissions"
        raise UsageError(problem, next_step=next_step) from None
    with private_directory() as private:
        # Only the outer directory is private: the sandbox's user, another one, reads the inner one.
        copying = _Copying(expected=tuple(files), root=private / "files")
        copying.root.mkdir()
        try:
            for file in files:
                copying.copy_expected(opened, PurePosixPath(file))
            copying.copy_code(opened, other_names)
            copying.copy_others(opened)
        finally:
            close_directory(opened)
        copying.require_some(directory)
        yield copying.finish(display_name(directory.resolve().name))


@dataclass(kw_only=True)
class _Copying:
    """The copying of one submission; the digests are SHA-256, by the file's path as bytes."""

    expected: tuple[str, ...]
    root: Path
    matches: dict[str, Match] = field(default_factory=dict)
    digests: dict[bytes, bytes] = field(default_factory=dict)
    notes: list[IntakeNote] = field(default_factory=list)
    # Directories that hold a file named like an expected one.
    elsewhere: set[str] = field(default_factory=set)
    left_out: dict[str, None] = field(default_factory=dict)
    entries: int = 0
    total_bytes: int = 0
    notebook_bytes: int = 0

    def copy_code(self, top: Directory, other_names: Mapping[str, Sequence[str]]) -> None:
        """Find and copy the files that stand for the assignment's files of code."""
        paths = [path for _, _, path in self._walk(top, b"", 0)]
        # A path that is shown with escapes could not be opened by the name that is shown.
        files = [file for path in paths if os.fsencode(file := display_name(path)) == path]
        code = [file for file in self.expected if PurePosixPath(file).suffix in CODE]
        for match in match_code(files, code, other_names).values():
            for file in (*match.sources, *match.candidates[:MAXIMUM_COMPARED]):
                self.copy_expected(top, PurePosixPath(file))
        # Copies that are equal can be told apart from others only now.
        self.matches = match_code(files, code, other_names, self._is_same)

    def _is_same(self, first: str, second: str) -> bool:
        digest = self.digests.get(os.fsencode(first))
        return digest is not None and digest == self.digests.get(os.fsencode(second))

    def copy_expected(self, top: Directory, path: PurePosixPath) -> None:
        """Copy one file of the assignment, or one that stands for it."""
        if os.fsencode(str(path)) in self.digests:
            return
        with ExitStack() as opened:
            directory = top
            for index, part in enumerate(path.parts[:-1]):
                status = _status(part, directory) if part in names_below(directory) else None
                if status is None:
                    return
                if not stat.S_ISDIR(status.st_mode):
                    parent = "/".join(path.parts[: index + 1])
                    self._leave_out(str(path), f"{parent} is {kind_name(status.st_mode)}")
                    return
                inner = self._enter(part, directory, str(path), opened)
                if inner is None:
                    return
                directory = inner
            # Some file systems would find problem_1.py under Problem_1.py, and graders' do not.
            if path.name in names_below(directory):
                self._take(path.name, directory, os.fsencode(str(path)))

    def copy_others(self, top: Directory) -> None:
        """Copy every other file: helper modules, small tables of weights and the like."""
        self.entries = 0
        for entry, directory, path in self._walk(top, b"", 0):
            if b"/" in path and entry in self.expected:
                self.elsewhere.add(display_name(path.rpartition(b"/")[0]))
            if path not in self.digests:
                self._take(entry, directory, path)
        if self.entries > MAXIMUM_ENTRIES:
            self._note(".", f"only its first {MAXIMUM_ENTRIES:,} files were looked at")

    def _walk(
        self, directory: Directory, prefix: bytes, depth: int
    ) -> Iterator[tuple[str, Directory, bytes]]:
        """Yield every file below, with its open directory and its path."""
        for entry in sorted(names_below(directory), key=os.fsencode):
            self.entries += 1
            if self.entries > MAXIMUM_ENTRIES:
                return
            path = prefix + os.fsencode(entry)
            status = _status(entry, directory)
            if status is None or is_skipped(entry):
                continue
            if not stat.S_ISDIR(status.st_mode):
                yield entry, directory, path
            elif entry.lower() in _DATA_SET_DIRECTORIES:
                self._leave_out(path, _DATA_SET_REASON)
            elif depth == MAXIMUM_DEPTH:
                self._leave_out(path, f"more than {MAXIMUM_DEPTH} directories deep")
            else:
                with ExitStack() as opened:
                    inner = self._enter(entry, directory, path, opened)
                    if inner is not None:
                        yield from self._walk(inner, path + b"/", depth + 1)

    def _enter(
        self, entry: str, directory: Directory, path: str | bytes, opened: ExitStack
    ) -> Directory | None:
        """Open a directory below another until `opened` closes, or note why not."""
        try:
            inner = open_directory(entry, directory)
        except OSError as error:
            self._leave_out(path, f"it cannot be read ({error.strerror})")
            return None
        opened.callback(close_directory, inner)
        return inner

    def _take(self, entry: str, directory: Directory, path: bytes) -> None:
        """Copy one file, or note why not."""
        status = _status(entry, directory)
        if status is None:
            return
        try:
            reason = self._reason_against(entry, status) or self._copy(entry, directory, path)
        except OSError as error:
            reason = f"it cannot be read ({error.strerror})"
        if reason:
            self._leave_out(path, reason)

    def _reason_against(self, entry: str, status: os.stat_result) -> str:
        if not stat.S_ISREG(status.st_mode):
            return f"it is {kind_name(status.st_mode)}"
        if status.st_nlink > 1:
            return "it is a hard link to another file"
        if entry.lower().endswith(_DATA_SET_ENDINGS):
            return _DATA_SET_REASON
        return f"more than {MAXIMUM_FILES} files" if len(self.digests) >= MAXIMUM_FILES else ""

    def _copy(self, entry: str, directory: Directory, path: bytes) -> str:
        """Copy one regular file, or return the reason against it."""
        is_notebook = entry.casefold().endswith(notebooks.SUFFIX)
        maximum_bytes = notebooks.MAXIMUM_BYTES if is_notebook else MAXIMUM_FILE_BYTES
        with open_regular(entry, directory) as source:
            if os.fstat(source.fileno()).st_nlink > 1:
                return "it changed while it was read"
            content = source.read(maximum_bytes + 1)
        if len(content) > maximum_bytes:
            return f"larger than {maximum_bytes:,} bytes"
        kept = content
        if is_notebook:
            self.notebook_bytes += len(content)
            if self.notebook_bytes > MAXIMUM_NOTEBOOK_BYTES:
                return f"more than {MAXIMUM_NOTEBOOK_BYTES:,} bytes of notebooks"
            try:
                kept = notebooks.write_plain(notebooks.read_notebook(content))
            except SubmissionError as error:
                return str(error)
        if self.total_bytes + len(kept) > MAXIMUM_TOTAL_BYTES:
            return f"more than {MAXIMUM_TOTAL_BYTES:,} bytes in all"
        target = self.root / os.fsdecode(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(kept)
        self.total_bytes += len(kept)
        self.digests[path] = hashlib.sha256(content).digest()
        return ""

    def _leave_out(self, path: str | bytes, reason: str) -> None:
        self._note(path, f"left out: {reason}")
        if len(self.left_out) < MAXIMUM_NOTES:
            self.left_out[display_name(path)] = None

    def _note(self, path: str | bytes, message: str) -> None:
        note = IntakeNote(file=display_name(path), message=message)
        if len(self.notes) < MAXIMUM_NOTES and note not in self.notes:
            self.notes.append(note)

    def require_some(self, directory: Path) -> None:
        """Refuse a directory that is plainly not the submission.

        Raises:
            UsageError: no expected file is there, not even one that was left out.
        """
        noted = {note.file for note in self.notes}
        if any(os.fsencode(file) in self.digests or file in noted for file in self.expected):
            return
        if any(match.sources for match in self.matches.values()):
            return
        next_step = "name the directory that holds them"
        if self.elsewhere:
            inner = directory / min(self.elsewhere)
            next_step = f"some are in {display_name(str(inner))}: name that directory"
        raise UsageError(
            f"no file of the assignment found in {display_name(str(directory))}; "
            f"expected {', '.join(self.expected)}",
            next_step=next_step,
        )

    def finish(self, name: str) -> Submission:
        """Make the copy read-only and describe it."""
        total = hashlib.sha256()
        for path in sorted(self.digests):
            total.update(len(path).to_bytes(4, "big") + path + self.digests[path])
        for parent, _, names in os.walk(self.root):
            for file in names:
                Path(parent, file).chmod(0o444)
            Path(parent).chmod(0o555)
        sources = self._copied_sources()
        self._note_other_names(sources)
        return Submission(
            name=name,
            root=self.root,
            files=tuple(display_name(path) for path in sorted(self.digests)),
            notes=tuple(self.notes),
            sha256=total.hexdigest(),
            sources=sources,
            written=tuple(file for file in self.expected if suffix_of(file) in TEXTS),
            left_out=tuple(self.left_out),
            digests={display_name(path): digest.hex() for path, digest in self.digests.items()},
        )

    def _copied_sources(self) -> dict[str, tuple[str, ...]]:
        return {
            file: tuple(each for each in match.sources if os.fsencode(each) in self.digests)
            for file, match in self.matches.items()
        }

    def _note_other_names(self, sources: Mapping[str, Sequence[str]]) -> None:
        for source, files in _files_by_source(sources).items():
            if files != [source]:
                self._note(source, f"read as {' and '.join(files)}")


def _files_by_source(sources: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return the assignment's files for which each source stands."""
    found: dict[str, list[str]] = {}
    for file, standing in sources.items():
        for source in standing:
            found.setdefault(source, []).append(file)
    return found


def _status(entry: str, directory: Directory) -> os.stat_result | None:
    try:
        return status_below(entry, directory)
    except OSError:
        return None


def _unreadable(
    kind: FailureKind, file: str, message: str, next_step: str, location: str = ""
) -> Failure:
    return Failure(
        kind=kind,
        phase=f"reading of {file}",
        message=message,
        next_step=next_step,
        location=location,
    )
