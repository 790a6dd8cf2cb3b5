"""Print the summary of `grade`: a table of parts, and the next step for each failed item.

Texts from a submission become plain `rich.text.Text` without control sequences, so that they can
neither use markup nor steer the terminal.
"""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from grader.report.wording import (
    FAULTS,
    OUTCOME_LABELS,
    attention_heading,
    counted,
    deciding_check,
    doubtful_items,
    doubts,
    facts,
    items_that_await_a_person,
    items_that_fell_short,
    points,
    score_line,
    shortened,
)
from grader.results import ItemResult, Outcome, SubmissionResult
from grader.text import clean_block

_STYLES = {
    Outcome.PASSED: "green",
    Outcome.FAILED: "bold red",
    Outcome.SKIPPED: "dim",
    Outcome.PENDING: "yellow",
    Outcome.ERROR: "bold magenta",
}


def print_summary(result: SubmissionResult, console: Console, report_path: str) -> None:
    """Print the summary of a result, and the path of its report."""
    _print_warnings(result, console)
    console.print(_parts_table(result, console))
    short = items_that_fell_short(result)
    if short:
        console.print()
        console.print(Text(attention_heading(result), style="bold"))
        for item in short:
            _print_failure(item, console)
    console.print()
    _print_totals(result, console)
    console.print(Text("Report: ") + _plain(report_path, console, "bold"), soft_wrap=True)


def _print_warnings(result: SubmissionResult, console: Console) -> None:
    provenance = result.provenance
    if provenance.practice:
        text = (
            f"Graded on the small practice set {provenance.dataset}, with easier thresholds. "
            "This is not a grade."
        )
        console.print(Panel(_plain(text, console), title="PRACTICE", style="yellow", box=box.HEAVY))
    if provenance.unsafe:
        text = (
            "The code ran without a sandbox (--own-work) and could have changed this result. It "
            "is for the author of the code, and not a grade."
        )
        console.print(Panel(Text(text), title="OWN WORK", style="bold red", box=box.HEAVY))


def _parts_table(result: SubmissionResult, console: Console) -> Table:
    table = Table(
        title=_plain(f"{result.name}, {result.provenance.assignment_title}", console),
        title_style="bold",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        show_footer=True,
    )
    table.add_column("part", footer="all", no_wrap=True, overflow="ellipsis", max_width=12)
    table.add_column("title", ratio=1)
    table.add_column("outcome", min_width=7)
    table.add_column("points", footer=score_line(result.score), justify="right")
    for problem in result.problems:
        for part in problem.parts:
            table.add_row(
                _plain(part.id, console),
                _plain(part.title, console),
                Text(OUTCOME_LABELS[part.outcome], style=_STYLES[part.outcome]),
                Text(score_line(part.score)),
            )
        table.add_section()
    return table


def _print_failure(item: ItemResult, console: Console) -> None:
    title = _plain(f" {item.title} ({score_line(item.score)})", console)
    console.print(Text("\n") + _plain(item.id, console, "bold") + title)
    check = deciding_check(item)
    if check is not None:
        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True, style="dim")
        table.add_column(overflow="fold")
        table.add_row(
            Text(OUTCOME_LABELS[check.outcome], style=_STYLES[check.outcome]),
            _plain(check.title, console),
        )
        for name, text in facts(check):
            table.add_row(name, _plain(shortened(text), console))
        for hint in item.hints:
            if hint.message not in check.next_step:
                table.add_row(Text("hint", style="cyan"), _plain(shortened(hint.message), console))
        console.print(Padding(table, (0, 0, 0, 2)))


def _print_totals(result: SubmissionResult, console: Console) -> None:
    score = result.score
    line = Text(f"{points(score.earned)} of {points(score.possible)} points earned", style="bold")
    for value, words in (
        (score.pending, "to be graded by a person"),
        (score.lost, "lost"),
        (score.undecided, "undecided"),
    ):
        if value:
            line.append(f", {points(value)} {words}", style="not bold")
    console.print(line)
    awaiting = items_that_await_a_person(result)
    if awaiting:
        listing = ", ".join(item.id for item in awaiting)
        console.print(_plain(f"A person grades {listing}.", console))
    doubtful = [f"{item.id} ({', '.join(doubts(item))})" for item in doubtful_items(result)]
    if doubtful:
        console.print(_plain(f"A person should check {', '.join(doubtful)}.", console))
    for item in result.items():
        for hint in item.hints if item.outcome not in FAULTS else ():
            message = shortened(hint.message)
            console.print(_plain(f"Hint on {item.id}, at no cost: {message}.", console))
    if result.intake:
        notes = counted(len(result.intake), "note")
        console.print(Text(f"The report has {notes} on files of the submission."))
    if not result.complete:
        console.print(Text("Incomplete: not every item was graded.", style="yellow"))


def _plain(text: str, console: Console, style: str = "") -> Text:
    """Return the text without control sequences and characters that the terminal lacks."""
    encoded = clean_block(text).encode(console.encoding, "backslashreplace")
    return Text(encoded.decode(console.encoding), style=style)
