"""`grade backup FILE`: everything that is known of a class, in one file."""

from __future__ import annotations

from pathlib import Path

import click

from grader.cli.caller import OutputPath
from grader.cli.options import class_option
from grader.cohort.store import STORE_NAME, Store

EXAMPLES = """
\b
Examples:
  grade backup class-2026-03-11.sqlite
  cp class-2026-03-11.sqlite reports/class.sqlite      restore it
  grade batch class/                                   and write its reports
"""


@click.command(epilog=EXAMPLES)
@click.argument("file", type=OutputPath(dir_okay=False))
@class_option
def backup(file: Path, output: Path) -> None:
    """Write grades, judgements, decisions and settings of a class to FILE.

    It may run while `grade review` or `grade batch` does. To restore it, copy FILE to
    OUTPUT/class.sqlite; the next `grade batch` writes the reports.
    """
    with Store.open_existing(output) as store:
        store.backup(file)
        students = sum(1 for _ in store.current())
    click.echo(f"{students} students in {file}, a copy of {output / STORE_NAME}")
