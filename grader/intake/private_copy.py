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
from grader.intake.names import CODE, MAXIMUM_COMPARED, Match, match_code, suffix_of
from grader.intake.private_directory import private_directory
from grader.intake.submission import LEFT_OUT, MAXIMUM_NOTES, SHOWN_FILES, Submission
from grader.intake.written import TEXTS, names_part
from grader.models.questions import MAXIMUM_WEIGHTS_BYTES, WEIGHTS
from grader.results import IntakeNote
from grader.text import display_name

MAXIMUM_FILES = 500
MAXIMUM_FILE_BYTES = 5_000_000
MAXIMUM_TOTAL_BYTES = 50_000_000
MAXIMUM_NOTEBOOK_BYTES = 200_000_000
"""Of all notebooks as submitted, of which their cells are kept."""
MAXIMUM_DEPTH = 6
MAXIMUM_ENTRIES = 20_000

_DATA_SET_DIRECTORIES = frozenset(
    {
        *("data", "dataset", "datasets", "mnist", "fashionmnist", "kmnist", "emnist"),
        *("cifar-10-batches-py", "cifar-100-python", "stl10_binary"),
    }
)
_DATA_SET_ENDINGS = ("-ubyte", "-ubyte.gz", "mnist.npz", "mnist.pkl.gz")
_DATA_SET_REASON = "a data set is not needed, the grader has its own"
_MOST_OWN_FILES, _OWN_FILE_BYTES = 20, 100_000
"""A student's own tables may lie in a directory of that name: few and small."""


@contextmanager
def collect(
    directory: Path,
    files: Sequence[str],
    other_names: Mapping[str, Sequence[str]] = MappingProxyType({}),
    left_out: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Submission]:
    """Copy the regular files in `directory`, and delete the copy at the end.

    Args:
        directory: the submitted directory, or the one file of code that is the submission.
        files: the assignment's files; they are copied first, so that no other can crowd them out.
        other_names: names and glob patterns under which a file may come, too, by file.
        left_out: files that were not unpacked, with the reasons.

    Raises:
        UsageError: `directory` is not a directory, cannot be read, or holds none of `files`.
    """
    only = ""
    if suffix_of(directory.name) in CODE and directory.is_file():
        resolved = directory.resolve()
        directory, only = resolved.parent, resolved.name
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
        copying = _Copying(expected=tuple(files), root=private / "files", only=only)
        copying.root.mkdir()
        for file, reason in left_out.items():
            copying.leave_out(file, reason.removeprefix(LEFT_OUT))
        try:
            for file in files:
                copying.copy_expected(opened, PurePosixPath(file))
            copying.copy_code(opened, other_names)
            copying.copy_others(opened)
        finally:
            close_directory(opened)
        copying.require_some(directory)
        submission = copying.finish(display_name(Path(only).stem or directory.resolve().name))
        described = submission.describe_files(other_names)
        others = [
            note
            for note in submission.notes
            if not any(
                each.file == note.file or f"{note.file} was {note.message}" in each.message
                for each in described
                if each.needs_person
            )
        ]
        yield replace(submission, notes=(*described, *others)[:MAXIMUM_NOTES])


