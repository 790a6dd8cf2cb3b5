"""Find written answers: in the assignment's file, under another name, or under a heading.

A PDF, a picture or a text without headings is named for a person to look at, never read.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import PurePosixPath
from urllib.parse import quote

from grader.intake.names import Words, is_within, stem_of, suffix_of, words_of
from grader.intake.notebooks import Cell

TEXTS = frozenset({".md", ".markdown", ".txt", ".text", ""})
PICTURES = frozenset(
    {".png", ".jpg", ".jpeg", ".heic", ".heif", ".webp", ".gif", ".tif", ".tiff", ".bmp", ".svg"}
)
DOCUMENTS = PICTURES | {".pdf", ".docx", ".doc", ".odt", ".rtf", ".pages", ".tex", ".html", ".htm"}

MAXIMUM_SEARCHED = 2_000_000
"""Characters of code and texts in which the names of pictures are looked for."""

LEAST_WORDS = 30
"""Of a text without headings that may be a written answer."""

_FILLERS = frozenset(
    {"problem", "prob", "part", "question", "exercise", "task", "answer", "p", "q"}
)
_CONTEXTS = _FILLERS - {"part", "answer"}
NEVER_ANSWERS = frozenset({"changelog", "license", "readme", "requirements", "template"})
"""Words of texts that answer nothing."""

_MARKUP = re.compile(r"[\s>]*(?P<sign>#{1,6}(?=\s)|\*\*|__)?[\s*_]*")
_KIND = r"(?:(?:problem|prob|question|exercise|task|section|part|[qp](?=[\s.:#\d]))[\s.:#]*)"
_NUMBERED = re.compile(
    rf"{_KIND}?(?P<number>\d{{1,2}})(?P<gap>[\s.,:)-]{{0,4}})(?P<part>part\s+)?"
    r"(?P<open>\(?)(?P<letter>[a-z])(?![^\W_])(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)
_LETTERED = re.compile(
    r"(?P<kind>(?:part|problem|prob|question)\s+)?(?P<open>\(?)(?P<letter>[a-z])(?![^\W_])(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)
_PROBLEM = re.compile(
    rf"(?:{_KIND}(?P<first>\d{{1,2}})(?!\w)|(?P<second>\d{{1,2}})\s*(?:[.:)]|$))", re.IGNORECASE
)
_POINTS = re.compile(r"\W*\d+\s*(?:points?|pts?)\W*", re.IGNORECASE)
_ENDS_LABEL = re.compile(r"\s*(?:[).:\]*_-]|\(\s*\d+\s*(?:points?|pts?)|$)", re.IGNORECASE)
_FENCE = re.compile(r"\s*(?:```|~~~)")
_BOLD, _PLAIN = 7, 8
"""Levels of headings without number signs, below those with."""


@dataclass(frozen=True, kw_only=True)
class WrittenAnswer:
    """A written answer, or the files that a person must look at.

    Attributes:
        text: Markdown below the marker, stripped; may be empty.
        place: the text's file, with the cell of a notebook: "set4.ipynb, cell 3".
        documents: files of the part that are not text, or files that no part claims.
        sha256: of the documents' contents.
    """

    text: str = ""
    place: str = ""
    documents: tuple[str, ...] = ()
    sha256: str = ""


@dataclass(frozen=True, kw_only=True)
class Section:
    """The text under one heading.

    Attributes:
        label: the words that name the part: ("1", "a").
    """

    label: Words
    place: str
    text: str


@dataclass(kw_only=True)
class Writings:
    """All texts, notebooks and documents of one submission.

    Attributes:
        expected: the assignment's written files.
        names: all of the submission's files, those that were too large included.
        texts: those of the files that are plain text and could be read, by name.
        notebooks: the cells of all notebooks, by name.
        problems: the number of the problem that a notebook is for, by name.
        code: the text of all files of code, which may name pictures.
    """

    expected: Sequence[str]
    names: Sequence[str]
    texts: dict[str, str]
    notebooks: Mapping[str, tuple[Cell, ...]]
    problems: Mapping[str, str]
    code: str
    sections: dict[str, list[Section]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Divide every text and notebook by its headings."""
        for file, text in self.texts.items():
            self.sections[file] = list(divide([(file, text)], context=self._problem(file)))
        for file, cells in self.notebooks.items():
            blocks = [
                (f"{file}, cell {cell.number}", cell.source)
                for cell in cells
                if cell.kind == "markdown"
            ]
            self.texts[file] = "\n\n".join(source for _, source in blocks)  # not of a part by name
            self.sections[file] = list(divide(blocks, context=self._problem(file)))

    def find(self, file: str, below: str) -> WrittenAnswer:
        """Return the answer for one of the assignment's files.

        Args:
            file: one of `expected`.
            below: a marker; the answer stands below it if it is there.
        """
        own = [name for name in self.names if names_part(name, file)]
        documents = tuple(name for name in own if suffix_of(name) in DOCUMENTS)
        for found in (self._in_files(file, own), self._in_sections(file)):
            answers = [
                (place, answer)
                for place, text in found
                if (answer := text.rpartition(below)[2].strip() if below else text.strip())
            ]
            if len({answer for _, answer in answers}) == 1:
                place, answer = answers[0]
                return WrittenAnswer(text=answer, place=place, documents=documents)
            if answers:
                places = tuple(place for place, _ in answers)
                return WrittenAnswer(documents=(*places, *documents))
        problem = _label(file)[:1]
        elsewhere = (name for name in self.unclaimed if self._problem(name) in {"", *problem})
        return WrittenAnswer(documents=documents or tuple(elsewhere))

    def _problem(self, name: str) -> str:
        return self.problems.get(name) or problem_of(name)

    def _in_files(self, file: str, own: Sequence[str]) -> list[tuple[str, str]]:
        """Return the texts whose names name the part, the exact name alone if it is there."""
        nearest = sorted(
            own, key=lambda name: (name != file, words_of(stem_of(name)) != _label(file))
        )
        found = [(name, self.texts[name]) for name in nearest if name in self.texts]
        exact = [pair for pair in found if pair[0] == file or _label(pair[0]) == _label(file)]
        return exact or found

    def _in_sections(self, file: str) -> list[tuple[str, str]]:
        label = _label(file)
        found: dict[str, list[Section]] = defaultdict(list)
        for name, sections in self.sections.items():
            for section in sections:
                if section.label == label:
                    found[name].append(section)
        return [
            (sections[0].place, "\n\n".join(section.text for section in sections))
            for sections in found.values()
        ]

    @cached_property
    def claimed(self) -> set[str]:
        """The texts and documents of a part, and those that another file mentions."""
        labels = {_label(file) for file in self.expected}
        return {
            name
            for name in self.names
            if any(names_part(name, file) for file in self.expected)
            or any(section.label in labels for section in self.sections.get(name, ()))
            or (suffix_of(name) in PICTURES | TEXTS and self._is_mentioned(name))
        }

    def _is_mentioned(self, name: str) -> bool:
        """Return True if another text, or the code, has a file's name without directories."""
        base = PurePosixPath(name).name
        return any(
            written in text
            for other, text in self._searched.items()
            if other != name
            for written in (base, quote(base))
        )

    @cached_property
    def _searched(self) -> dict[str, str]:
        searched = {}
        remaining = MAXIMUM_SEARCHED
        for name, text in (("", self.code), *self.texts.items()):
            # Markdown writes "a_b.png" also as "a\\_b.png".
            searched[name] = text[:remaining].replace("\\", "")
            remaining -= len(searched[name])
        return searched

    @cached_property
    def unclaimed(self) -> tuple[str, ...]:
        """The texts and documents that may hold the answer of any part."""
        return tuple(
            name
            for name in self.names
            if name not in self.claimed
            and NEVER_ANSWERS.isdisjoint(words_of(stem_of(name)))
            and (
                suffix_of(name) in DOCUMENTS or len(self.texts.get(name, "").split()) >= LEAST_WORDS
            )
        )


