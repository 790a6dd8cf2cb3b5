"""`grade review`: people grade the written answers of a class."""

from __future__ import annotations

import getpass
import os
import threading
import webbrowser
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from grader.assignment.loading import load_assignment
from grader.cli.options import assignment_option
from grader.cohort.store import Store

DEFAULT_PORT = 8765

EXAMPLES = """
\b
Examples:
  grade review                          grade what `grade batch` left in reports/
  grade review invite Grace             a link with which Grace grades too
  grade review revoke Grace             and no more
  grade review --double 0.1             a tenth is graded by two people independently
  grade review export answers.csv       for those who grade in a spreadsheet
  grade review import answers.csv       and back
"""

_class_option = click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("reports"),
    show_default=True,
    help="Where `grade batch` left the class.",
)
_name_option = click.option(
    "--as", "grader", default="", help="Your name as a grader; by default the user's."
)
_public_url_option = click.option(
    "--public-url",
    default="",
    help="Of a reverse proxy, such as https://grading.example.edu. Links then begin with it.",
)
_port_option = click.option(
    "--port", type=click.IntRange(1, 65_535), default=DEFAULT_PORT, show_default=True
)


@click.group(invoke_without_command=True, epilog=EXAMPLES)
@_class_option
@assignment_option
@_name_option
@_public_url_option
@_port_option
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on. Leave it, and put a reverse proxy with TLS before it.",
)
@click.option(
    "--double",
    type=click.FloatRange(0, 1),
    help="Share of answers that two people grade independently, such as 0.1; it is remembered.",
)
@click.option("--browser/--no-browser", default=True, show_default=True, help="Open the page.")
@click.pass_context
def review(
    context: click.Context,
    /,
    *,
    output: Path,
    assignment: str,
    grader: str,
    double: float | None,
    browser: bool,
    **address: Any,
) -> None:
    """Grade the written answers of a class on a local web page.

    Every judgement is on the disk before the next answer comes up, and reports, result.json and the
    class's results follow within seconds. Ctrl-C ends the page; nothing is lost.
    """
    if context.invoked_subcommand is not None:
        return
    from grader.review.accounts import invite as make_invitation  # noqa: PLC0415
    from grader.review.server import serve  # noqa: PLC0415
    from grader.review.settings import set_double_share  # noqa: PLC0415

    loaded = load_assignment(assignment)
    name = _who(grader)
    with Store.open_existing(output) as store:
        if double is not None:
            set_double_share(store, double, by=name)
        token = make_invitation(store, name, by=name)
        link = _link(token, address["public_url"], address["port"])
        Console(stderr=True).print(
            f"open this to grade as {name} (it is a key: do not pass it on):\n{link}",
            soft_wrap=True,
            highlight=False,
            markup=False,
        )
        if browser and os.environ.get("DISPLAY", "") + os.environ.get("WAYLAND_DISPLAY", ""):
            threading.Timer(1.0, webbrowser.open, (link,)).start()
        serve(store, loaded, output, **address)


@review.command("invite", epilog=EXAMPLES)
@click.argument("name")
@_class_option
@_name_option
@_public_url_option
@_port_option
def send_invitation(*, name: str, output: Path, grader: str, public_url: str, port: int) -> None:
    """Print a link with which NAME can grade; it is good for 14 days."""
    from grader.review.accounts import invite as make_invitation  # noqa: PLC0415

    with Store.open_existing(output) as store:
        click.echo(_link(make_invitation(store, name, by=_who(grader)), public_url, port))


@review.command("revoke", epilog=EXAMPLES)
@click.argument("name")
@_class_option
@_name_option
def revoke_invitation(*, name: str, output: Path, grader: str) -> None:
    """End NAME's invitations and sessions; what NAME judged stays."""
    from grader.review.accounts import revoke  # noqa: PLC0415

    with Store.open_existing(output) as store:
        revoke(store, name, by=_who(grader))
    click.echo(f"{name} can no longer grade")


@review.command("export", epilog=EXAMPLES)
@click.argument("table", type=click.Path(path_type=Path, dir_okay=False))
@_class_option
@assignment_option
def export_answers(*, table: Path, output: Path, assignment: str) -> None:
    """Write answers and judgements to TABLE, a CSV file."""
    from grader.review.answers import collect_answers  # noqa: PLC0415
    from grader.review.table import export_table  # noqa: PLC0415

    loaded = load_assignment(assignment)
    with Store.open_existing(output) as store:
        collect_answers(store, output)
        rows = export_table(store, loaded, table)
    click.echo(f"{rows} answers in {table}")


@review.command("import", epilog=EXAMPLES)
@click.argument("table", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@_class_option
@assignment_option
@_name_option
def import_judgements(*, table: Path, output: Path, assignment: str, grader: str) -> None:
    """Take in the judgements in TABLE, which `grade review export` wrote.

    Fill in `found` with ids of rubric items, or "none", and if you like `adjustment`, `comment` and
    `flagged`. Either every row is taken or none, and nobody's newer judgement is overwritten.
    """
    from grader.review.answers import collect_answers  # noqa: PLC0415
    from grader.review.publishing import publish  # noqa: PLC0415
    from grader.review.table import import_table  # noqa: PLC0415

    loaded = load_assignment(assignment)
    with Store.open_existing(output) as store:
        collect_answers(store, output)
        imported = import_table(store, loaded, table, grader=_who(grader))
        changed = publish(store, loaded, output)
    click.echo(
        f"{imported.judged} judgements taken in, {imported.unchanged} unchanged, "
        f"{imported.empty} rows without any; {len(changed)} reports written"
    )


def _who(grader: str) -> str:
    return grader or getpass.getuser()


def _link(token: str, public_url: str, port: int) -> str:
    start = public_url.rstrip("/") or f"http://127.0.0.1:{port}"
    return f"{start}/join?token={token}"
