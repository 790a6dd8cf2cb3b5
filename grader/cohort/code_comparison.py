"""Compare the code of many students, as a process of its own, with its parent's number:
`python -m grader.cohort.code_comparison PARENT`.

copydetect fingerprints Python files by winnowing (Schleimer et al., "Winnowing: Local Algorithms
for Document Fingerprinting", SIGMOD 2003), blind to names and comments. It reads files as text and
runs none of it. All the same, a stranger's text may keep a lexer busy for ever; so this runs apart
from the grader, with a limit to each file's time. `grader.cohort.similarity` starts it, with
Python's own hashes fixed, on which the fingerprints rest.

A request comes on standard input, the files that are alike go to standard output, both as JSON.
"""

from __future__ import annotations

import io
import os
import signal
import stat
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import combinations, islice
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from grader.kernel import die_with_parent

if TYPE_CHECKING:
    from copydetect import CodeFingerprint

MAXIMUM_FILE_BYTES = 100_000
MAXIMUM_FILES = 20
"""Of one student; what is beyond is not compared."""

MAXIMUM_DEPTH = 4
SECONDS_FOR_EACH_FILE = 10.0
MAXIMUM_COMPARISONS = 20_000
"""Of files that have most fingerprints in common, over the class."""

SIMILAR_SHARE = 0.9
"""How much of both files must be found in the other."""

LEAST_CHARACTERS = 200
"""Of a file without names, comments and what the template has: shorter ones are alike anyway."""

_FINGERPRINT_CHARACTERS, _WINDOW = 25, 26
"""As copydetect sets them: what is alike for 50 characters is never overlooked."""

_SHARED_FINGERPRINTS = 0.7
"""The share of fingerprints in common from which a close comparison pays."""


class ComparisonRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Whose code to compare.

    Attributes:
        sources: the directory of each student's files, by student id.
        template: the directory of what all were given, which does not count; or None.
    """

    sources: dict[str, str]
    template: str | None = None


class SimilarFiles(msgspec.Struct, frozen=True, kw_only=True):
    """Students whose files of one name are nearly the same.

    Attributes:
        share: how much of each is found in the next, at least; 0 to 1.
    """

    file: str
    student_ids: list[str]
    share: float


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """What came out.

    Attributes:
        similar: the groups of nearly identical files, by file.
        untouched: the students all of whose files are the template's.
    """

    similar: list[SimilarFiles]
    untouched: list[str]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Version:
    """One text of a file, and everybody who handed in just that."""

    student_ids: list[str]
    fingerprint: CodeFingerprint

    def may_resemble(self, other: _Version) -> float:
        """The share of the larger one's fingerprints that both have."""
        mine, others = self.fingerprint.hashes, other.fingerprint.hashes
        larger = max(len(mine), len(others))
        if min(len(mine), len(others)) < _SHARED_FINGERPRINTS * larger:
            return 0.0
        return len(mine & others) / larger


@dataclass(kw_only=True)
class _Groups:
    """Versions that resemble each other, directly or by way of others (a union-find)."""

    parents: dict[_Version, _Version] = field(default_factory=dict)
    shares: dict[_Version, float] = field(default_factory=dict)

    def root(self, version: _Version) -> _Version:
        """The version that stands for the whole group."""
        while (parent := self.parents.get(version, version)) is not version:
            version = parent
        return version

    def join(self, first: _Version, second: _Version, share: float) -> None:
        """Make one group of two."""
        kept, joined = self.root(first), self.root(second)
        self.parents[joined] = kept
        self.shares[kept] = min(share, self.shares.get(kept, 1.0), self.shares.get(joined, 1.0))


def compare(request: ComparisonRequest) -> Comparison:
    """Find nearly identical files, and those who changed none."""
    template = _read_files(Path(request.template)) if request.template else {}
    texts: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    untouched = []
    for student_id, directory in request.sources.items():
        files = _read_files(Path(directory))
        if files and files.items() <= template.items():
            untouched.append(student_id)
        for file, text in files.items():
            texts[file][text].append(student_id)
    similar = []
    for file, by_text in sorted(texts.items()):
        versions = list(_fingerprint(by_text, template.get(file, "")))
        similar += [
            SimilarFiles(file=file, student_ids=sorted(student_ids), share=share)
            for student_ids, share in _group(versions)
        ]
    return Comparison(similar=similar, untouched=untouched)


def _read_files(directory: Path) -> dict[str, str]:
    """The Python files below a directory as text, by their paths in it; links are not followed."""
    files = {}
    for path in islice(_python_files(directory), MAXIMUM_FILES):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            content = file.read(MAXIMUM_FILE_BYTES + 1)
        if len(content) <= MAXIMUM_FILE_BYTES:
            files[path.relative_to(directory).as_posix()] = content.decode("utf-8", "replace")
    return files


def _python_files(directory: Path) -> Iterator[Path]:
    for parent, directories, names in os.walk(directory):
        directories.sort()
        if len(Path(parent).relative_to(directory).parts) >= MAXIMUM_DEPTH:
            directories.clear()
        for name in sorted(names):
            path = Path(parent) / name
            if path.suffix == ".py" and stat.S_ISREG(path.lstat().st_mode):
                yield path


def _fingerprint(by_text: dict[str, list[str]], template: str) -> Iterator[_Version]:
    """The fingerprints of what is long enough to tell something."""
    import numpy as np  # noqa: PLC0415  # those who only read requests do without
    from copydetect import CodeFingerprint  # noqa: PLC0415  # loads matplotlib

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
    """Raise TimeoutError in the block when the time is up."""

    def stop(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _group(versions: Sequence[_Version]) -> Iterable[tuple[list[str], float]]:
    """The students of every group of more than one, with the least share in common."""
    from copydetect import compare_files  # noqa: PLC0415  # loads matplotlib

    groups = _Groups()
    for first, second in _closest_pairs(versions):
        _, shares, _ = compare_files(first.fingerprint, second.fingerprint)
        if min(shares) >= SIMILAR_SHARE:
            groups.join(first, second, float(min(*shares, 1.0)))
    members: dict[_Version, list[str]] = defaultdict(list)
    for version in versions:
        members[groups.root(version)] += version.student_ids
    for root, student_ids in members.items():
        if len(student_ids) > 1:
            yield student_ids, groups.shares.get(root, 1.0)


def _closest_pairs(versions: Sequence[_Version]) -> list[tuple[_Version, _Version]]:
    """The pairs that are worth a close comparison, the most promising first."""
    pairs = [
        (resemblance, first, second)
        for first, second in combinations(versions, 2)
        if (resemblance := first.may_resemble(second)) >= _SHARED_FINGERPRINTS
    ]
    pairs.sort(key=lambda pair: -pair[0])
    return [(first, second) for _, first, second in pairs[:MAXIMUM_COMPARISONS]]


def main() -> None:
    """Answer one request."""
    die_with_parent(int(sys.argv[1]))
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=ComparisonRequest)
    sys.stdout.buffer.write(msgspec.json.encode(compare(request)))


if __name__ == "__main__":
    main()
