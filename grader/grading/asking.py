"""Ask one submission its questions: functions are called, programs are recorded.

A notebook is recorded first, and asked only for the functions and values that it has. A Python file
is asked first, and recorded once if it turns out to be a program: one that cannot be imported, or
that trains at its top level instead of in functions. What a program does not answer is a doubt for
a person, never a fault.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from grader.assignment.records import Assignment, Item, ModelItem, SweepItem, reported_id
from grader.grading.attribution import (
    Program,
    Sought,
    attribute,
    find_heading,
    find_sweep,
    how_to_name,
    quoted,
)
from grader.grading.items.recorded import extract_training, with_recorded_recipe
from grader.grading.items.structure import meets_rules
from grader.grading.literals import is_literal
from grader.grading.part_names import PartNames, labels_of
from grader.intake.notebooks import SUFFIX
from grader.intake.submission import Submission
from grader.models.questions import Extraction, Question
from grader.models.recording import Attribution, Doubt, RecordedTraining

Ask = Callable[[Question], Extraction]
"""Puts one question to the sandbox."""


def ask_submission(
    ask: Ask, submission: Submission, assignment: Assignment, needed: frozenset[str]
) -> dict[str, Extraction]:
    """Return the answers to the questions of the needed items and the recordings, by question id.

    Args:
        ask: puts one question to the sandbox.
        submission: the private copy.
        assignment: the assignment.
        needed: ids of items.
    """
    extractions: dict[str, Extraction] = {}
    for files in _group_files(submission, assignment):
        asking = _Asking(
            ask=ask, submission=submission, assignment=assignment, needed=needed, files=files
        )
        extractions |= asking.ask_all()
    return extractions


def recording_id(file: str) -> str:
    """Return the id of the question that records a file."""
    return f"record:{file}"


def _group_files(submission: Submission, assignment: Assignment) -> list[tuple[str, ...]]:
    """Return the assignment's files of code; those that one source stands for are together."""
    groups: list[tuple[str, ...]] = []
    asked = (item.file for item_id, item in assignment.item_ids() if item.questions(item_id))
    for file in dict.fromkeys(asked):
        sources = set(submission.sources.get(file, ()))
        sharing = [
            group
            for group in groups
            if any(sources.intersection(submission.sources.get(other, ())) for other in group)
        ]
        merged = (*(other for group in sharing for other in group), file)
        groups = [*(group for group in groups if group not in sharing), merged]
    return groups


