"""`grade review`: people grade the written answers of a class."""

from __future__ import annotations

import getpass
import os
import threading
import webbrowser
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from grader.assignment.records import Assignment
from grader.cli.caller import CallerPath, OutputPath
from grader.cli.class_settings import load_class_assignment
from grader.cli.options import assignment_option, class_option, split_list
from grader.errors import UsageError
from grader.review.accounts import invite as make_invitation
from grader.review.accounts import revoke
from grader.review.answers import collect_answers
from grader.review.ledger import reopen
from grader.review.merging import SHOWN, merge_judgements
from grader.review.queue import EVERYTHING, Share, give_share
from grader.review.store import ReviewStore
from grader.review.table import export_table, import_table
from grader.text import clean_line, did_you_mean, display_name

DEFAULT_PORT = 8765

EXAMPLES = """
\b
Examples:
  grade review                     grade the class in reports/
  grade review invite Grace        print a link for Grace
  grade review revoke Grace        end Grace's access
  grade review --double 0.1        a tenth of the answers twice
  grade review export answers.csv  grade in a spreadsheet
  grade review import answers.csv  and take the grades over
  grade review merge copy.sqlite   take over what was judged in a copy
  grade review invite Ada --share 2/6         a sixth of the answers for one of six graders
  grade review export two.csv --share 2/6     the same answers in a spreadsheet
  grade review reopen 1042 1A --reason "page 2 was not read"
"""

_name_option = click.option(
    "--as", "grader", default="", help="Your name as a grader. [default: your user name]"
)
_public_url_option = click.option(
    "--public-url",
    default="",
    help="Start of links if a reverse proxy is used, such as https://grading.example.edu.",
)
_port_option = click.option(
    "--port",
    type=click.IntRange(1, 65_535),
    default=DEFAULT_PORT,
    show_default=True,
    help="Port to listen on.",
)


