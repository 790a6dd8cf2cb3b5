"""Pages that show two similar files or essays side by side, for instructors."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from grader.cohort.essays import common_places
from grader.cohort.similarity import Likeness, Pair, Similarity
from grader.errors import SubmissionError
from grader.intake.files import open_regular
from grader.report.files import SIDE_BY_SIDE_NAME, remove_links
from grader.report.html import template_environment
from grader.text import make_visible

LONGEST = 100_000
"""Characters of a text on a page; the comparison reads no longer files."""


def write_pairs(
    similar: Similarity,
    sources: Mapping[str, Path],
    essays: Mapping[str, Mapping[str, str]],
    output: Path,
    *,
    title: str,
) -> None:
    """Replace the pages of all pairs; `sources` and `essays` are those that were compared."""
    directory = output / SIDE_BY_SIDE_NAME
    remove_links(directory)
    shutil.rmtree(directory, ignore_errors=True)
    if not similar.pairs:
        return
    directory.mkdir(parents=True)
    template = template_environment().get_template("side_by_side.html")
    for number, pair in enumerate(similar.pairs):
        texts = [_text_of(pair, one, sources, essays) for one in pair.student_ids]
        is_essay = pair.kind is Likeness.ESSAY
        places = common_places(*texts) if is_essay else pair.places
        sides = [
            (student_id, list(_pieces(text, own)))
            for student_id, text, own in zip(pair.student_ids, texts, places, strict=True)
        ]
        page = template.render(title=title, pair=pair, sides=sides, is_essay=is_essay)
        directory.joinpath(page_name(number)).write_text(make_visible(page), encoding="utf-8")


def page_name(number: int) -> str:
    """Return the name of the page of a pair, by its number."""
    return f"{number + 1}.html"


def _text_of(
    pair: Pair,
    student_id: str,
    sources: Mapping[str, Path],
    essays: Mapping[str, Mapping[str, str]],
) -> str:
    if pair.kind is Likeness.ESSAY:
        return essays[pair.subject][student_id][:LONGEST]
    try:
        with open_regular(sources[student_id] / pair.subject) as file:
            return file.read(LONGEST).decode("utf-8", "replace")
    except (OSError, SubmissionError):
        return ""


def _pieces(text: str, places: Iterable[tuple[int, int]]) -> Iterator[tuple[str, bool]]:
    """Yield the pieces of a text in order, each with True if it lies in the places."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(places):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], end)
        else:
            merged.append((start, end))
    done = 0
    for start, end in merged:
        yield text[done:start], False
        yield text[start:end], True
        done = end
    yield text[done:], False
