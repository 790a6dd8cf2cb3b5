"""Compare the work of many students in a process of its own, with requests and answers as JSON.

Written answers are compared by `grader.cohort.essays`. For code, copydetect fingerprints files by
winnowing (Schleimer et al., SIGMOD 2003), regardless of names and comments. It runs no code, but a
hostile text may keep its lexer busy forever.
"""

from __future__ import annotations

import io
import os
import signal
import stat
import sys
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import combinations, islice
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from copydetect import CodeFingerprint, compare_files

from grader.cohort.essays import Essay, read_essays, similar_pairs
from grader.cohort.similarity import (
    Comparison,
    ComparisonRequest,
    Likeness,
    Pair,
    Places,
    Shared,
)
from grader.kernel import die_with_parent

MAXIMUM_FILE_BYTES = 100_000
MAXIMUM_FILES = 20
"""Of one student; further files are not compared."""

MAXIMUM_DEPTH = 4
SECONDS_FOR_EACH_FILE = 10.0
MAXIMUM_COMPARISONS = 20_000
"""Of pairs of files over the class, those with most fingerprints in common first."""

SIMILAR_SHARE = 0.9
"""The share of each file that must be found in the other."""

LEAST_CHARACTERS = 200
"""Of a file without names, comments and starter code; shorter files are always similar."""

_FINGERPRINT_CHARACTERS, _WINDOW = 25, 26
"""copydetect's defaults: similar code of 50 characters is always found."""

_SHARED_FINGERPRINTS = 0.7
"""The share of common fingerprints from which a close comparison is worthwhile."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Version:
    """One text of a file, and the students who submitted exactly this text."""

    student_ids: list[str]
    fingerprint: CodeFingerprint

    def resemblance(self, other: _Version) -> float:
        """Return the share of the larger version's fingerprints that both have."""
        mine, others = self.fingerprint.hashes, other.fingerprint.hashes
        larger = max(len(mine), len(others))
        if min(len(mine), len(others)) < _SHARED_FINGERPRINTS * larger:
            return 0.0
        return len(mine & others) / larger


_AnyVersion = _Version | Essay
_EVERYTHING = ((0, MAXIMUM_FILE_BYTES),)


class _Match(NamedTuple):
    """Two similar versions, the share that both have, and where."""

    first: _AnyVersion
    second: _AnyVersion
    share: float
    places: tuple[Places, Places] = ((), ())


@dataclass(kw_only=True)
class _Groups:
    """Versions that resemble each other, directly or through others (a union-find)."""

    parents: dict[_AnyVersion, _AnyVersion] = field(default_factory=dict)
    shares: dict[_AnyVersion, float] = field(default_factory=dict)

    def root(self, version: _AnyVersion) -> _AnyVersion:
        """Return the version that represents the whole group."""
        while (parent := self.parents.get(version, version)) is not version:
            version = parent
        return version

    def join(self, first: _AnyVersion, second: _AnyVersion, share: float) -> None:
        """Merge two groups."""
        kept, joined = self.root(first), self.root(second)
        self.parents[joined] = kept
        self.shares[kept] = min(share, self.shares.get(kept, 1.0), self.shares.get(joined, 1.0))


def compare(request: ComparisonRequest) -> Comparison:
    """Find similar files and answers, and students who changed no starter code."""
    template = _read_files(Path(request.template)) if request.template else {}
    texts: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    untouched = []
    for student_id, directory in request.sources.items():
        files = _read_files(Path(directory))
        if files and files.items() <= template.items():
            untouched.append(student_id)
        for file, text in files.items():
            texts[file][text].append(student_id)
    similar: list[Shared] = []
    pairs: list[Pair] = []
    for file, by_text in sorted(texts.items()):
        versions = list(_fingerprint(by_text, template.get(file, "")))
        similar += _group(Likeness.CODE, file, versions, _similar_files(versions), pairs)
    given = _read_files(Path(request.template), (".md", ".txt")) if request.template else {}
    for item_id, by_student in sorted(request.essays.items()):
        by_answer: dict[str, list[str]] = defaultdict(list)
        for student_id, text in by_student.items():
            by_answer[text].append(student_id)
        known = [request.questions.get(item_id, ""), *given.values()]
        essays = list(read_essays(by_answer, known))
        matches = (_Match(*each) for each in similar_pairs(essays))
        similar += _group(Likeness.ESSAY, item_id, essays, matches, pairs)
    return Comparison(similar=tuple(similar), pairs=tuple(pairs), untouched=frozenset(untouched))


