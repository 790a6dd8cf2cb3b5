"""The class as one HTML file, which an instructor reads before releasing grades.

The page is complete without its one script, which searches, sorts and filters the table. Every
value is escaped, and the policy allows only the page's own style sheet and script, by their hashes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from types import MappingProxyType
from urllib.parse import quote

from grader.cohort import charts, statistics
from grader.cohort.looked_at import LookedAt
from grader.cohort.side_by_side import page_name
from grader.cohort.similarity import Likeness, Shared, SimilarGroup, Similarity
from grader.cohort.statistics import Concern, PendingItem, Reason, concerns, failed_parts
from grader.cohort.summary import ItemSummary, Status, StudentSummary
from grader.report.files import REPORT_NAME, SIDE_BY_SIDE_NAME, remove_links
from grader.report.html import template_environment
from grader.report.wording import percentage
from grader.results import Outcome

SHOWN_GROUPS = 60
SHOWN_PAIRS = 10
"""Of one group."""

_LATE, _MISSING = "late", "missing"
_FLAGS = {
    Reason.ERROR: "grader error",
    Reason.UNUSABLE: "unusable",
    Reason.WHOSE: "whose?",
    Reason.FILES: "unclear files",
    Reason.DECIDED: "decide again",
    Reason.REQUESTED: "grade again?",
    Reason.BORDERLINE: "borderline",
    Reason.REPORTED: "not reproduced",
    Reason.PENDING: "awaits a person",
    _LATE: "late",
    _MISSING: "missing",
}
"""The filters of the table, and their labels."""

_REASON_TEXTS = {
    Reason.ERROR: (
        "No grade because of an error",
        "The grader or the machine failed. Run grade batch again: it retries these students only.",
    ),
    Reason.UNUSABLE: (
        "No usable submission",
        "All points are lost. Check whether the upload went wrong.",
    ),
    Reason.WHOSE: (
        "Nobody knows whose these are",
        "They are graded, and go to nobody. Settle each, then run grade batch again.",
    ),
    Reason.FILES: (
        "Files whose names or form are unclear",
        "Parts may have lost points for that alone. Rename the files, then run grade batch again.",
    ),
    Reason.LATE_UNKNOWN: (
        "Late by an unknown time",
        "Find out the time of submission, and decide the penalty.",
    ),
    Reason.DECIDED: (
        "Decided before the work changed",
        "These decisions do not count for the new work. Decide again with grade override.",
    ),
    Reason.REQUESTED: (
        "Students asked to be graded again",
        "The points count until somebody judges again: they come up first in grade review.",
    ),
    Reason.BORDERLINE: (
        "Borderline: chance may have decided",
        "The threshold is inside the 95% interval, or one seed alone reached it. Look at the runs.",
    ),
    Reason.REPORTED: (
        "Reported accuracy not reproduced",
        "This costs no points by itself. Ask the student about it.",
    ),
}
"""Heading and advice for the reasons listed by student; pending is listed by item."""

_VERDICTS = {
    Status.ERROR: ("grader error", Outcome.ERROR),
    Status.UNUSABLE: ("unusable", Outcome.FAILED),
    Status.MISSING: ("missing", Outcome.SKIPPED),
}


@dataclass(frozen=True, kw_only=True)
class _Row:
    """One line of the table; `verdict` is a word or two, and the outcome that colours them."""

    summary: StudentSummary
    verdict: tuple[str, Outcome]
    failed: Sequence[str]
    failed_numbers: Sequence[int]
    flags: Sequence[str]
    remarks: Sequence[str]


def write_class_page(
    summaries: Sequence[StudentSummary],
    similar: Similarity,
    path: Path,
    *,
    title: str,
    settled: Mapping[SimilarGroup, LookedAt] = MappingProxyType({}),
) -> None:
    """Write the page in the directory of the students' folders; replace an earlier one at once."""
    written = path.with_name(f".{path.name}.new")
    remove_links(written)
    page = render_class_page(summaries, similar, title=title, settled=settled)
    written.write_text(page, encoding="utf-8")
    written.replace(path)


