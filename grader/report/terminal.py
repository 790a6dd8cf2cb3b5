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
    VERDICT_LABELS,
    Verdict,
    attention_heading,
    counted,
    deciding_check,
    doubtful_items,
    doubts,
    facts,
    faults,
    items_ready_to_train,
    items_that_await_a_person,
    items_that_fell_short,
    items_to_answer,
    items_with_questions,
    points,
    rules_met,
    score_line,
    shortened,
    source_sentence,
    tests_of,
    to_answer_heading,
    unanswered_points,
    verdict,
    worth,
)
from grader.results import CheckResult, ItemResult, PartResult, SubmissionResult, add_points
from grader.text import clean_block

_OTHER_TRAINING = (
    "If another training counts, write the part in a heading above it, or name its model as the "
    "report says."
)
_FAULTS_PRINTED = 5
_FAULT_CHARACTERS = 200
_NOTES_PRINTED = 5

_STYLES = {
    Verdict.PASSED: "green",
    Verdict.FAILED: "bold red",
    Verdict.PARTLY: "red",
    Verdict.UNANSWERED: "cyan",
    Verdict.SKIPPED: "dim",
    Verdict.PENDING: "yellow",
    Verdict.ERROR: "bold magenta",
}


def print_summary(result: SubmissionResult, console: Console, report_path: str) -> None:
    """Print the summary of a result, and the path of its report."""
    _print_warnings(result, console)
    _print_score(result, console)
    console.print()
    console.print(_parts_table(result, console))
    short = items_that_fell_short(result)
    if short:
        console.print()
        console.print(Text(attention_heading(result), style="bold"))
        for item in short:
            _print_item(item, console)
    _print_unanswered(result, console)
    _print_ready(result, console)
    questions = items_with_questions(result)
    if questions:
        console.print()
        heading = f"A person must look at {counted(len(questions), 'item')}"
        console.print(Text(heading, style="bold"))
        for item in questions:
            _print_item(item, console)
    _print_programs(result, console)
    console.print()
    _print_totals(result, console)
    console.print(Text("Report: ") + plain_text(report_path, console, "bold"), soft_wrap=True)


def _print_warnings(result: SubmissionResult, console: Console) -> None:
    provenance = result.provenance
    if provenance.practice:
        text = (
            f"Graded on the small practice set {provenance.dataset}, with easier thresholds. "
            "This is not a grade."
        )
        console.print(
            Panel(plain_text(text, console), title="PRACTICE", style="yellow", box=box.HEAVY)
        )
    if provenance.unsafe:
        text = (
            "The code ran without a sandbox (--own-work) and could have changed this result. It "
            "is for the author of the code, and not a grade."
        )
        console.print(Panel(Text(text), title="OWN WORK", style="bold red", box=box.HEAVY))


def _parts_table(result: SubmissionResult, console: Console) -> Table:
    table = Table(
        title=plain_text(f"{result.name}, {result.provenance.assignment_title}", console),
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
        asked = [part for part in problem.parts if any(item.was_asked for item in part.items)]
        for part in asked:
            table.add_row(
                plain_text(part.id, console),
                plain_text(part.title, console),
                _label(part),
                Text(score_line(part.score)),
            )
        if asked:
            table.add_section()
    rest = [item for item in result.items() if not item.was_asked]
    if rest:
        left_out = points(sum(item.score.possible for item in rest))
        words = f"{counted(len(rest), 'item')} left out by --only"
        table.add_row(Text("rest", style="dim"), Text(words, style="dim"), "", Text(left_out))
        table.add_section()
    return table


def _label(result: CheckResult | ItemResult | PartResult) -> Text:
    found = verdict(result)
    return Text(VERDICT_LABELS[found], style=_STYLES[found])


def _print_unanswered(result: SubmissionResult, console: Console) -> None:
    """Print the items that are not answered yet, a line each with the next step."""
    items = items_to_answer(result)
    if not items:
        return
    console.print()
    console.print(Text(to_answer_heading(result), style="bold"))
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for item in items:
        check = deciding_check(item)
        next_step = check.next_step if check is not None else ""
        place = f" ({check.location})" if check is not None and check.location else ""
        table.add_row(
            plain_text(item.id, console),
            plain_text(f"{shortened(next_step, _FAULT_CHARACTERS)}{place}", console),
        )
    console.print(Padding(table, (0, 0, 0, 2)))


def _print_ready(result: SubmissionResult, console: Console) -> None:
    """Print the items of which --quick has only left out the training."""
    items = items_ready_to_train(result)
    if not items:
        return
    console.print()
    heading = f"{counted(len(items), 'model')} ready to be trained: every rule is met"
    console.print(Text(heading, style="bold"))
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for item in items:
        table.add_row(plain_text(item.id, console), plain_text(rules_met(item), console))
    console.print(Padding(table, (0, 0, 0, 2)))


def _print_item(item: ItemResult, console: Console) -> None:
    """Print an item with the check on which its student or a person must act."""
    title = plain_text(f" {item.title} ({score_line(item.score)})", console)
    console.print(Text("\n") + plain_text(item.id, console, "bold") + title)
    check = deciding_check(item)
    if check is not None:
        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True, style="dim")
        table.add_column(overflow="fold")
        table.add_row(
            _label(check),
            plain_text(check.title, console),
        )
        for name, text in facts(check):
            table.add_row(name, plain_text(shortened(text), console))
        others = [other for other in faults(tests_of(item)) if other is not check]
        for other in others:
            named = shortened(f"{other.title} ({worth(other)})")
            table.add_row(_label(other), plain_text(named, console))
        for hint in item.hints:
            if hint.message not in check.next_step:
                table.add_row(
                    Text("hint", style="cyan"), plain_text(shortened(hint.message), console)
                )
        console.print(Padding(table, (0, 0, 0, 2)))


