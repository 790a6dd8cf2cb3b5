"""Find pairs of written answers that share runs of five words.

A run of words in two texts is rarely chance: Lyon, Malcolm and Dickerson (EMNLP 2001) use three;
five are safer on short answers to one question.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice

RUN_WORDS = 5
MAXIMUM_WORDS = 20_000
"""Of one answer; further words are not compared."""

LEAST_WORDS = 30
"""Of an answer without given text; shorter answers are always similar."""

LEAST_COMMON_RUNS = 15
SIMILAR_SHARE = 0.3
"""The share of the shorter answer's runs that must be in the other."""

_WORD = re.compile(r"[^\W_]+")

_Run = tuple[str, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Essay:
    """One text of an answer, and the students who submitted exactly this text."""

    student_ids: list[str]
    runs: frozenset[_Run]


def read_essays(by_text: Mapping[str, list[str]], given: Iterable[str]) -> Iterator[Essay]:
    """Yield the texts with enough words that are in no run of a given text."""
    known = {run for text in given for run in _runs(_words(text))}
    for text, student_ids in by_text.items():
        words = _words(text)
        runs = list(_runs(words))
        quoted = {
            position + offset
            for position, run in enumerate(runs)
            if run in known
            for offset in range(RUN_WORDS)
        }
        if len(words) - len(quoted) >= LEAST_WORDS:
            yield Essay(student_ids=student_ids, runs=frozenset(runs) - known)


def similar_pairs(essays: Sequence[Essay]) -> Iterator[tuple[Essay, Essay, float]]:
    """Yield two similar essays, and the share of the shorter one's runs that both have."""
    holders: dict[_Run, list[Essay]] = defaultdict(list)
    for essay in essays:
        counts = Counter(chain.from_iterable(holders.get(run, ()) for run in essay.runs))
        for other, common in counts.items():
            share = common / min(len(essay.runs), len(other.runs))
            if common >= LEAST_COMMON_RUNS and share >= SIMILAR_SHARE:
                yield essay, other, share
        for run in essay.runs:
            holders[run].append(essay)


def common_places(first: str, second: str) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return the starts and ends of the words of each text in runs that both have."""
    texts = [list(islice(_WORD.finditer(text), MAXIMUM_WORDS)) for text in (first, second)]
    runs = [list(_runs([word[0].casefold() for word in words])) for words in texts]
    common = set(runs[0]) & set(runs[1])
    mine, others = (
        [
            (words[position].start(), words[position + RUN_WORDS - 1].end())
            for position, run in enumerate(own)
            if run in common
        ]
        for words, own in zip(texts, runs, strict=True)
    )
    return mine, others


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())[:MAXIMUM_WORDS]


def _runs(words: list[str]) -> Iterator[_Run]:
    return zip(*(words[start:] for start in range(RUN_WORDS)), strict=False)
