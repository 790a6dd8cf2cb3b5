"""The class as one HTML file, which an instructor reads before releasing grades.

Everything is in the page as it is written; its one script only searches, sorts and filters the
table. As in the students' reports, every value is escaped, and the page's policy allows its own
style sheet and script, by their hashes, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from grader.cohort import charts, statistics
from grader.cohort.similarity import Likeness, Shared, SimilarGroup, Similarity
from grader.cohort.statistics import Concern, PendingItem, Reason, concerns, failed_parts
from grader.cohort.summary import ItemSummary, Status, StudentSummary
from grader.report.files import REPORT_NAME
from grader.report.html import inlined, template_environment
from grader.report.wording import percentage
from grader.results import Outcome

SHOWN_GROUPS = 60

_LATE, _MISSING = "late", "missing"
_FLAGS = {
    Reason.ERROR: "grader error",
    Reason.UNUSABLE: "unusable",
    Reason.BORDERLINE: "borderline",
    Reason.REPORTED: "not reproduced",
    Reason.PENDING: "awaits a person",
    _LATE: "late",
    _MISSING: "missing",
}
"""What the table can be filtered by, and what it says beside the box."""

_REASON_HEADINGS = {
    Reason.ERROR: "No grade because of an error",
    Reason.UNUSABLE: "No usable submission",
    Reason.LATE_UNKNOWN: "Late by an unknown time",
    Reason.BORDERLINE: "Borderline: chance may have decided",
    Reason.REPORTED: "Reported accuracy not reproduced",
}
_REASON_ADVICE = {
    Reason.ERROR: "The grader or the machine failed, not the student. Run grade batch again: it "
    "retries these students only.",
    Reason.UNUSABLE: "All points are lost. Check whether the upload went wrong.",
    Reason.LATE_UNKNOWN: "Find out the time of submission, and decide the penalty.",
    Reason.BORDERLINE: "The threshold lies within the 95% interval of the accuracy. Look at the "
    "runs in the report.",
    Reason.REPORTED: "This costs no points by itself. Ask the student about it.",
}

_VERDICTS = {
    Status.ERROR: ("grader error", Outcome.ERROR),
    Status.UNUSABLE: ("unusable", Outcome.FAILED),
    Status.MISSING: ("missing", Outcome.SKIPPED),
}


@dataclass(frozen=True, kw_only=True)
class _Row:
    """One line of the table.

    Attributes:
        verdict: a word or two, and the outcome that has its colour.
        failed_numbers: the positions of `failed` among all parts, for the script.
        flags: those of `_FLAGS` that apply.
        remarks: what is out of the ordinary.
    """

    summary: StudentSummary
    verdict: tuple[str, Outcome]
    failed: Sequence[str]
    failed_numbers: Sequence[int]
    flags: Sequence[str]
    remarks: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class _Attention:
    """Everybody whom a person must look at for one reason."""

    reason: Reason
    heading: str
    advice: str
    concerns: Sequence[Concern]


def write_class_page(
    summaries: Sequence[StudentSummary],
    similar: Similarity,
    path: Path,
    *,
    title: str,
) -> None:
    """Write the page; whoever reads an earlier one meanwhile never sees half of this.

    Args:
        summaries: of the class, in the order in which to list them.
        similar: what `grader.cohort.similarity.find_similar` found.
        path: in the directory that holds the students' folders, which must exist.
        title: of the assignment.
    """
    written = path.with_name(f".{path.name}.new")
    written.write_text(render_class_page(summaries, similar, title=title), encoding="utf-8")
    written.replace(path)


def render_class_page(
    summaries: Sequence[StudentSummary], similar: Similarity, *, title: str
) -> str:
    """The whole page, ready to be written as UTF-8; arguments as for `write_class_page`."""
    graded = statistics.graded(summaries)
    parts = statistics.part_rates(graded)
    models = statistics.model_items(graded)
    points = [summary.final_points for summary in graded]
    possible = max((summary.score.possible for summary in summaries), default=0.0)
    rows = [_row(summary, [part.id for part in parts]) for summary in summaries]
    style, script = inlined("style.css", "class.css"), inlined("class.js")
    return (
        template_environment()
        .get_template("class.html")
        .render(
            title=title,
            style=style,
            script=script,
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
            mean=statistics.mean(points),
            median=statistics.median(points),
            attention=_attention(summaries),
            pending=statistics.pending_items(summaries),
            score_chart=charts.score_chart(points, possible) if points else None,
            parts=parts,
            models=[
                (item, charts.accuracy_histogram(item), charts.size_chart(item)) for item in models
            ],
            failures=statistics.common_failures(graded),
            similar=similar,
            shown_groups=similar.groups[:SHOWN_GROUPS],
            report_link=report_link,
            item_ids=_item_ids,
            concern_details=_concern_details,
            shared_words=_shared_words,
        )
    )


def report_link(summary: StudentSummary) -> str:
    """Where the student's report lies, from the class page; empty if there is none."""
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
    remarks = [summary.message, summary.late.reason]
    for reason, concern in concerns(summary).items():
        if concern.items and reason is not Reason.PENDING:
            remarks.append(f"{_FLAGS[reason]}: {_item_ids(concern.items)}")
    if not summary.student.on_roster:
        remarks.append("not on the roster")
    return [remark for remark in remarks if remark]


def _attention(summaries: Iterable[StudentSummary]) -> list[_Attention]:
    """Whom a person must look at, by reason; what awaits points is listed by item instead."""
    by_student = [concerns(summary) for summary in summaries]
    return [
        _Attention(
            reason=reason,
            heading=heading,
            advice=_REASON_ADVICE[reason],
            concerns=[found[reason] for found in by_student if reason in found],
        )
        for reason, heading in _REASON_HEADINGS.items()
        if any(reason in found for found in by_student)
    ]


def _item_ids(items: Iterable[ItemSummary | PendingItem]) -> str:
    return ", ".join(item.id for item in items)


def _concern_details(concern: Concern, reason: Reason) -> str:
    """What there is to say of one student for one reason."""
    if reason is Reason.BORDERLINE:
        return ", ".join(
            f"{item.id} {percentage(item.accuracy or 0)} "
            f"(threshold {percentage(item.threshold or 0)})"
            for item in concern.items
        )
    return ": ".join(filter(None, (_item_ids(concern.items), concern.message)))


def _shared_words(shared: Shared, group: SimilarGroup | None = None) -> str:
    """What is shared, in words."""
    others = len(shared.student_ids) - len(group.student_ids) if group else 0
    also = f" (and {others} more)" if others else ""
    if shared.kind is Likeness.CODE:
        share = percentage(shared.share, 0)
        return f"{shared.subject}: at least {share} of the code is the same{also}"
    what = "same model and recipe" if shared.kind is Likeness.MODEL else "same wrong answer"
    return f"{shared.subject}: {what}{also}"
