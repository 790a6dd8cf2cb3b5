"""`grade doctor`: what works on this machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from grader.cli.exit_codes import EXIT_NO_GRADE, EXIT_PASSED
from grader.cli.options import data_option, json_option, output_option

if TYPE_CHECKING:
    from grader.cli.diagnosis import Finding

_STYLES = {"ok": "green", "warning": "yellow", "problem": "bold red"}

EXAMPLES = """
\b
Examples:
  grade doctor                    before the first grading, or when something fails
  grade doctor --data ~/mnist     with MNIST from a directory
  grade doctor --json             for another program

\b
Exit codes:
  0  a grade can be given here; warnings change nothing about that
  3  a problem lets no grade come about, such as MNIST that is neither here nor to be
     downloaded: --practice would work, and gives none
"""


@click.command(epilog=EXAMPLES)
@data_option
@output_option
@json_option
def doctor(data_directory: Path | None, output: Path, *, as_json: bool) -> None:
    """Say what works on this machine, and what to do about what does not.

    Everything is tried: torch is loaded, MNIST's checksums are computed, and a probe tries to break
    out of every kind of sandbox. Nothing is downloaded or installed.
    """
    with Console(stderr=True).status("looking around …") as status:
        from grader.cli.diagnosis import Status, examine  # noqa: PLC0415 - while something is shown

        findings = list(
            examine(
                data_directory=data_directory,
                output=output,
                on_stage=lambda text: status.update(f"{text} …"),
            )
        )
    problems = sum(finding.status is Status.PROBLEM for finding in findings)
    if as_json:
        diagnosis = {"can_grade": not problems, "findings": findings}
        click.echo(msgspec.json.format(msgspec.json.encode(diagnosis), indent=2))
    else:
        _print(findings, problems)
    sys.exit(EXIT_NO_GRADE if problems else EXIT_PASSED)


def _print(findings: list[Finding], problems: int) -> None:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for column in ("status", "name"):
        table.add_column(column, no_wrap=True)
    table.add_column("observed", overflow="fold")
    for finding in findings:
        observed = Text(finding.observed)
        if finding.remedy:
            observed.append(
                f"\n→ {finding.remedy}", style="dim" if finding.status == "ok" else "bold"
            )
        table.add_row(Text(finding.status, style=_STYLES[finding.status]), finding.name, observed)
    console = Console()
    console.print(table)
    if problems:
        counted = "the problem" if problems == 1 else f"the {problems} problems"
        console.print(Text(f"no grade can be given here: see {counted} above", style="bold red"))
    else:
        console.print(Text("grades can be given here", style="bold green"))
