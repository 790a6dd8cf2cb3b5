"""A submission's private copy: the files that stand for the assignment's, and written answers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from grader.intake import notebooks
from grader.intake.names import CODE, Match, meant_for, suffix_of, words_of
from grader.intake.notebooks import Cell
from grader.intake.unused import find_unused
from grader.intake.written import TEXTS, Writings, WrittenAnswer, problem_of
from grader.models.failures import Failure, FailureKind
from grader.results import IntakeNote

MAXIMUM_WRITTEN_BYTES = 200_000
MAXIMUM_NOTES = 100
SHOWN_FILES = 5
NOT_HANDED_IN = "not handed in"
LEFT_OUT = "left out: "
"""The beginning of a note's message about a file that was not copied."""


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
        matches: the same before copying, with the candidates where several files may be meant.
        written: the assignment's files for written answers.
        left_out: the files that were not copied, with the notes' messages.
        digests: the SHA-256 of each copied file as submitted, in hexadecimal.
    """

    name: str
    root: Path
    files: tuple[str, ...]
    notes: tuple[IntakeNote, ...]
    sha256: str
    sources: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    matches: Mapping[str, Match] = field(default_factory=dict)
    written: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
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
    def _readable(self) -> tuple[str, ...]:
        """The files without those whose names are shown with escapes."""
        return tuple(file for file in self.files if self.root.joinpath(file).is_file())

    @cached_property
    def _writings(self) -> Writings:
        read_as = _files_by_source(self.sources)
        texts = {
            file: text
            for file in self._readable
            if suffix_of(file) in TEXTS and isinstance(text := self._read_text(file), str)
        }
        return Writings(
            expected=self.written,
            names=(*self.files, *(name for name in self.left_out if name not in self.files)),
            texts=texts,
            notebooks={
                file: self.read_cells(file)
                for file in self._readable
                if suffix_of(file) == notebooks.SUFFIX
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
        encoded = (self.root / file).read_bytes()
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
        kind, reason = self._absence(file)
        ordinary = "an ordinary file" if reason.startswith(LEFT_OUT) else "a file"
        return _unreadable(kind, file, f"{file} was {reason}.", f"Hand in {ordinary} named {file}.")

    def _absence(self, file: str) -> tuple[FailureKind, str]:
        """Return why a file is not in the copy, in words that follow "was "."""
        if file in self.left_out:
            return "unreadable-file", self.left_out[file]
        match = self.matches.get(file, Match())
        left_out = [source for source in match.sources if source in self.left_out]
        if left_out:
            found = " and ".join(f"{source} was {self.left_out[source]}" for source in left_out)
            return "unreadable-file", f"{NOT_HANDED_IN}; {found}"
        if match.candidates:
            found = _listing(match.candidates, "or")
            return "unclear-file", f"{NOT_HANDED_IN}; it is unclear whether {found} is meant"
        others = [other for other in self.unused if suffix_of(other) in CODE]
        if others and file in self.matches:
            return "missing-file", f"{NOT_HANDED_IN}; there is {_listing(others, 'and')}"
        return "missing-file", NOT_HANDED_IN

    def graded_code(self) -> dict[str, str]:
        """Return the text of the graded code, by the assignment's file that it stands for.

        A source of several of the assignment's files has its own name, ending in ".py".
        """
        found: dict[str, list[str]] = {}
        for source, files in _files_by_source(self.sources).items():
            own = source if suffix_of(source) == ".py" else f"{source}.py"
            cells = [cell.source for cell in self.read_cells(source) if cell.kind == "code"]
            found.setdefault(files[0] if len(files) == 1 else own, []).extend(cells)
        return {file: "\n\n".join(cells) for file, cells in found.items()}

    def answering_files(self) -> tuple[str, ...]:
        """Return the texts and documents in which a person may look for written answers."""
        writings = self._writings
        named = {*writings.claimed, *writings.unclaimed}
        return tuple(file for file in self._readable if file in named and file not in self.sources)

    @cached_property
    def unused(self) -> tuple[str, ...]:
        """The copied files of code, texts and documents that no part uses."""
        code = {
            file: self.root.joinpath(file).read_bytes().decode("utf-8", "replace")
            for file in self._readable
            if suffix_of(file) == ".py"
        }
        used = _files_by_source(self.sources)
        return find_unused(self.files, code, used, self._writings.claimed)

    def describe_files(self, other_names: Mapping[str, Sequence[str]]) -> tuple[IntakeNote, ...]:
        """Return notes on files that are unclear, have another name, or are not used.

        `other_names` is as in `grader.intake.private_copy.collect`.
        """
        unclear = [
            IntakeNote(file=file, message=reason, needs_person=True)
            for file in (*self.matches, *self.written)
            if file not in self.files and not self.sources.get(file)
            if (reason := self._absence(file)[1]) != NOT_HANDED_IN
        ]
        renamed = [
            IntakeNote(file=source, message=f"read as {_listing(files, 'and')}")
            for source, files in _files_by_source(self.sources).items()
            if files != [source]
        ]
        unused = []
        for file in self.unused[:MAXIMUM_NOTES]:
            expected = meant_for(file, list(self.sources), other_names)
            taken = self.sources.get(expected, ())
            reason = f", because {_listing(taken, 'and')} is there" if taken else ""
            # Work in a notebook beside an untouched template is easily lost.
            is_notebook = suffix_of(file) == notebooks.SUFFIX and bool(taken)
            unused.append(
                IntakeNote(file=file, message=f"not used{reason}", needs_person=is_notebook)
            )
        return (*unclear, *renamed, *unused)


def _listing(files: Sequence[str], conjunction: str) -> str:
    shown = list(files[:SHOWN_FILES])
    if len(files) > SHOWN_FILES:
        shown.append(f"{len(files) - SHOWN_FILES} more")
    return f" {conjunction} ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))


def _files_by_source(sources: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return the assignment's files for which each source stands."""
    found: dict[str, list[str]] = {}
    for file, standing in sources.items():
        for source in standing:
            found.setdefault(source, []).append(file)
    return found


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
