"""The class page file: written when the store has newer gradings, and again when points change."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from grader.cohort.looked_at import settled_groups
from grader.cohort.similarity import Similarity, find_similar
from grader.cohort.store import STORE_NAME, Store
from grader.cohort.summary import StudentSummary
from grader.errors import GraderError
from grader.report.files import CLASS_PAGE_NAME, FILES_NAME

_PAGE_SHOWS = "class_page_shows"
"""The setting with the number of the newest grading on the page, and what it was compared with."""

_SIMILARITY = "similarity"
"""The setting with the similarities on the class page, as JSON."""


def is_page_current(
    store: Store, output: Path, template: Path | None = None, earlier: Sequence[Path] = ()
) -> bool:
    """Return True if the page shows the newest grading and comparison, or there is no grading."""
    shown = store.setting(_PAGE_SHOWS) == _what_it_shows(store, template, earlier)
    return store.last_number() == 0 or (shown and (output / CLASS_PAGE_NAME).is_file())


def update_class_page(
    store: Store,
    output: Path,
    *,
    title: str,
    template: Path | None,
    earlier: Sequence[Path] = (),
) -> tuple[str, ...]:
    """Compare the students, whose starter code is in `template`, and write the page.

    `earlier` are outputs or stores of earlier classes, whose work is compared with this one's.

    Returns:
        Sentences on earlier classes that could not be read.
    """
    shows = _what_it_shows(store, template, earlier)
    compared = list(_once_each(store.summaries()))
    works = _Works()
    works.add(store, compared, output)
    present, remarks = set(works.sources), []
    for place, label in zip(earlier, _labels(earlier), strict=True):
        try:
            with Store.opened_copy(place) as other:
                directory = place if place.is_dir() else place.parent
                works.add(other, _once_each(other.summaries()), directory, label)
        except GraderError as error:
            remarks.append(f"the class {place} was not compared: {error}")
    similar = find_similar(
        compared,
        works.sources,
        template,
        essays=works.essays,
        questions=works.questions,
        earlier=works.sources.keys() - present,
    )
    similar = replace(similar, remarks=tuple(remarks))
    from grader.cohort.side_by_side import write_pairs  # noqa: PLC0415  # loads the templates

    write_pairs(similar, works.sources, works.essays, output, title=title)
    store.keep_setting(_SIMILARITY, msgspec.json.encode(similar).decode())
    refresh_class_page(store, output, title=title, create=True)
    store.keep_setting(_PAGE_SHOWS, shows)
    return similar.remarks


@dataclass(frozen=True, kw_only=True)
class _Works:
    """The work that is compared: directories of code, written answers by item, their questions."""

    sources: dict[str, Path] = field(default_factory=dict)
    essays: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    questions: dict[str, str] = field(default_factory=dict)

    def add(
        self, store: Store, summaries: Iterable[StudentSummary], output: Path, label: str = ""
    ) -> None:
        """Add the work of a class; those of an earlier one are called "ada (2025)"."""
        for summary in summaries:
            if not summary.folder:
                continue
            name = f"{summary.student.id} ({label})" if label else summary.student.id
            self.sources[name] = output / summary.folder / FILES_NAME
            result = store.result(summary.student.id)
            for item in result.items() if result else ():
                if item.written_text:
                    self.essays[item.id][name] = item.written_text
                    self.questions.setdefault(item.id, item.question)


def _labels(places: Sequence[Path]) -> list[str]:
    """Return the shortest ends of the paths that tell them apart."""
    paths = [place.parent if place.name == STORE_NAME else place for place in places]
    for length in range(1, max((len(path.parts) for path in paths), default=0) + 1):
        labels = ["/".join(path.parts[-length:]) for path in paths]
        if len(set(labels)) == len(labels):
            return labels
    return [str(path) for path in paths]


def _what_it_shows(store: Store, template: Path | None, earlier: Sequence[Path]) -> str:
    return " ".join(map(str, filter(None, (store.last_number(), template, *earlier))))


def refresh_class_page(store: Store, output: Path, *, title: str, create: bool = False) -> None:
    """Write an existing page, or `create` it, with the similarities of the last comparison."""
    from grader.cohort import page  # noqa: PLC0415  # loads the templates and the charts

    path = output / CLASS_PAGE_NAME
    kept = store.setting(_SIMILARITY)
    if kept is not None and (create or path.is_file()):
        similar = msgspec.json.decode(kept, type=Similarity)
        settled = settled_groups(store, similar)
        summaries = list(store.summaries())
        page.write_class_page(summaries, similar, path, title=title, settled=settled)


def kept_similarity(store: Store) -> Similarity:
    """Return the similarities that the class page shows."""
    kept = store.setting(_SIMILARITY)
    return msgspec.json.decode(kept, type=Similarity) if kept else Similarity()


def _once_each(summaries: Iterable[StudentSummary]) -> Iterator[StudentSummary]:
    """Yield one of all students who submitted the same work together."""
    seen = set()
    for summary in summaries:
        if not summary.shared_as or summary.shared_as not in seen:
            yield summary
        seen.add(summary.shared_as)