@dataclass(kw_only=True)
class _Asking:
    """The questions to the sources of one or more of the assignment's files."""

    ask: Ask
    submission: Submission
    assignment: Assignment
    needed: frozenset[str]
    files: tuple[str, ...]
    extractions: dict[str, Extraction] = field(default_factory=dict)
    programs: list[Program] = field(default_factory=list)

    def ask_all(self) -> dict[str, Extraction]:
        """Return the answers to the questions of every needed item of the files."""
        if not any(True for _ in self._questions()):
            return {}
        sources = list(
            dict.fromkeys(
                source for file in self.files for source in self.submission.sources.get(file, ())
            )
        )
        if not sources:
            for question in self._questions():
                self.extractions[question.id] = self.ask(question)
        elif len(sources) > 1 or sources[0].casefold().endswith(SUFFIX):
            for source in sources:
                self._record(source)
            self._ask_programs(sources)
        else:
            self._ask_python_file(sources[0])
        return self.extractions

    def _items(self) -> list[tuple[str, str, Item]]:
        """Return the part's id, the item's id and the item for every item of the files."""
        return [
            (part.id, item_id, item)
            for problem in self.assignment.problems
            for part in problem.parts
            for item_id, item in part.item_ids()
            if item.file in self.files
        ]

    def _questions(self) -> Iterator[Question]:
        for _, item_id, item in self._items():
            if item_id in self.needed:
                yield from item.questions(item_id)

    def _ask_python_file(self, source: str) -> None:
        """Ask a Python file for its functions; if it is a program, record it and read it so."""
        asked: list[Extraction] = []
        for question in self._questions():
            extraction = self.ask(replace(question, file=source))
            self.extractions[question.id] = extraction
            asked.append(extraction)
            if not self.programs and _suggests_program(extraction):
                self._record(source)
                if self._is_program(asked):
                    break
        required = [one for one in asked if not one.question.optional]
        if not self.programs and not any(map(_is_answered, required)):
            self._record(source)
        if self._is_program(asked):
            self._ask_programs([source])

    def _record(self, source: str) -> None:
        question = Question(id=recording_id(source), kind="recording", file=source, function="")
        extraction = self.ask(question)
        self.extractions[question.id] = extraction
        if extraction.recording is not None:
            cells = self.submission.read_cells(source)
            self.programs.append(Program(file=source, cells=cells, recording=extraction.recording))

    def _is_program(self, asked: Sequence[Extraction]) -> bool:
        """Return True if a Python file is better read as a program than as functions."""
        if not self.programs:
            return False
        recording = self.programs[0].recording
        if recording.trainings or recording.library:
            return True
        functions = {question.function for question in self._questions()}
        return any(map(_fails_at_import, asked)) and not functions.isdisjoint(recording.names)

    def _ask_programs(self, sources: Sequence[str]) -> None:
        """Ask recorded programs for what they define, and attribute their trainings."""
        sweeps = {
            item_id: item for _, item_id, item in self._items() if isinstance(item, SweepItem)
        }
        last_sweep, swept = find_sweep(self.programs, {item.epochs for item in sweeps.values()})
        for question in self._questions():
            if _is_answered(self.extractions.get(question.id)):
                continue
            if question.id in sweeps and last_sweep and not self._has_literal(question.function):
                self.extractions[question.id] = Extraction(question=question, swept=last_sweep)
            else:
                self.extractions[question.id] = self._ask_programs_for(question, sources)
        self._attribute(swept if sweeps else (), sources)

    def _ask_programs_for(self, question: Question, sources: Sequence[str]) -> Extraction:
        """Ask the program that has the function or the value; doubt if there is none."""
        # Whatever a program measures is measured on stand-ins.
        measured = question.id.endswith(reported_id("")) or question.id in self._sweep_ids()
        missing = Extraction(question=question)
        for program in self.programs:
            if question.function not in program.recording.names:
                continue
            if measured and not is_literal(program.cells, question.function):
                continue
            if any(question.function in one.names for one in program.recording.trainings):
                continue  # the training says more than the value
            extraction = self.ask(replace(question, file=program.file, program=True))
            if extraction.failure is None or question.optional:
                return extraction
            failure = extraction.failure
            doubt = Doubt(
                observed=f"{question.function} gives no answer: {failure.message}",
                next_step=failure.next_step,
                location=failure.location,
            )
            missing = replace(extraction, failure=None, doubt=doubt)
        if question.optional or missing.doubt is not None:
            return missing
        return replace(missing, doubt=self._doubt_unread(sources) or self._doubt_missing(question))

    def _sweep_ids(self) -> frozenset[str]:
        return frozenset(
            item_id for _, item_id, item in self._items() if isinstance(item, SweepItem)
        )

    def _has_literal(self, name: str) -> bool:
        return any(
            name in program.recording.names and is_literal(program.cells, name)
            for program in self.programs
        )

    def _doubt_unread(self, sources: Sequence[str]) -> Doubt | None:
        """Return the reason why a source could not be recorded, or None."""
        for source in sources:
            failure = self.extractions[recording_id(source)].failure
            if failure is not None:
                return Doubt(
                    observed=f"{source} could not be run: {failure.message}",
                    next_step=failure.next_step,
                    location=failure.location,
                )
        return None

    def _doubt_missing(self, question: Question) -> Doubt:
        """Return the sentence that says where a person should look for an answer."""
        part = next(part for part, item_id, _ in self._items() if question.id == item_id)
        named = " and ".join(program.file for program in self.programs)
        observed = f"{named} has no {question.function}()"
        found = (find_heading(program, self._names(), part) for program in self.programs)
        heading = next(filter(None, found), None)
        if heading is not None:
            observed += f"; its answer may stand below {quoted(heading.text)}"
        return Doubt(
            observed=observed,
            next_step=f"define {question.function}(), and the grader finds the answer by itself",
            location=str(heading.place) if heading is not None else "",
        )

    def _names(self) -> PartNames:
        problems = frozenset(
            problem.id
            for problem in self.assignment.problems
            for part in problem.parts
            for _, item in part.items
            if item.file in self.files
        )
        trained = frozenset(part for part, _, item in self._items() if isinstance(item, ModelItem))
        return PartNames(labels=labels_of(self.assignment), problems=problems, trained=trained)

    def _attribute(self, swept: Sequence[RecordedTraining], sources: Sequence[str]) -> None:
        """Find the trainings of the models that no function answers."""
        items = {item_id: item for _, item_id, item in self._items() if isinstance(item, ModelItem)}
        sought = [
            Sought(item=item_id, part=part, variable=item.model, fits=partial(_fits, item))
            for part, item_id, item in self._items()
            if isinstance(item, ModelItem)
        ]
        known = self.extractions
        answered = {
            item_id: model.model.layers
            for item_id in items
            if item_id in known and (model := known[item_id].model) is not None
        }
        trainings = [one for program in self.programs for one in program.recording.trainings]
        by_functions = [one for one in trainings if one.layers in answered.values()]
        found = attribute(
            self.programs,
            [one for one in sought if one.item not in answered],
            self._names(),
            answered=[one for one in sought if one.item in answered],
            of_functions=by_functions,
            swept=swept,
        )
        for one in sought:
            if one.item not in self.needed:
                continue
            if one.item in answered:
                own = [each for each in by_functions if each.layers == answered[one.item]]
                known[one.item] = with_recorded_recipe(known[one.item], items[one.item], own)
                continue
            question, outcome = known[one.item].question, found[one.item]
            if isinstance(outcome, Attribution):
                known[one.item] = extract_training(question, items[one.item], outcome)
            elif trainings or known[one.item].doubt is None:
                known[one.item] = Extraction(question=question, doubt=outcome)
            else:
                known[one.item] = self._doubt_untrained(known[one.item], one, sources)

    def _doubt_untrained(
        self, extraction: Extraction, one: Sought, sources: Sequence[str]
    ) -> Extraction:
        """Return the doubt about a model in programs that train none."""
        named = " and ".join(program.file for program in self.programs)
        library = next(filter(None, (each.recording.library for each in self.programs)), "")
        if library:
            doubt = Doubt(
                observed=f"{named} trains with {library}; the grader reads PyTorch only",
                next_step="write the model in PyTorch",
            )
        elif self._doubt_unread(sources) or one.variable in self._all_names():
            return extraction
        else:
            doubt = Doubt(
                observed=f"{named} trains no model, so far as it could be run",
                next_step=how_to_name(one),
            )
        return replace(extraction, doubt=doubt)

    def _all_names(self) -> set[str]:
        return {name for program in self.programs for name in program.recording.names}


def _fits(item: ModelItem, training: RecordedTraining) -> bool:
    return meets_rules(item, training.layers)


def _is_answered(extraction: Extraction | None) -> bool:
    return extraction is not None and (extraction.answered or extraction.model is not None)


def _fails_at_import(extraction: Extraction) -> bool:
    return extraction.failure is not None and extraction.failure.phase.startswith("import of ")


def _suggests_program(extraction: Extraction) -> bool:
    """Return True if a file fails when it is imported, or lacks a function and trains there."""
    trains = any(note.kind in {"training", "dataset"} for note in extraction.notes)
    is_missing = extraction.failure is not None and extraction.failure.kind == "missing-function"
    return _fails_at_import(extraction) or (is_missing and trains)
