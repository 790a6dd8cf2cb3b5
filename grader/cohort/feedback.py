"""The released reports in the form in which platforms take them back.

Moodle: "Upload multiple feedback files in a zip" finds a student by the number in the name of the
directory (`mod/assign/feedback/file/importziplib.php`), and its offline grading worksheet has a
column of comments. Canvas: "Upload submissions" attaches a file to the submission whose user and
file its name begins with (`<name>_<user>_<file>_…`). Mail: a table for any program of serial
letters.
"""

from __future__ import annotations

import html
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from grader.cohort.gradebooks import Column, moodle
from grader.cohort.gradebooks.cells import number, text, write_rows
from grader.cohort.release import Released, is_one_name
from grader.intake.layouts import moodle_directory
from grader.intake.students import Platform
from grader.report.files import REPORT_NAME
from grader.text import clean_line

ZIP_NAME = "feedback.zip"
WORKSHEET_NAME = "worksheet.csv"
MAIL_NAME = "mail.csv"
_MAIL_HEADER = ("id", "name", "email", "points", "text", "report")


@dataclass(frozen=True, kw_only=True)
class Written:
    """The written files, and warnings about them.

    Attributes:
        files: names below the directory of the release.
        warnings: one sentence each.
    """

    files: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def write_moodle(
    released: Sequence[Released], column: Column, target: Path, students: str
) -> Written:
    """Write the zip of reports, and the worksheet with points and comments if there is one."""
    named = {each.summary.student.id: _moodle_name(each) for each in released}
    warnings = _write_zip(released, named, target, students, f"/{REPORT_NAME}")
    members = [each.summary for each in released]
    left_out = moodle.not_on_the_worksheet(members)
    if not moodle.has_worksheet(members):
        return Written(
            files=(ZIP_NAME,),
            warnings=(
                *warnings,
                f"no {WORKSHEET_NAME}: Moodle's grading worksheet was not the roster",
            ),
        )
    comments = {each.summary.student.id: html.escape(each.sentences) for each in released}
    with (target / WORKSHEET_NAME).open("w", encoding="utf-8", newline="") as file:
        warnings += moodle.write_with_comments(members, column, comments, file)
    if left_out:
        warnings.append(f"not on the worksheet: {_names(left_out)}")
    return Written(files=(ZIP_NAME, WORKSHEET_NAME), warnings=tuple(warnings))


def write_canvas(released: Sequence[Released], target: Path, students: str) -> Written:
    """Write the zip of reports, each under the beginning of the name of a student's file."""
    named = {
        each.summary.student.id: each.summary.feedback_name
        for each in released
        if each.summary.platform is Platform.CANVAS
    }
    warnings = _write_zip(released, named, target, students, REPORT_NAME)
    return Written(files=(ZIP_NAME,), warnings=tuple(warnings))


def write_mail(released: Sequence[Released], target: Path, students: str) -> Written:
    """Write the table of what to write to whom."""
    rows = [
        [
            text(each.summary.student.id),
            text(each.summary.student.name),
            text(each.summary.student.email),
            "" if each.points is None else number(each.points),
            text(each.sentences),
            text(f"{students}/{each.folder}/{REPORT_NAME}"),
        ]
        for each in released
    ]
    # Excel reads a table as UTF-8 only if the table begins with a byte order mark.
    with (target / MAIL_NAME).open("w", encoding="utf-8-sig", newline="") as file:
        write_rows(file, _MAIL_HEADER, rows)
    warnings = []
    if unknown := [each.summary.student.id for each in released if not each.summary.student.email]:
        warnings.append(f"without an email address: {_names(unknown)}")
    if doubtful := [each.summary.student.id for each in released if each.summary.whose]:
        warnings.append(f"not certain whose the submission is: {_names(doubtful)}")
    return Written(files=(MAIL_NAME,), warnings=tuple(warnings))


def _moodle_name(released: Released) -> str:
    """Return the directory as Moodle named it, or the one that the worksheet's number gives."""
    summary = released.summary
    if summary.platform is Platform.MOODLE and summary.feedback_name:
        return summary.feedback_name
    if participant := moodle.participant(summary):
        return moodle_directory(summary.student.name, participant)
    return ""


def _write_zip(
    released: Sequence[Released],
    named: dict[str, str],
    target: Path,
    students: str,
    ending: str,
) -> list[str]:
    """Write the reports under their names; return sentences about those that are not in it."""
    without, shared = [], []
    seen: set[str] = set()
    with zipfile.ZipFile(target / ZIP_NAME, "w", zipfile.ZIP_DEFLATED) as archive:
        for each in released:
            student_id = each.summary.student.id
            name = named.get(student_id, "")
            if not is_one_name(name):
                without.append(student_id)
            elif name in seen:
                shared.append(student_id)
            else:
                seen.add(name)
                page = target / students / each.folder / REPORT_NAME
                # Without the file's own time and rights, equal releases are equal files.
                entry = zipfile.ZipInfo(name + ending)
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, page.read_bytes())
    warnings = []
    if without:
        warnings.append(
            f"not in {ZIP_NAME}, as no file of theirs came from the platform: {_names(without)}; "
            "after an earlier version of the grader, run the same `grade batch` once more"
        )
    if shared:
        warnings.append(
            f"not in {ZIP_NAME}, as a submission that several share has one report there: "
            f"{_names(shared)}"
        )
    return warnings


def _names(student_ids: Sequence[str]) -> str:
    return ", ".join(map(clean_line, student_ids))
