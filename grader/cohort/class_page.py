"""The class page file: written when the store has newer gradings, and again when points change."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from grader.cohort.similarity import Similarity, find_similar
from grader.cohort.store import Store
from grader.cohort.summary import StudentSummary
from grader.report.files import CLASS_PAGE_NAME, FILES_NAME

_PAGE_SHOWS = "class_page_shows"
"""The setting with the number of the newest grading on the class page."""

_SIMILARITY = "similarity"
"""The setting with the similarities on the class page, as JSON."""


def is_page_current(store: Store, output: Path) -> bool:
    """Return True if the class page shows the newest grading, or there is no grading."""
    newest = store.last_number()
    shown = store.setting(_PAGE_SHOWS) == str(newest)
    return newest == 0 or (shown and (output / CLASS_PAGE_NAME).is_file())


def update_class_page(store: Store, output: Path, *, title: str, template: Path | None) -> None:
    """Compare the students, whose starter code is in `template`, and write the page."""
    newest = str(store.last_number())
    compared = list(_once_each(store.summaries()))
    sources = {
        summary.student.id: output / summary.folder / FILES_NAME
        for summary in compared
        if summary.folder
    }
    essays: dict[str, dict[str, str]] = defaultdict(dict)
    questions = {}
    for student_id in sources:
        if result := store.result(student_id):
            for item in result.items():
                if item.written_text:
                    essays[item.id][student_id] = item.written_text
                    questions[item.id] = item.question
    similar = find_similar(compared, sources, template, essays=essays, questions=questions)
    store.keep_setting(_SIMILARITY, msgspec.json.encode(similar).decode())
    refresh_class_page(store, output, title=title, create=True)
    store.keep_setting(_PAGE_SHOWS, newest)


def refresh_class_page(store: Store, output: Path, *, title: str, create: bool = False) -> None:
    """Write an existing page, or `create` it, with the similarities of the last comparison."""
    from grader.cohort import page  # noqa: PLC0415  # loads the templates and the charts

    path = output / CLASS_PAGE_NAME
    kept = store.setting(_SIMILARITY)
    if kept is not None and (create or path.is_file()):
        similar = msgspec.json.decode(kept, type=Similarity)
        page.write_class_page(list(store.summaries()), similar, path, title=title)


def _once_each(summaries: Iterable[StudentSummary]) -> Iterator[StudentSummary]:
    """Yield one of all students who submitted the same work together."""
    seen = set()
    for summary in summaries:
        if not summary.shared_as or summary.shared_as not in seen:
            yield summary
        seen.add(summary.shared_as)