def divide(blocks: Iterable[tuple[str, str]], context: str = "") -> Iterator[Section]:
    """Yield the sections whose heading names a part: "1A", "Problem 1, part A", "(a)".

    Args:
        blocks: texts in order, with their places.
        context: the number of the problem, for headings that give a letter only.
    """
    current: tuple[Words, str, int] | None = None
    lines: list[str] = []
    fenced = False
    for place, text in blocks:
        for line in text.splitlines():
            fenced ^= _FENCE.match(line) is not None
            heading = None if fenced else _Heading.of(line, context)
            if heading is None or (
                current and not heading.is_numbered and heading.level > current[2]
            ):
                lines.append(line)
                continue
            if current is not None:
                yield Section(label=current[0], place=current[1], text="\n".join(lines))
            context = heading.problem or context
            current = (heading.label, place, heading.level) if heading.label else None
            lines = [heading.rest]
        lines.append("")
    if current is not None:
        yield Section(label=current[0], place=current[1], text="\n".join(lines))


@dataclass(frozen=True, kw_only=True)
class _Heading:
    """A heading: the part that it names, or the problem, or neither.

    Attributes:
        is_numbered: the label gives the problem's number, too.
        rest: the text behind the label on the same line, unless it is a title.
    """

    level: int
    label: Words = ()
    is_numbered: bool = False
    problem: str = ""
    rest: str = ""

    @classmethod
    def of(cls, line: str, context: str) -> _Heading | None:
        """Return the heading that a line is, or None."""
        markup = _MARKUP.match(line)
        sign = markup["sign"] if markup else None
        text = line[markup.end() :] if markup else line
        is_title = sign is not None and sign.startswith("#")
        level = len(sign or "") if is_title else _BOLD if sign else _PLAIN
        found = _NUMBERED.match(text)
        if found and _is_label(found, adjacent=found["gap"].strip() == found["gap"]):
            number = str(int(found["number"]))
            rest = "" if is_title else _without_points(found["rest"])
            if level < _PLAIN or _ENDS_LABEL.match(found["rest"]):
                label = (number, found["letter"].casefold())
                return cls(level=level, label=label, is_numbered=True, problem=number, rest=rest)
        if level == _PLAIN:
            return None
        lettered = _LETTERED.match(text)
        if context and lettered and _is_label(lettered, adjacent=lettered["kind"] is not None):
            rest = "" if is_title else _without_points(lettered["rest"])
            return cls(level=level, label=(context, lettered["letter"].casefold()), rest=rest)
        problem = _PROBLEM.match(text)
        if problem:
            number = str(int(problem["first"] or problem["second"]))
            return cls(level=level, problem=number)
        return cls(level=level) if is_title else None


