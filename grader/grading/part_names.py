"""Find the part of an assignment that a heading, a comment, a file or a name in a program names.

Regular expressions only, each over one line of bounded length: the text is a student's, and
Python's own parser can crash on hostile text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from grader.assignment.records import Assignment

CellKind = Literal["code", "markdown"]

LONGEST_LINE = 300
"""Characters of a line that are looked at; a heading is far shorter."""

_KEYWORD = r"(?:problem|prob|part|question|exercise|task|section|ex|q)\b\.?"
_HEADING = re.compile(
    rf"""(?P<keyword>{_KEYWORD})?(?P<gap>[\s:,.\-]{{0,3}}
         (?:(?P<number>\d{{1,2}})[\s.:,\-]{{0,3}}(?P<second>{_KEYWORD}[\s:.\-]{{0,3}})?)?)
         (?P<open>\(?)(?P<letter>[a-z])(?P<close>\)?)
         (?P<end>\s{{0,2}}[:\-\u2013\u2014](?=\s|$)|\.(?=\s|$)|[:\u2014]|(?=\s|\W$)|$)""",
    re.IGNORECASE | re.VERBOSE,
)
_PROBLEM = re.compile(
    r"(?:problem|prob|question|q)\b[\s:.]{0,3}(?P<number>\d{1,2})(?![\w.])", re.IGNORECASE
)
_DECORATION = "#*_=~%|`>\"'- \t\u2013\u2014"
_MARKUP = re.compile(r"<[^<>]{0,80}>|[*`]")
_ARTICLES = "ai"
_TWO_DIMENSIONAL = re.compile(
    r"\s+(?:array|average|avg|batch|conv|data|drop|feature|grid|hist|image|input|kernel|layer|list"
    r"|matri|max|numpy|plot|pool|tensor|vector)",
    re.IGNORECASE,
)
"""Words after "2D" that make it a dimension."""

_TOKEN = re.compile(r"\d+|[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_JOINED = re.compile(r"(?i:model|network|net|nn|mlp|cnn|part|problem|prob)[a-zA-Z]")
"""A name that ends in a part's letter without a sign between: "modelc"."""

_CUES = frozenset(
    {
        *("model", "net", "network", "nn", "mlp", "cnn", "notebook", "nb", "train"),
        *("part", "problem", "prob", "question", "exercise", "task", "ex", "q", "p"),
    }
)
"""A single letter after one of these words is a part's."""


@dataclass(frozen=True, kw_only=True)
class Label:
    """A part as students name it: part "2C" is the letter "c" of problem "2".

    Attributes:
        letter: lower case; empty if the part's id is not its problem's id and one letter.
    """

    part: str
    problem: str
    letter: str


def labels_of(assignment: Assignment) -> tuple[Label, ...]:
    """Return the label of every part."""
    return tuple(
        _make_label(part.id, problem.id)
        for problem in assignment.problems
        for part in problem.parts
    )


def _make_label(part: str, problem: str) -> Label:
    rest = part.removeprefix(problem).strip(" ._-").lower()
    is_letter = len(rest) == 1 and "a" <= rest <= "z"
    return Label(part=part, problem=problem, letter=rest if is_letter else "")


