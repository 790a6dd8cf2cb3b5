"""Find the files that stand for the assignment's files, under whatever names students gave them.

Exact names win, then the other names that the assignment allows, then names that are nearly right:
another case or separator, a copy's number, a student's name, a subdirectory. Nothing is guessed: a
file that may be meant for two things, or two files for one, are left to a person.
"""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from grader.intake.notebooks import SUFFIX as NOTEBOOK

CODE = frozenset({".py", NOTEBOOK})

Words = tuple[str, ...]

_WORD = re.compile(r"[^\W\d_]+|\d+")
_DOWNLOADED_TEXT = re.compile(r"(\.(?:py|ipynb|md))\.txt\Z")
"""Windows hides endings, and its editor adds its own: `problem_2.py.txt`."""

_COPY = re.compile(
    r"(?:\s*\(\d{1,3}\)|[\s_-]+(?:copy|kopie|copie|copia)(?:[\s_-]*\d{1,3}|\s*\(\d{1,3}\))?)+\Z"
)
"""The marks of browsers and file managers for a second copy."""

_OTHER_PURPOSES = frozenset(
    {"backup", "data", "demo", "draft", "example", "helper", "helpers", "old", "plot", "plots"}
    | {"starter", "template", "test", "tests", "train", "unused", "util", "utils"}
)
"""Words that say that a file beside `problem_2.py` is another one."""

_NUMBERED = frozenset({"problem", "prob", "question", "exercise", "task", "p", "q", "ex"})
"""Words before a number that mean the same."""


_NEVER_WHOLE = _OTHER_PURPOSES | {"conftest", "init", "setup"}
"""Words of scripts that hold no student's whole work."""

MAXIMUM_CONSIDERED = 1_000
"""Of all files of code, those at the top first."""

MAXIMUM_COMPARED = 10
"""Of files for one name; more are not compared by content."""


@dataclass(frozen=True, kw_only=True)
class Match:
    """The files that stand for one of the assignment's files.

    Attributes:
        sources: several if a notebook was submitted for each part.
        candidates: without sources, the files of which each may be meant.
    """

    sources: tuple[str, ...] = ()
    candidates: tuple[str, ...] = ()


def match_code(
    files: Sequence[str],
    expected: Sequence[str],
    other_names: Mapping[str, Sequence[str]],
    same: Callable[[str, str], bool] = lambda _first, _second: False,
) -> dict[str, Match]:
    """Return the match of each expected file of code.

    Args:
        files: the submission's files, as relative paths.
        expected: the assignment's files.
        other_names: names and glob patterns by expected file, in order of preference.
        same: says if two files have the same content, so that either will do.
    """
    search = _search_names(files, expected, other_names, same)
    search.claim_whole()
    return search.matches


def find_named(
    files: Sequence[str], expected: Sequence[str], other_names: Mapping[str, Sequence[str]]
) -> frozenset[str]:
    """Return the expected files whose names some files bear, or nearly."""
    return frozenset(_search_names(files, expected, other_names).matches)


def meant_for(file: str, expected: Sequence[str], other_names: Mapping[str, Sequence[str]]) -> str:
    """Return the expected file whose name a file bears, or nearly; else ""."""
    return next((each for each in expected if find_named([file], [each], other_names)), "")


def _search_names(
    files: Sequence[str],
    expected: Sequence[str],
    other_names: Mapping[str, Sequence[str]],
    same: Callable[[str, str], bool] = lambda _first, _second: False,
) -> _Search:
    code = [file for file in files if suffix_of(file) in CODE]
    nearest = sorted(code, key=lambda file: (file.count("/"), file))[:MAXIMUM_CONSIDERED]
    search = _Search(unclaimed=nearest, expected=expected, same=same)
    for file in expected:
        search.claim(file, [found for found in search.unclaimed if found == file])
    for rank in range(max((len(names) for names in other_names.values()), default=0)):
        for file in search.missing():
            if rank < len(other_names.get(file, ())):
                search.claim_parts(file, _matching(search.unclaimed, other_names[file][rank]))
    names = {
        file: [file, *(name for name in other_names.get(file, ()) if not _is_pattern(name))]
        for file in expected
    }
    for anywhere in (False, True):
        for file in search.missing():
            search.claim_parts(file, _near(search.unclaimed, names[file], anywhere=anywhere))
    return search