def _read_files(directory: Path, suffixes: Collection[str] = (".py",)) -> dict[str, str]:
    """Return the files below a directory as text, by path; links are not followed."""
    files = {}
    for path in islice(_find_files(directory, suffixes), MAXIMUM_FILES):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            content = file.read(MAXIMUM_FILE_BYTES + 1)
        if len(content) <= MAXIMUM_FILE_BYTES:
            files[path.relative_to(directory).as_posix()] = content.decode("utf-8", "replace")
    return files


def _find_files(directory: Path, suffixes: Collection[str]) -> Iterator[Path]:
    for parent, directories, names in os.walk(directory):
        directories.sort()
        if len(Path(parent).relative_to(directory).parts) >= MAXIMUM_DEPTH:
            directories.clear()
        for name in sorted(names):
            path = Path(parent) / name
            if path.suffix in suffixes and stat.S_ISREG(path.lstat().st_mode):
                yield path


def _fingerprint(by_text: dict[str, list[str]], template: str) -> Iterator[_Version]:
    """Yield the versions that are long enough to compare."""

    def read(text: str, window: int, given: Sequence[int]) -> CodeFingerprint:
        return CodeFingerprint(
            "answer.py",
            _FINGERPRINT_CHARACTERS,
            window,
            boilerplate=np.array(given, dtype=np.int64),
            language="python",
            fp=io.StringIO(text),
        )

    given = sorted(read(template, 1, []).hashes)
    for text, student_ids in by_text.items():
        try:
            with _time_limit(SECONDS_FOR_EACH_FILE):
                fingerprint = read(text, _WINDOW, given)
        except (TimeoutError, RecursionError, MemoryError):
            continue
        if fingerprint.token_coverage >= LEAST_CHARACTERS:
            yield _Version(student_ids=student_ids, fingerprint=fingerprint)


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in the block after this time."""

    def stop(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _group(
    kind: Likeness,
    subject: str,
    versions: Sequence[_AnyVersion],
    matches: Iterable[_Match],
    pairs: list[Pair],
) -> Iterator[Shared]:
    """Yield every group of more than one student, with the least common share; add its pairs."""

    def add(first: str, second: str, places: tuple[Places, Places]) -> None:
        pairs.append(Pair(kind=kind, subject=subject, student_ids=(first, second), places=places))

    groups = _Groups()
    for version in versions:
        for student_id in version.student_ids[1:]:
            add(version.student_ids[0], student_id, (_EVERYTHING, _EVERYTHING))
    for first, second, share, places in matches:
        groups.join(first, second, share)
        add(first.student_ids[0], second.student_ids[0], places)
    members: dict[_AnyVersion, list[str]] = defaultdict(list)
    for version in versions:
        members[groups.root(version)] += version.student_ids
    for root, student_ids in members.items():
        if len(student_ids) > 1:
            yield Shared(
                kind=kind,
                subject=subject,
                student_ids=frozenset(student_ids),
                share=groups.shares.get(root, 1.0),
            )


def _similar_files(versions: Sequence[_Version]) -> Iterator[_Match]:
    for first, second in _closest_pairs(versions):
        _, shares, slices = compare_files(first.fingerprint, second.fingerprint)
        if min(shares) >= SIMILAR_SHARE:
            mine, others = (tuple(zip(*each.tolist(), strict=True)) for each in slices)
            yield _Match(first, second, float(min(*shares, 1.0)), (mine, others))


def _closest_pairs(versions: Sequence[_Version]) -> list[tuple[_Version, _Version]]:
    """Return the pairs that are worth a close comparison, the most similar first."""
    pairs = [
        (common, first, second)
        for first, second in combinations(versions, 2)
        if (common := first.resemblance(second)) >= _SHARED_FINGERPRINTS
    ]
    pairs.sort(key=lambda pair: -pair[0])
    return [(first, second) for _, first, second in pairs[:MAXIMUM_COMPARISONS]]


def main() -> None:
    """Answer one request; `python -m grader.cohort.code_comparison PARENT_PID`."""
    die_with_parent(int(sys.argv[1]))
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=ComparisonRequest)
    sys.stdout.buffer.write(msgspec.json.encode(compare(request)))


if __name__ == "__main__":
    main()