def render_class_page(
    summaries: Sequence[StudentSummary],
    similar: Similarity,
    *,
    title: str,
    settled: Mapping[SimilarGroup, LookedAt] = MappingProxyType({}),
) -> str:
    """Return the page of the assignment `title`, with the students in the given order.

    `settled` are the groups at which a person has looked.
    """
    graded = statistics.graded(summaries)
    parts = statistics.part_rates(graded)
    models = statistics.trained_items(graded)
    points = [summary.final_points for summary in graded]
    possible = max((summary.score.possible for summary in summaries), default=0.0)
    rows = [_row(summary, [part.id for part in parts]) for summary in summaries]
    return (
        template_environment()
        .get_template("class.html")
        .render(
            title=title,
            summaries=summaries,
            by_id={summary.student.id: summary for summary in summaries},
            graded_at=max((summary.graded_at for summary in summaries), default=""),
            practice=sum(summary.practice for summary in summaries),
            rows=rows,
            penalties=any(summary.late.penalty_points for summary in summaries),
            flags=[
                (flag, label, number)
                for flag, label in _FLAGS.items()
                if (number := sum(flag in row.flags for row in rows))
            ],
            graded=graded,
            possible=possible,
            mean=fmean(points) if points else 0.0,
            median=median(points) if points else 0.0,
            attention=_attention(summaries),
            reason_texts=_REASON_TEXTS,
            pending=statistics.pending_items(summaries),
            score_chart=charts.score_chart(points, possible) if points else None,
            parts=parts,
            models=[
                (item, charts.accuracy_histogram(item), charts.size_chart(item)) for item in models
            ],
            failures=statistics.common_failures(graded),
            similar=similar,
            shown_groups=[group for group in similar.groups if group not in settled][:SHOWN_GROUPS],
            settled=settled,
            report_link=report_link,
            concern_details=_concern_details,
            shared_words=_shared_words,
            pair_links=_pair_links,
        )
    )


def _pair_links(similar: Similarity, group: SimilarGroup, shared: Shared) -> list[tuple[str, str]]:
    """Return the address of the page of each pair that shows it, and the two students."""
    links = [
        (f"./{SIDE_BY_SIDE_NAME}/{page_name(number)}", " and ".join(pair.student_ids))
        for number, pair in enumerate(similar.pairs)
        if pair.belongs_to(group, shared)
    ]
    return links[:SHOWN_PAIRS]


def report_link(summary: StudentSummary) -> str:
    """Return the address of the student's report relative to the page; empty without report."""
    return f"./{quote(summary.folder, errors='replace')}/{REPORT_NAME}" if summary.folder else ""


def _row(summary: StudentSummary, part_ids: Sequence[str]) -> _Row:
    failed = failed_parts(summary)
    late = summary.late
    flags: list[str] = list(concerns(summary))
    if late.days_late or late.needs_person:
        flags.append(_LATE)
    if summary.status is Status.MISSING:
        flags.append(_MISSING)
    return _Row(
        summary=summary,
        verdict=_verdict(summary, failed),
        failed=failed,
        failed_numbers=[part_ids.index(part_id) for part_id in failed if part_id in part_ids],
        flags=flags,
        remarks=_remarks(summary),
    )


def _verdict(summary: StudentSummary, failed: Sequence[str]) -> tuple[str, Outcome]:
    if summary.status is not Status.GRADED:
        return _VERDICTS[summary.status]
    if failed:
        return ("fell short", Outcome.FAILED)
    return ("passed", Outcome.PASSED) if summary.complete else ("incomplete", Outcome.SKIPPED)


def _remarks(summary: StudentSummary) -> list[str]:
    remarks = [*summary.decisions, summary.message, summary.late.reason]
    for reason, concern in concerns(summary).items():
        if concern.items and reason is not Reason.PENDING:
            remarks.append(f"{_FLAGS[reason]}: {_item_ids(concern.items)}")
    if not summary.student.on_roster:
        remarks.append("not on the roster")
    return [remark for remark in remarks if remark]


def _attention(summaries: Iterable[StudentSummary]) -> dict[Reason, list[Concern]]:
    """Return the students whom a person must look at, by reason."""
    by_student = [concerns(summary) for summary in summaries]
    by_reason = {
        reason: [found[reason] for found in by_student if reason in found]
        for reason in _REASON_TEXTS
    }
    return {reason: found for reason, found in by_reason.items() if found}


def _item_ids(items: Iterable[ItemSummary | PendingItem]) -> str:
    return ", ".join(item.id for item in items)


def _concern_details(concern: Concern, reason: Reason) -> str:
    """Return what is known of one student for one reason."""
    if reason is Reason.BORDERLINE:
        return ", ".join(
            f"{item.id} {item.metric.show(item.accuracy or 0)} "
            f"(threshold {item.metric.show(item.threshold or 0)})"
            for item in concern.items
        )
    return ": ".join(filter(None, (_item_ids(concern.items), concern.message)))


def _shared_words(shared: Shared, group: SimilarGroup | None = None) -> str:
    """Return in words what a group shares, and with how many others."""
    others = len(shared.student_ids) - len(group.student_ids) if group else 0
    also = f" (and {others} more)" if others else ""
    if shared.kind in {Likeness.CODE, Likeness.ESSAY}:
        what = "code is" if shared.kind is Likeness.CODE else "answer's runs of words are"
        share = percentage(shared.share, 0)
        return f"{shared.subject}: at least {share} of the {what} the same{also}"
    what = "same model and recipe" if shared.kind is Likeness.MODEL else "same wrong answer"
    return f"{shared.subject}: {what}{also}"