@dataclass(frozen=True, kw_only=True)
class PartNames:
    """The names of an assignment's parts, as they are read in one file.

    Attributes:
        labels: of all parts.
        problems: the problems for which the file was handed in; a letter alone means theirs.
        trained: the parts of these problems that ask for a model.
    """

    labels: tuple[Label, ...]
    problems: frozenset[str]
    trained: frozenset[str]

    def in_line(self, line: str, kind: CellKind, *, current: str = "") -> Label | None:
        """Return the part that a line names at its beginning, or None.

        Args:
            line: in code only comments and lines that begin with a quote are read.
            kind: of the cell.
            current: the problem whose heading stands above, or empty.
        """
        text = read_heading(line, kind)
        if text is None:
            return None
        if exact := next((one for one in self.labels if self._is_whole(one, text)), None):
            return exact
        found = _HEADING.match(text)
        if not found or not _is_heading(found, kind):
            return None
        number = found["number"]
        problems = frozenset({current}) if current else self.problems
        if number is not None:
            named = found["keyword"] or found["second"]
            # "2D pooling" in the file for problem 3 is no part of problem 2.
            problems = frozenset({number}) if named else self.problems & {number}
        return self._find(found["letter"].lower(), problems)

    def problem_in_line(self, line: str, kind: CellKind) -> str:
        """Return the problem that a line begins, such as "Problem 3", or an empty string."""
        text = read_heading(line, kind)
        found = _PROBLEM.match(text) if text is not None else None
        known = {one.problem for one in self.labels}
        return found["number"] if found is not None and found["number"] in known else ""

    def in_identifiers(self, identifiers: Iterable[str]) -> Label | None:
        """Return the only part that names of variables, functions or classes name, or None."""
        found = {
            one
            for identifier in identifiers
            for tokens in [_split(identifier)]
            if len(tokens) > 1 and (one := self._in_tokens(tokens, needs_cue=False))
        }
        return found.pop() if len(found) == 1 else None

    def in_file_name(self, file: str) -> Label | None:
        """Return the part that a file's name names, such as "smith_set4_prob2_C.ipynb"."""
        tokens = _split(PurePosixPath(file).stem)
        return self._in_tokens(tokens, needs_cue=len(tokens) > 1)

    def _in_tokens(self, tokens: list[str], *, needs_cue: bool) -> Label | None:
        """Return the only part that asks for a model and whose letter is one of the tokens.

        Args:
            tokens: of a name.
            needs_cue: the letter counts only after its problem's number or a word such as "part";
                other single letters of a file's name are a person's initials.
        """
        found = set()
        for index, letter in enumerate(tokens):
            one = self._find(letter, self.problems)
            if one is None or one.part not in self.trained:
                continue
            earlier, before, _, after = ["", "", *tokens, ""][index : index + 4]
            if before.isdigit():
                # "conv2d" speaks of two dimensions, "2e3" is a number.
                is_cue = before == one.problem and not after.isdigit()
                is_dimension = letter == "d" and not needs_cue and earlier not in _CUES
                is_cue = is_cue and not is_dimension
            else:
                is_cue = not needs_cue or before in _CUES
            if is_cue:
                found.add(one)
        return found.pop() if len(found) == 1 else None

    def _find(self, letter: str, problems: frozenset[str]) -> Label | None:
        matching = [one for one in self.labels if one.letter == letter and one.problem in problems]
        return matching[0] if len(matching) == 1 else None

    def _is_whole(self, label: Label, text: str) -> bool:
        """Return True for a part without a letter whose id begins the text."""
        if label.letter or label.problem not in self.problems:
            return False
        pattern = rf"(?:{_KEYWORD}\s{{0,3}})?{re.escape(label.part)}(?!\w)"
        return re.match(pattern, text, re.IGNORECASE) is not None


def _is_heading(found: re.Match[str], kind: CellKind) -> bool:
    """Return True if a letter is plainly a part's, and not an article or a remark on the code."""
    if found["open"] and not found["close"]:
        return False
    letter, numbered = found["letter"], bool(found["keyword"] or found["number"])
    rest = found.string[found.end() :]
    is_separated = bool(found["end"]) or not rest
    if letter.lower() == "d" and not found["keyword"] and _TWO_DIMENSIONAL.match(rest):
        return False
    if found["close"] or (is_separated and numbered):
        return True
    if numbered:  # "Problem 2: A network" has an article, "Part A the data" a part
        return letter.lower() not in _ARTICLES or (":" not in found["gap"] and letter.isupper())
    # "# c: channels" is a remark on the code, "# C: at most 100 units" a heading.
    return is_separated and (kind == "markdown" or letter.isupper())


def _split(name: str) -> list[str]:
    """Return the words, numbers and single letters of a name in lower case."""
    tokens = []
    for token in _TOKEN.findall(name[:LONGEST_LINE]):
        tokens += [token[:-1], token[-1]] if _JOINED.fullmatch(token) else [token]
    return [token.lower() for token in tokens]


def read_heading(line: str, kind: CellKind) -> str | None:
    """Return the text of a line that may be a heading, or None for a line of code."""
    text = line[:LONGEST_LINE].strip()
    if kind == "code" and not text.startswith(("#", '"', "'")):
        return None
    return _MARKUP.sub("", text).strip(_DECORATION) or None