@dataclass(kw_only=True)
class _Search:
    """The search for the files of code; each file stands for one expected file, or for all."""

    unclaimed: list[str]
    expected: Sequence[str]
    same: Callable[[str, str], bool]
    matches: dict[str, Match] = field(default_factory=dict)

    def missing(self) -> list[str]:
        """Return the expected files that have no match yet."""
        return [file for file in self.expected if file not in self.matches]

    def claim(self, file: str, found: Sequence[str]) -> None:
        """Take the one file that was found, or note all of them as candidates."""
        if found:
            different = self._without_duplicates(found)
            single = len(different) == 1
            self.matches[file] = Match(
                sources=tuple(different) if single else (),
                candidates=() if single else tuple(different),
            )
            self.unclaimed = [each for each in self.unclaimed if each not in found]

    def claim_parts(self, file: str, found: Sequence[str]) -> None:
        """Take the one file that was found, or one for each part."""
        letters = [part_letter(each) for each in found]
        if len(found) > 1 and len(set(letters)) == len(letters) and any(letters):
            self.matches[file] = Match(sources=tuple(found))
            self.unclaimed = [each for each in self.unclaimed if each not in found]
        else:
            self.claim(file, found)

    def claim_whole(self) -> None:
        """Take the only notebook, or the only script, for everything that is still missing."""
        missing = self.missing()
        own_names = [words_of(stem_of(file)) for file in self.expected]
        others = [
            file
            for file in self.unclaimed
            if not any(is_within(words, words_of(stem_of(file))) for words in own_names)
        ]
        notebooks = [file for file in others if file.casefold().endswith(NOTEBOOK)]
        whole = self._without_duplicates(notebooks)
        if not notebooks and len(missing) == len(self.expected):
            whole = [file for file in others if _NEVER_WHOLE.isdisjoint(words_of(stem_of(file)))]
        for file in missing:
            single = len(whole) == 1
            self.matches[file] = Match(
                sources=tuple(whole) if single else (),
                candidates=() if single else tuple(notebooks),
            )
        if len(whole) == 1:
            self.unclaimed = [file for file in self.unclaimed if file not in notebooks + whole]

    def _without_duplicates(self, found: Sequence[str]) -> list[str]:
        """Return the files without those whose content an earlier or shorter name has."""
        if len(found) > MAXIMUM_COMPARED:
            return list(found)
        different: list[str] = []
        for file in sorted(found, key=lambda file: (len(file), file)):
            if not any(self.same(file, earlier) for earlier in different):
                different.append(file)
        return sorted(different)


def part_letter(file: str) -> str:
    """Return the letter of the part that a file's name ends with: "c" for `prob2_C.ipynb`."""
    words = words_of(stem_of(file))
    has_letter = len(words) > 1 and len(words[-1]) == 1 and words[-1].isalpha()
    return words[-1] if has_letter and words[-2].isdigit() else ""


def words_of(text: str) -> Words:
    """Return the words and numbers of a name, in small letters."""
    return tuple(_WORD.findall(unicodedata.normalize("NFKC", text).casefold()))


def is_within(words: Words, others: Words) -> bool:
    """Return True if the words stand together, in order, among others."""
    return any(
        others[start : start + len(words)] == words for start in range(len(others) - len(words) + 1)
    )


def _ending_fixed(file: str) -> str:
    """Return the path in small letters, without an ending that an editor added."""
    return _DOWNLOADED_TEXT.sub(r"\1", file.casefold().strip())


def stem_of(file: str) -> str:
    """Return a file's name in small letters, without its ending."""
    return posixpath.splitext(posixpath.basename(_ending_fixed(file)))[0]


def suffix_of(file: str) -> str:
    """Return a file's ending in small letters: ".py" for `a.PY` and `a.py.txt`."""
    return posixpath.splitext(_ending_fixed(file))[1]


def _is_pattern(name: str) -> bool:
    return any(character in name for character in "*?[")


def _matching(files: Iterable[str], name: str) -> list[str]:
    """Return the file of this name, or the files at the top that match a glob pattern."""
    if not _is_pattern(name):
        return [file for file in files if file == name]
    pattern = name.casefold()
    return [file for file in files if "/" not in file and fnmatchcase(file.casefold(), pattern)]


def _near(files: Sequence[str], names: Sequence[str], *, anywhere: bool) -> list[str]:
    """Return the files whose names are the nearest to one of `names`.

    `anywhere` also takes files in subdirectories, and names with other words around.
    """
    by_directory: dict[str, list[str]] = defaultdict(list)
    for file in files:
        by_directory[file.rpartition("/")[0]].append(file)
    found = []
    for directory, inside in by_directory.items():
        if anywhere or not directory:
            same = _first_found(inside, names, _is_same)
            found += same or (_first_found(inside, names, _is_like) if anywhere else [])
    return found


def _first_found(
    files: Sequence[str], names: Sequence[str], accepts: Callable[[str, str], bool]
) -> list[str]:
    """Return the files that are accepted for the first name for which there are any."""
    accepted = ([file for file in files if accepts(file, name)] for name in names)
    return next(filter(None, accepted), [])


def _is_same(file: str, name: str) -> bool:
    """Return True if two names differ in case, separators or an added ending only."""
    return suffix_of(file) == suffix_of(name) and words_of(stem_of(file)) == words_of(stem_of(name))


def _is_like(file: str, name: str) -> bool:
    """Return True if a name is that of a copy or a notebook, or has other words around."""
    expected = words_of(stem_of(name))
    words = words_of(_COPY.sub("", stem_of(file)))
    if len(expected) > 1 and expected[0] in _NUMBERED:
        words = tuple(
            expected[0] if word in _NUMBERED and following == expected[1] else word
            for word, following in zip(words, (*words[1:], ""), strict=False)
        )
    for start in range(len(words) - len(expected) + 1):
        end = start + len(expected)
        if words[start:end] == expected:
            others = words[:start] + words[end:]
            # "problem_2_1" is as much of 1 as of 2.
            numbered_again = any(word.isdigit() for word in words[end : end + 1])
            return not numbered_again and _OTHER_PURPOSES.isdisjoint(others)
    return False