@click.group(invoke_without_command=True, epilog=EXAMPLES)
@class_option
@assignment_option
@_name_option
@_public_url_option
@_port_option
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on. Keep the default, and use a reverse proxy with TLS.",
)
@click.option(
    "--double",
    type=click.FloatRange(0, 1),
    help="Share of the answers that two people grade independently, such as 0.1. It is stored.",
)
@click.option(
    "--browser/--no-browser", default=True, show_default=True, help="Open the page in a browser."
)
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

    Every judgement is saved before the next answer is shown. Reports, result.json and the class
    page follow within seconds. Ctrl-C ends the page; nothing is lost.
    """
    if context.invoked_subcommand is not None:
        return
    from grader.review.server import serve  # noqa: PLC0415 - slow

    loaded = load_class_assignment(context, output, assignment)
    name = grader or getpass.getuser()
    with ReviewStore.open_existing(output) as store:
        if double is not None:
            store.set_double_share(double, by=name)
        token = make_invitation(store, name, by=name)
        link = _link(token, address["public_url"], address["port"])
        Console(stderr=True).print(
            f"open this link to grade as {name} (keep it secret, it logs you in):\n{link}",
            soft_wrap=True,
            highlight=False,
            markup=False,
        )
        if browser and os.environ.get("DISPLAY", "") + os.environ.get("WAYLAND_DISPLAY", ""):
            threading.Timer(1.0, webbrowser.open, (link,)).start()
        serve(store, loaded, output, **address)


_share_option = click.option(
    "--share", metavar="K/N", help="Only a share of the answers: 2/6 is the second of six."
)
_section_option = click.option(
    "--section", default="", help="Only students whose `section` on the roster is this one."
)


def _read_share(store: ReviewStore, share: str | None, section: str) -> Share:
    return Share.read(f"{share or EVERYTHING} {section}", store.sections().values())


@review.command("invite", epilog=EXAMPLES)
@click.argument("name")
@_share_option
@_section_option
@class_option
@_name_option
@_public_url_option
@_port_option
def send_invitation(
    *,
    name: str,
    share: str | None,
    section: str,
    output: Path,
    grader: str,
    public_url: str,
    port: int,
) -> None:
    """Print a link for NAME to grade with. It is valid for 14 days.

    The share is kept, and NAME can take another one on the page; --share 1/1 gives all again.
    """
    by = grader or getpass.getuser()
    with ReviewStore.open_existing(output) as store:
        chosen = _read_share(store, share, section)
        token = make_invitation(store, name, by=by)
        if share or section:
            give_share(store, display_name(name.strip()), chosen, by=by)
    click.echo(_link(token, public_url, port))


@review.command("reopen", epilog=EXAMPLES)
@click.argument("student")
@click.argument("parts", nargs=-1)
@click.option("--reason", default="", help="Why the student asks; who grades again reads it.")
@click.option("--forget", is_flag=True, help="Withdraw the request; the judgements stand.")
@class_option
@assignment_option
@_name_option
@click.pass_context
def reopen_answers(
    context: click.Context,
    /,
    *,
    student: str,
    parts: tuple[str, ...],
    reason: str,
    forget: bool,
    output: Path,
    assignment: str,
    grader: str,
) -> None:
    """Open STUDENT's answers, or those to PARTS, to be graded again.

    They come up first in `grade review`, with the reason and what was judged before. The points
    count until somebody has judged again.
    """
    if bool(reason.strip()) == forget:
        raise UsageError(
            "a request needs a reason, and one that is withdrawn has none",
            next_step="give --reason TEXT, or --forget",
        )
    from grader.review.publishing import publish  # noqa: PLC0415 - slow

    loaded = load_class_assignment(context, output, assignment)
    chosen = _items_of(loaded, parts)
    with ReviewStore.open_existing(output) as store:
        known = [summary.student.id for summary in store.summaries()]
        if student not in known:
            raise UsageError(
                f"there is no student {clean_line(student)!r}{did_you_mean(student, known)}",
                next_step="give an id as on the class page",
            )
        collect_answers(store, output)
        reason = " ".join(reason.split())
        opened = reopen(store, student, chosen, reason, grader=grader or getpass.getuser())
        publish(store, loaded, output)
    done = "withdrawn" if forget else "open to be graded again; the points count until then"
    click.echo(f"{clean_line(student)}, {', '.join(opened)}: {done}")


def _items_of(assignment: Assignment, parts: Sequence[str]) -> list[str]:
    """Return the ids of the items of these parts; of all without a part."""
    known = [item_id for item_id, _ in assignment.item_ids()]
    of_parts = {
        part: [one for one in known if one == part or one.startswith(f"{part}.")] for part in parts
    }
    if unknown := [part for part, items in of_parts.items() if not items]:
        raise UsageError(
            f"there is no part {clean_line(unknown[0])!r}", next_step=f"parts: {', '.join(known)}"
        )
    return [one for one in known if not parts or one in chain(*of_parts.values())]


@review.command("revoke", epilog=EXAMPLES)
@click.argument("name")
@class_option
@_name_option
def revoke_invitation(*, name: str, output: Path, grader: str) -> None:
    """End NAME's invitations and sessions. NAME's judgements stay."""
    with ReviewStore.open_existing(output) as store:
        revoke(store, name, by=grader or getpass.getuser())
    click.echo(f"{name} can no longer grade")


@review.command("export", epilog=EXAMPLES)
@click.argument("table", type=OutputPath(dir_okay=False))
@_share_option
@_section_option
@click.option(
    "--part", "parts", metavar="PARTS", default="", callback=split_list, help="Only these: 1A,1B."
)
@class_option
@assignment_option
@click.pass_context
def export_answers(
    context: click.Context,
    /,
    *,
    table: Path,
    share: str | None,
    section: str,
    parts: tuple[str, ...],
    output: Path,
    assignment: str,
) -> None:
    """Write answers and judgements to the CSV file TABLE."""
    loaded = load_class_assignment(context, output, assignment)
    with ReviewStore.open_existing(output) as store:
        collect_answers(store, output)
        chosen = _read_share(store, share, section)
        rows = export_table(store, loaded, table, chosen, _items_of(loaded, parts))
    click.echo(f"{rows} answers in {table}")


@review.command("import", epilog=EXAMPLES)
@click.argument("table", type=CallerPath(dir_okay=False, exists=True))
@class_option
@assignment_option
@_name_option
@click.pass_context
def import_judgements(
    context: click.Context, /, *, table: Path, output: Path, assignment: str, grader: str
) -> None:
    """Import judgements from TABLE, which `grade review export` wrote.

    Fill in `found` with ids of rubric items, or "none"; `adjustment`, `comment` and `flagged` are
    optional. If a row has a mistake, no row is imported. Newer judgements are never overwritten.
    """
    from grader.review.publishing import publish  # noqa: PLC0415 - slow

    loaded = load_class_assignment(context, output, assignment)
    with ReviewStore.open_existing(output) as store:
        collect_answers(store, output)
        imported = import_table(store, loaded, table, grader=grader or getpass.getuser())
        changed = publish(store, loaded, output)
    click.echo(
        f"{imported.judged} judgements imported, {imported.unchanged} unchanged, "
        f"{imported.empty} rows without a judgement; {len(changed)} reports written"
    )


@review.command("merge", epilog=EXAMPLES)
@click.argument("other", type=CallerPath(exists=True))
@click.option("--theirs", is_flag=True, help="Where both copies judged, take the other's.")
@class_option
@assignment_option
@_name_option
@click.pass_context
def merge(
    context: click.Context,
    /,
    *,
    other: Path,
    theirs: bool,
    output: Path,
    assignment: str,
    grader: str,
) -> None:
    """Take over the judgements made in OTHER: a backup of this class, or its --output elsewhere.

    Only judgements of the same answers are taken. Where both copies judged an answer differently,
    the one here stands and the answer is listed.
    """
    from grader.review.publishing import publish  # noqa: PLC0415 - slow

    loaded = load_class_assignment(context, output, assignment)
    with ReviewStore.open_existing(output) as store, ReviewStore.opened_copy(other) as copy:
        collect_answers(store, output)
        merged = merge_judgements(
            store, copy, loaded, grader=grader or getpass.getuser(), theirs=theirs
        )
        changed = publish(store, loaded, output)
    click.echo(
        f"{merged.judged} judgements taken over, {merged.unchanged} unchanged, "
        f"{merged.elsewhere} of other answers left out; {len(changed)} reports written"
    )
    kept = "theirs was taken" if theirs else "ours stands"
    for conflict in merged.conflicts[:SHOWN]:
        click.echo(f"judged in both, {kept}: {conflict}", err=True)
    if (more := len(merged.conflicts) - SHOWN) > 0:
        click.echo(f"and {more} more", err=True)


def _link(token: str, public_url: str, port: int) -> str:
    start = public_url.rstrip("/") or f"http://127.0.0.1:{port}"
    return f"{start}/join?token={token}"