@dataclass(kw_only=True)
class _Copying:
    """The copying of one submission; the digests are SHA-256, by the file's path as bytes.

    Attributes:
        only: the name of the only file to copy, or "" for all.
    """

    expected: tuple[str, ...]
    root: Path
    only: str = ""
    matches: dict[str, Match] = field(default_factory=dict)
    digests: dict[bytes, bytes] = field(default_factory=dict)
    notes: list[IntakeNote] = field(default_factory=list)
    # Directories that hold a file named like an expected one.
    elsewhere: set[str] = field(default_factory=set)
    left_out: dict[str, str] = field(default_factory=dict)
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
        if os.fsencode(str(path)) in self.digests or self.only not in {"", str(path)}:
            return
        with ExitStack() as opened:
            directory = top
            for index, part in enumerate(path.parts[:-1]):
                status = _status(part, directory) if part in names_below(directory) else None
                if status is None:
                    return
                if not stat.S_ISDIR(status.st_mode):
                    parent = "/".join(path.parts[: index + 1])
                    self.leave_out(str(path), f"{parent} is {kind_name(status.st_mode)}")
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
            if self.only not in {"", entry}:
                continue
            path = prefix + os.fsencode(entry)
            status = _status(entry, directory)
            if status is None or is_skipped(entry):
                continue
            if not stat.S_ISDIR(status.st_mode):
                yield entry, directory, path
            elif entry.lower() in _DATA_SET_DIRECTORIES:
                yield from self._walk_data_set(entry, directory, path)
            elif depth == MAXIMUM_DEPTH:
                self.leave_out(path, f"more than {MAXIMUM_DEPTH} directories deep")
            else:
                with ExitStack() as opened:
                    inner = self._enter(entry, directory, path, opened)
                    if inner is not None:
                        yield from self._walk(inner, path + b"/", depth + 1)

    def _walk_data_set(
        self, entry: str, directory: Directory, path: bytes
    ) -> Iterator[tuple[str, Directory, bytes]]:
        """Yield a student's own files among a data set, or note that there are none."""
        with ExitStack() as opened:
            inner = self._enter(entry, directory, path, opened)
            if inner is None:
                return
            names = sorted(names_below(inner))
            # So many are a data set, whose files need not be looked at one by one.
            few = names if len(names) <= _MOST_OWN_FILES else []
            own = [name for name in few if _is_own(_status(name, inner), name)]
            for name in own:
                yield name, inner, path + b"/" + os.fsencode(name)
            if len(own) < len(names):
                self.leave_out(path, _DATA_SET_REASON)

    def _enter(
        self, entry: str, directory: Directory, path: str | bytes, opened: ExitStack
    ) -> Directory | None:
        """Open a directory below another until `opened` closes, or note why not."""
        try:
            inner = open_directory(entry, directory)
        except OSError as error:
            self.leave_out(path, f"it cannot be read ({error.strerror})")
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
            self.leave_out(path, reason)

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
        is_weights = suffix_of(entry) in WEIGHTS and os.fsdecode(path) in self.expected
        if is_weights:
            maximum_bytes = MAXIMUM_WEIGHTS_BYTES
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
        if not is_weights and self.total_bytes + len(kept) > MAXIMUM_TOTAL_BYTES:
            return f"more than {MAXIMUM_TOTAL_BYTES:,} bytes in all"
        target = self.root / os.fsdecode(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(kept)
        self.total_bytes += 0 if is_weights else len(kept)
        self.digests[path] = hashlib.sha256(content).digest()
        return ""

    def leave_out(self, path: str | bytes, reason: str) -> None:
        """Note a file that is not copied."""
        self._note(path, LEFT_OUT + reason)
        if len(self.left_out) < MAXIMUM_NOTES:
            self.left_out.setdefault(display_name(path), LEFT_OUT + reason)

    def _note(self, path: str | bytes, message: str) -> None:
        note = IntakeNote(file=display_name(path), message=message)
        if len(self.notes) < MAXIMUM_NOTES and note not in self.notes:
            self.notes.append(note)

    def require_some(self, directory: Path) -> None:
        """Refuse a directory that is plainly not the submission.

        Raises:
            UsageError: no expected file is there, not even one that was left out.
        """
        names = self._names()
        if not {*self.expected}.isdisjoint(names):
            return
        matches = self.matches.values()
        if any(match.sources for match in matches):
            return
        # In the directory of several students, each expected file has several candidates.
        if any("/" not in file for match in matches for file in match.candidates):
            return
        if any(names_part(file, each) for file in names for each in self.expected):
            return
        next_step = "name the directory that holds them"
        if self.elsewhere:
            inner = directory / min(self.elsewhere)
            next_step = f"some are in {display_name(str(inner))}: name that directory"
        there = [file for file in names if "/" not in file]
        found = f"; there is {', '.join(there[:SHOWN_FILES])}" if there else ""
        raise UsageError(
            f"no file of the assignment found in {display_name(str(directory / self.only))}; "
            f"expected {', '.join(self.expected)}{found}",
            next_step=next_step,
        )

    def _names(self) -> list[str]:
        """Return the names of all files, as they are shown."""
        return sorted({*map(display_name, self.digests), *self.left_out})

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
        return Submission(
            name=name,
            root=self.root,
            files=tuple(display_name(path) for path in sorted(self.digests)),
            notes=tuple(self.notes),
            sha256=total.hexdigest(),
            sources=sources,
            matches=self.matches,
            written=tuple(file for file in self.expected if suffix_of(file) in TEXTS),
            left_out=dict(self.left_out),
            digests={display_name(path): digest.hex() for path, digest in self.digests.items()},
        )

    def _copied_sources(self) -> dict[str, tuple[str, ...]]:
        return {
            file: tuple(each for each in match.sources if os.fsencode(each) in self.digests)
            for file, match in self.matches.items()
        }


def _is_own(status: os.stat_result | None, name: str) -> bool:
    """Return True for a file that is too small for a data set's."""
    return (
        status is not None
        and stat.S_ISREG(status.st_mode)
        and status.st_size <= _OWN_FILE_BYTES
        and not is_skipped(name)
        and not name.lower().endswith(_DATA_SET_ENDINGS)
    )


def _status(entry: str, directory: Directory) -> os.stat_result | None:
    try:
        return status_below(entry, directory)
    except OSError:
        return None
