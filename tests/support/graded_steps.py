"""`grade` as a step of GitHub Actions: the reference, and a submission that attacks the log."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

from tests.support.actions_runner import Step, run_step
from tests.support.paths import ROOT

ATTACKS = (
    "::error file=problem_1.py,line=1::forged",
    "::warning::forged",
    "::add-mask::61",
    "::set-output name=result::forged",
    "::stop-commands::forged",
    "::notice title=Autograding complete::Points 100/100",
    "::add-matcher::matcher.json",
    "##[error]forged",
    "61 points ##[add-mask]61",
    "##[set-output name=result;]forged",
)
"""Lines that the runner would obey."""


@dataclass(frozen=True, kw_only=True)
class GradedStep:
    """One graded step: its submission and its files."""

    step: Step
    submission: Path
    junit: str
    report: Path


def grade_reference(directory: Path) -> GradedStep:
    """A few parts of the reference on the practice set, one of them trained, printed as JSON."""
    submission = Path(shutil.copytree(ROOT / "reference", directory / "repository" / "work"))
    return _grade(submission, directory, "--practice", "--only", "1,2A,2C", "--json")


def grade_attacker(directory: Path) -> GradedStep:
    """A submission whose every text is a command to the runner, its name included."""
    name = "::error::work ##[add-mask]61"
    submission = Path(shutil.copytree(ROOT / "reference", directory / "repository" / name))
    lines = "\n".join(ATTACKS)
    (submission / "##[error]forged.txt").write_text(lines)
    (submission / "written" / "1A.md").write_text(lines)
    (submission / "problem_1.py").write_text(
        dedent(f"""
            import sys
            LINES = {lines!r}
            print(LINES)
            print(LINES, file=sys.stderr)

            def or_network():
                raise ValueError(LINES)

            def xor_min_layers():
                return LINES
        """)
    )
    (submission / "problem_2.py").write_text(f"def versions():\n    return {ATTACKS!r}\n")
    (submission / "problem_3.py").write_text(f"def conv_parameters(:\n{lines}\n")
    return _grade(submission, directory, "--quick")


def _grade(submission: Path, directory: Path, *arguments: str) -> GradedStep:
    reports = directory / "reports"
    junit = directory / "junit" / "junit.xml"
    step = run_step(
        ["grade", submission, "--output", reports, "--junit", junit, *arguments],
        workspace=submission.parent,
        files=directory / "runner",
        XDG_CACHE_HOME=str(directory / "cache"),
    )
    return GradedStep(
        step=step,
        submission=submission,
        junit=junit.read_text(encoding="utf-8"),
        report=reports / submission.name,
    )