def _print_programs(result: SubmissionResult, console: Console) -> None:
    """Print which trainings were taken from programs, and what failed in them."""
    taken = [(item, item.source) for item in result.items() if item.source is not None]
    if taken:
        console.print()
        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True, style="bold")
        table.add_column(overflow="fold")
        for item, source in taken:
            text = plain_text(source_sentence(source), console)
            if source.others:
                others = counted(len(source.others), "other training")
                text.append(f" The report lists {others}.", style="dim")
            table.add_row(plain_text(item.id, console), text)
        console.print(table)
        console.print(Text(_OTHER_TRAINING, style="dim"))
    for program in result.programs:
        if program.faults:
            console.print()
            failed = f"{counted(len(program.faults), 'statement')} failed in {program.file}"
            console.print(plain_text(f"{failed}; the rest ran:", console))
        for fault in program.faults[:_FAULTS_PRINTED]:
            line = f"{fault.location}: {shortened(fault.message, _FAULT_CHARACTERS)}"
            console.print(Padding(plain_text(line, console), (0, 0, 0, 2)))
        if len(program.faults) > _FAULTS_PRINTED:
            more = f"and {len(program.faults) - _FAULTS_PRINTED} more in the report"
            console.print(Padding(Text(more, style="dim"), (0, 0, 0, 2)))


def _print_score(result: SubmissionResult, console: Console) -> None:
    """Print the points in one line, which stands first and last."""
    score = result.score
    unanswered = unanswered_points(result)
    line = Text(f"{points(score.earned)} of {points(score.possible)} points earned", style="bold")
    for value, words in (
        (score.pending, "to be graded by a person"),
        (unanswered, "not answered yet"),
        (add_points([score.lost, -unanswered]), "lost"),
        (score.undecided, "undecided"),
    ):
        if value:
            line.append(f", {points(value)} {words}", style="not bold")
    console.print(line)


def _print_totals(result: SubmissionResult, console: Console) -> None:
    _print_score(result, console)
    awaiting = items_that_await_a_person(result)
    if awaiting:
        listing = ", ".join(item.id for item in awaiting)
        console.print(plain_text(f"A person grades {listing}.", console))
    doubtful = [f"{item.id} ({', '.join(doubts(item))})" for item in doubtful_items(result)]
    if doubtful:
        console.print(plain_text(f"A person should check {', '.join(doubtful)}.", console))
    with_their_hints = [*items_that_fell_short(result), *items_with_questions(result)]
    for item in result.items():
        for hint in item.hints if item not in with_their_hints else ():
            message = shortened(hint.message)
            console.print(plain_text(f"Hint on {item.id}, at no cost: {message}.", console))
    for note in result.intake[:_NOTES_PRINTED]:
        console.print(plain_text(f"{note.file}: {note.message}", console))
    if len(result.intake) > _NOTES_PRINTED:
        notes = counted(len(result.intake) - _NOTES_PRINTED, "more note")
        console.print(Text(f"The report has {notes} on files of the submission."))
    if not result.complete:
        console.print(Text("Incomplete: not every item was graded.", style="yellow"))


def plain_text(text: str, console: Console, style: str = "") -> Text:
    """Return the text without control sequences and characters that the terminal lacks."""
    encoded = clean_block(text).encode(console.encoding, "backslashreplace")
    return Text(encoded.decode(console.encoding), style=style)
