"""Take a run back: every student of it has the grade from before, in a new grading."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from grader.cohort.store import Store, StoredGrading, StoredRun
from grader.errors import UsageError
from grader.report.files import write_reports

UNDO = "took back run "
"""The beginning of the purpose of a run that undid another one."""


@dataclass(frozen=True, kw_only=True)
class Undone:
    """One student of a run that is taken back.

    Attributes:
        before: the grading that counts again, or None if the run was the student's first.
        after: the run's grading.
    """

    before: StoredGrading | None
    after: StoredGrading


def find_last_run(store: Store) -> StoredRun:
    """Return the last run that is not taken back.

    Raises:
        UsageError: there is none.
    """
    runs = store.runs()
    undone = {int(run.purpose.removeprefix(UNDO)) for run in runs if run.purpose.startswith(UNDO)}
    for run in reversed(runs):
        if run.number not in undone and not run.purpose.startswith(UNDO):
            return run
    raise UsageError(
        "there is no run that could be taken back",
        next_step="`grade history` lists the runs; those of older versions of the grader are not "
        "known one by one",
    )


def list_undone(store: Store, run: StoredRun) -> list[Undone]:
    """Return the students of a run with their grades before and after it.

    Raises:
        UsageError: a later grading of one of them would be lost.
    """
    found = []
    for after in store.gradings_of_run(run.number):
        student_id = after.summary.student.id
        # A later run that was taken back left the same grade in a new grading.
        newest = store.history(student_id)[-1]
        if (newest.inputs_sha256, newest.summary) != (after.inputs_sha256, after.summary):
            raise UsageError(
                f"{student_id} was graded again after run {run.number}",
                next_step="take the later run back first",
            )
        found.append(Undone(before=store.grading_before(student_id, run.number), after=after))
    return found


def undo_run(
    store: Store, output: Path, run: StoredRun, undone: list[Undone], settings_name: str
) -> None:
    """Take a run back, and the settings that it changed.

    Nothing is deleted: each earlier grading is recorded once more. A student whose first grading
    it was has no grade again. `undone` is what `list_undone` found for the run.
    """
    restored = []
    with store.transaction():
        store.begin_run(f"{UNDO}{run.number}", settings_name)
        for each in undone:
            before = each.before
            if before is None:
                row = each.after.summary.without_grade("its only grading was taken back")
                store.record(row, inputs_sha256="", result=None)
                continue
            result = store.automatic_result(before.number)
            store.record(before.summary, inputs_sha256=before.inputs_sha256, result=result)
            if result is not None:
                restored.append((result, before.summary.folder))
        if run.settings_before:
            store.keep_setting(settings_name, run.settings_before)
    for result, folder in restored:
        write_reports(result, output / folder)