def _is_label(found: re.Match[str], *, adjacent: bool) -> bool:
    """Return True unless the letter is a word of a sentence: "1 A network", "a network"."""
    return adjacent or bool(found["open"]) or bool(_ENDS_LABEL.match(found["rest"]))


def _without_points(text: str) -> str:
    text = text.lstrip(" )].:*_-")
    points = _POINTS.match(text)
    return text[points.end() :] if points else text


def _label(file: str) -> Words:
    """Return the words of a file's name without those that say what it is: ("1", "a")."""
    return tuple(word for word in words_of(stem_of(file)) if word not in _FILLERS)


def names_part(name: str, file: str) -> bool:
    """Return True if a path names the part of an assignment's file."""
    directories = PurePosixPath(name).parts[:-1]
    path = " ".join((*directories, stem_of(name)))
    words = tuple(word for word in words_of(path) if word not in _FILLERS)
    is_kind = suffix_of(name) in TEXTS | DOCUMENTS
    return is_kind and (name == file or is_within(_label(file), words))


def problem_of(file: str) -> str:
    """Return the number of the problem that a file's name gives, or ""."""
    words = words_of(stem_of(file))
    if len(words) == 1 and words[0].isdigit():
        return words[0]
    pairs = pairwise(words)
    return next(
        (str(int(number)) for word, number in pairs if word in _CONTEXTS and number.isdigit()), ""
    )
