"""Find out which recorded training belongs to which part, or ask a person.

Pure functions over what was recorded and written. From the surest sign to the weakest: the agreed
name, another name with the part's letter, numbered names, the file's name, the nearest heading or
comment above, the order of the parts, and the rules on the model's layers. A training that one sign
gives to a part is never given to another part by a weaker one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, islice

from grader.grading.part_names import (
    LONGEST_LINE,
    CellKind,
    Label,
    PartNames,
    read_heading,
)
from grader.intake.notebooks import Cell
from grader.models.recording import Attribution, Doubt, Place, RecordedTraining, Recording
from grader.models.spec import LayerSpec

LEAST_SWEPT = 3
"""Trainings of one model at this many dropout probabilities are a sweep."""

MAXIMUM_LINES = 20_000
"""Lines of one cell in which headings are looked for."""

_LISTED = 8
"""Trainings that are named in a message."""

_FUNCTION = re.compile(r"(\s*)(?:async\s+)?def\s+(\w{1,200})")
_BLOCK = re.compile(r"(?:async\s+)?def\s|if\s")
_NUMBERED_NAME = re.compile(r"(\w*?[a-zA-Z])_?([1-9])")


@dataclass(frozen=True, kw_only=True)
class Program:
    """A file with what was recorded when it ran."""

    file: str
    cells: tuple[Cell, ...]
    recording: Recording


@dataclass(frozen=True, kw_only=True)
class Sought:
    """A model that is asked for.

    Attributes:
        item: the item's id.
        part: of the item.
        variable: the agreed name of the model.
        fits: the structural rules on the layers.
    """

    item: str
    part: str
    variable: str
    fits: Callable[[RecordedTraining], bool]


@dataclass(frozen=True, kw_only=True)
class _Sign:
    """A reason to give a training to a part; `part` is empty if it is no part's model.

    Attributes:
        rank: 0 for the surest sign.
    """

    part: str
    reason: str
    rank: int


@dataclass(kw_only=True)
class _Candidate:
    """A training that may be a part's.

    Attributes:
        fits: the items whose rules its model meets.
    """

    training: RecordedTraining
    program: Program
    fits: frozenset[str]
    sign: _Sign | None = None


def attribute(
    programs: Sequence[Program],
    sought: Sequence[Sought],
    names: PartNames,
    *,
    answered: Sequence[Sought] = (),
    of_functions: Sequence[RecordedTraining] = (),
    swept: Sequence[RecordedTraining] = (),
) -> dict[str, Attribution | Doubt]:
    """Return for each sought model its training, or the doubt that a person must settle.

    Args:
        programs: all that may hold the models.
        sought: in the assignment's order.
        names: of the parts, as they are read in these files.
        answered: models that functions gave; trainings that belong to their parts are not free.
        of_functions: trainings of these models.
        swept: trainings of sweeps, which are no part's model.
    """
    every = (*sought, *answered)
    anchors = {program.file: _find_anchors(program, names) for program in programs}
    candidates = [
        _Candidate(
            training=training,
            program=program,
            fits=frozenset(one.item for one in every if one.fits(training)),
        )
        for program in programs
        for training in program.recording.trainings
        if not any(training is other for other in (*of_functions, *swept))
    ]
    parts = frozenset(one.part for one in every)
    assigning = _Assigning(candidates=candidates, sought=sought, every=every, has_sweep=bool(swept))
    numbered = assigning.find_numbered()
    for index, candidate in enumerate(candidates):
        candidate.sign = (
            _agreed_name(candidate, every)
            or _other_name(candidate, names)
            or numbered.get(index)
            or _file_name(candidate, names)
            or _heading(candidate, anchors[candidate.program.file], parts)
        )
    assigning.take_signs()
    assigning.take_only()
    assigning.take_by_rules()
    assigning.take_in_order()
    assigning.doubt_misplaced()
    return {one.item: assigning.outcome(one) for one in sought}


@dataclass(kw_only=True)
class _Assigning:
    """The assignment of trainings to parts, rule by rule."""

    candidates: list[_Candidate]
    sought: Sequence[Sought]
    every: Sequence[Sought]
    has_sweep: bool
    taken: dict[str, tuple[_Candidate, str]] = field(default_factory=dict)
    doubts: dict[str, str] = field(default_factory=dict)

    def find_numbered(self) -> dict[int, _Sign]:
        """Return signs for names such as model1, model2, model3, if all fit in this order."""
        wanted = len(self.sought)
        if wanted < 2:
            return {}
        bases: dict[str, dict[int, list[int]]] = {}
        for index, candidate in enumerate(self.candidates):
            for name in candidate.training.names:
                if found := _NUMBERED_NAME.fullmatch(name):
                    numbers = bases.setdefault(found[1], {})
                    numbers.setdefault(int(found[2]), []).append(index)
        signs: dict[int, _Sign] = {}
        for base, numbers in bases.items():
            if sorted(numbers) != list(range(1, wanted + 1)):
                continue
            last = [self.candidates[numbers[number][-1]] for number in sorted(numbers)]
            if not all(one.item in each.fits for one, each in zip(self.sought, last, strict=True)):
                continue
            for one, number in zip(self.sought, sorted(numbers), strict=True):
                reason = f"its model is the {_ordinal(number)} of {wanted} that are named {base}1 "
                reason += f"to {base}{wanted}"
                sign = _Sign(part=one.part, reason=reason, rank=2)
                signs |= dict.fromkeys(numbers[number], sign)
        return signs

    def take_signs(self) -> None:
        """Give every part the trainings that a sign gives to it."""
        for one in self.sought:
            if sum(other.part == one.part for other in self.every) > 1:
                continue
            own = [
                (each.sign, each)
                for each in self.candidates
                if each.sign and each.sign.part == one.part
            ]
            surest = min((sign.rank for sign, _ in own), default=0)
            own = [(sign, each) for sign, each in own if sign.rank == surest]
            fitting = [(sign, each) for sign, each in own if one.item in each.fits]
            if own:
                sign, chosen = (fitting or own)[-1]
                self.taken[one.item] = chosen, sign.reason

    def take_only(self) -> None:
        """Give the only part of the files their only model, even if it breaks a rule."""
        if len(self.every) != 1 or self.every[0].item in self.taken:
            return
        one = self.every[0]
        free = self._free()
        fitting = [each for each in free if one.item in each.fits]
        if fitting and len(free) > 1:
            self.taken[one.item] = fitting[-1], "it is the last that meets the rules"
        elif free and all(each.training.layers == free[0].training.layers for each in free):
            apart = "apart from the sweep it is" if self.has_sweep else "it is"
            self.taken[one.item] = free[-1], f"{apart} the only training"

    def take_by_rules(self) -> None:
        """Give a part the last training whose model meets its rules and no other part's."""
        for one in self._open():
            fitting = [each for each in self._free() if each.fits == {one.item}]
            if fitting:
                reason = f"its model meets the rules of {one.part} and of no other part"
                self.taken[one.item] = fitting[-1], reason

    def take_in_order(self) -> None:
        """Give the rest in order, if there are as many models as parts and all fit."""
        open_parts = self._open()
        last_of_each = [
            list(group)[-1]
            for _, group in groupby(self._free(), key=lambda each: each.training.layers)
        ]
        last_of_each = [
            each
            for each in last_of_each
            if not any(
                each.training.layers == one.training.layers for one, _ in self.taken.values()
            )
        ]
        if len(open_parts) != len(last_of_each):
            return
        pairs = list(zip(open_parts, last_of_each, strict=True))
        if all(one.item in each.fits for one, each in pairs):
            for one, each in pairs:
                reason = "the models left stand in the order of the parts, and each meets the rules"
                self.taken[one.item] = each, reason

    def doubt_misplaced(self) -> None:
        """Doubt a model that breaks its part's rules and meets those of a part without one."""
        for one in self.sought:
            if one.item not in self.taken:
                continue
            chosen, reason = self.taken[one.item]
            if one.variable in chosen.training.names or one.item in chosen.fits:
                continue
            better = [other for other in self._open() if other.item in chosen.fits]
            if better:
                where = describe_training(chosen.training)
                doubt = f"{where} is {one.part}'s by its place or name ({reason}), "
                doubt += f"but it meets the rules of {better[0].part} only"
                for doubted in (one, better[0]):
                    self.doubts[doubted.item] = doubt
                del self.taken[one.item]

    def outcome(self, one: Sought) -> Attribution | Doubt:
        """Return the training of a part, or the doubt."""
        if one.item not in self.taken:
            return Doubt(
                observed=self.doubts.get(one.item) or self._describe_found(one),
                next_step=how_to_name(one),
            )
        chosen, reason = self.taken[one.item]
        used = [other for other, _ in self.taken.values()]
        others = tuple(
            each.training
            for each in self.candidates
            if not any(each is other for other in used)
            and (each.sign is None or each.sign.part == one.part)
        )
        return Attribution(training=chosen.training, reason=reason, others=others)

    def _describe_found(self, one: Sought) -> str:
        if not self.candidates:
            return "no other training was recorded"
        free = [
            each
            for each in self.candidates
            if not any(each is taken for taken, _ in self.taken.values())
        ]
        if not free:
            return f"every recorded training belongs to another part than {one.part}"
        listing = "; ".join(describe_training(each.training) for each in free[:_LISTED])
        more = f"; and {len(free) - _LISTED} more" if len(free) > _LISTED else ""
        if not any(one.item in each.fits for each in free):
            return f"no recorded training meets the rules of {one.part}: {listing}{more}"
        subject = "1 recorded training" if len(free) == 1 else f"{len(free)} recorded trainings"
        return f"{subject} may be {one.part}'s, and nothing says so for certain: {listing}{more}"

    def _open(self) -> list[Sought]:
        return [one for one in self.sought if one.item not in self.taken]

    def _free(self) -> list[_Candidate]:
        """Return the trainings that no sign gives to a part and that no rule has given."""
        used = [each for each, _ in self.taken.values()]
        return [
            each
            for each in self.candidates
            if each.sign is None and not any(each is other for other in used)
        ]


def _agreed_name(candidate: _Candidate, sought: Sequence[Sought]) -> _Sign | None:
    names = candidate.training.names
    agreed = [one for one in sought if one.variable in names]
    if len(agreed) != 1:
        return None
    return _Sign(part=agreed[0].part, reason=f"its model is named {agreed[0].variable}", rank=0)


def _other_name(candidate: _Candidate, names: PartNames) -> _Sign | None:
    """Look at the model's names, its class's, and those of the functions around the training."""
    training = candidate.training
    for group, noun in (
        (training.names, "its model is named {}"),
        ((training.class_name,), "its model's class is named {}"),
        (tuple(_functions_around(candidate)), "it runs in the function {}"),
    ):
        label = names.in_identifiers(group)
        if label is not None:
            name = next(one for one in group if names.in_identifiers([one]) == label)
            return _Sign(part=label.part, reason=noun.format(name), rank=1)
    return None


def _functions_around(candidate: _Candidate) -> Iterator[str]:
    """Yield the functions in which a training takes its steps, by indentation, the inner first."""
    place = candidate.training.place
    source = _source_of(candidate.program, place.cell)
    lines = source.split("\n")[: place.line]
    if len(lines) < place.line:
        return
    indentation = _indentation(lines[-1])
    for line in reversed(lines[:-1]):
        if not line.strip() or _indentation(line) >= indentation:
            continue
        indentation = _indentation(line)
        if found := _FUNCTION.match(line[:LONGEST_LINE]):
            yield found[2]
        if not indentation:
            return


def _indentation(line: str) -> int:
    return len(line) - len(line.lstrip())


def _source_of(program: Program, cell_number: int) -> str:
    return next((cell.source for cell in program.cells if cell.number == cell_number), "")


def _file_name(candidate: _Candidate, names: PartNames) -> _Sign | None:
    label = names.in_file_name(candidate.program.file)
    if label is None:
        return None
    return _Sign(part=label.part, reason=f"its file is named {candidate.program.file}", rank=3)


@dataclass(frozen=True, kw_only=True)
class Anchor:
    """A line that names a part, or that begins another problem.

    Attributes:
        indentation: of a comment in code; 0 in Markdown.
        text: of the line; empty where several parts are listed, so that none is named.
    """

    place: Place
    label: Label | None
    indentation: int
    text: str


def _find_anchors(program: Program, names: PartNames) -> list[Anchor]:
    """Return the headings and comments of a program that name parts, from top to bottom."""
    anchors: list[Anchor] = []
    current = ""
    for cell in program.cells:
        for group in _heading_groups(cell.source, cell.kind):
            found: list[Anchor] = []
            for number, line in group:
                problem = names.problem_in_line(line, cell.kind)
                if problem:
                    current = problem if problem in names.problems else ""
                label = names.in_line(line, cell.kind, current=current)
                if label is None and not (problem and not current):
                    continue
                place = Place(file=program.file, cell=cell.number, line=number)
                found.append(
                    Anchor(
                        place=place,
                        label=label,
                        indentation=_indentation(line) if cell.kind == "code" else 0,
                        text=(read_heading(line, cell.kind) or "")[:80],
                    )
                )
            if _is_heading_of_one(group, cell.kind, found):
                anchors += found
            else:
                anchors.append(replace(found[-1], label=None, text=""))
    return anchors


def _heading_groups(source: str, kind: CellKind) -> Iterator[list[tuple[int, str]]]:
    """Yield the lines that may be headings; lines without code between form one group."""
    lines = islice(enumerate(source.split("\n"), start=1), MAXIMUM_LINES)
    if kind == "markdown":
        yield list(lines)
        return

    def may_be_heading(entry: tuple[int, str]) -> bool:
        return not entry[1].strip() or entry[1].lstrip().startswith(("#", '"', "'"))

    for is_heading, group in groupby(lines, key=may_be_heading):
        if is_heading:
            yield list(group)


def _is_heading_of_one(
    group: Sequence[tuple[int, str]], kind: CellKind, found: Sequence[Anchor]
) -> bool:
    """Return False for a list of several parts, which is a survey and heads none of them.

    Headings with a Markdown sign are headings even if several parts' follow each other.
    """
    parts = {anchor.label.part for anchor in found if anchor.label}
    lines = dict(group)
    signed = all(lines[anchor.place.line].lstrip().startswith("#") for anchor in found)
    return len(parts) < 2 or (kind == "markdown" and signed)


def find_heading(program: Program, names: PartNames, part: str) -> Anchor | None:
    """Return the first heading that names a part, where a person may look."""
    anchors = _find_anchors(program, names)
    return next((one for one in anchors if one.label and one.label.part == part), None)


def _heading(
    candidate: _Candidate, anchors: Sequence[Anchor], parts: frozenset[str]
) -> _Sign | None:
    """Look at the nearest heading or comment above the training.

    A heading of a part without a model means nothing if no heading names a part with one.
    """
    statement = candidate.training.statement
    above = _anchors_in_block(candidate, anchors) or [
        anchor
        for anchor in anchors
        if not anchor.indentation
        and (anchor.place.cell, anchor.place.line) < (statement.cell, statement.line)
    ]
    if not above or not above[-1].text:
        return None
    nearest = above[-1]
    part = nearest.label.part if nearest.label else ""
    if part and part not in parts and parts.isdisjoint(_parts_of(anchors)):
        return None
    where = f"cell {nearest.place.cell}" if nearest.place.cell else f"line {nearest.place.line}"
    return _Sign(part=part, reason=f"it stands below {quoted(nearest.text)} in {where}", rank=4)


def _anchors_in_block(candidate: _Candidate, anchors: Sequence[Anchor]) -> list[Anchor]:
    """Return the comments above a training in its function's or main guard's own lines.

    A comment in a loop numbers the steps of training and names no part.
    """
    place = candidate.training.place
    lines = _source_of(candidate.program, place.cell).split("\n")[: place.line]
    start = next((i for i in range(len(lines) - 1, -1, -1) if lines[i][:1].strip(" \t#")), None)
    if start is None or not _BLOCK.match(lines[start][:LONGEST_LINE]):
        return []
    body = next((line for line in lines[start + 1 :] if line.strip()), "")
    return [
        anchor
        for anchor in anchors
        if anchor.place.cell == place.cell
        and start + 1 < anchor.place.line < place.line
        and anchor.indentation == _indentation(body)
    ]


def _parts_of(anchors: Sequence[Anchor]) -> set[str]:
    return {anchor.label.part for anchor in anchors if anchor.label}


def quoted(text: str) -> str:
    """Return a student's words between quotation marks."""
    return f"\N{LEFT DOUBLE QUOTATION MARK}{text}\N{RIGHT DOUBLE QUOTATION MARK}"


def find_sweep(
    programs: Sequence[Program], epochs: Collection[int]
) -> tuple[tuple[RecordedTraining, ...], tuple[RecordedTraining, ...]]:
    """Return the trainings of the last dropout sweep, and those of all sweeps.

    A sweep trains one architecture at three or more settings of its Dropout layers: in one
    statement, or else statement by statement with a sweep's number of `epochs` each.
    """
    trainings = [
        training
        for program in programs
        for training in program.recording.trainings
        if dropouts_of(training)
    ]
    sweeps = _find_swept(trainings, key=lambda training: training.statement)
    if not sweeps:
        short = [training for training in trainings if training.epochs in epochs]
        sweeps = _find_swept(short, key=lambda _: None)
    return (sweeps[-1] if sweeps else ()), tuple(one for sweep in sweeps for one in sweep)


def _find_swept(
    trainings: Sequence[RecordedTraining], key: Callable[[RecordedTraining], object]
) -> list[tuple[RecordedTraining, ...]]:
    """Return the sweeps among trainings of equal `key`, in order."""
    groups: dict[object, list[RecordedTraining]] = {}
    for training in trainings:
        shape = key(training), without_dropout(training.layers)
        groups.setdefault(shape, []).append(training)
    return [tuple(group) for group in groups.values() if _is_swept(group)]


def _is_swept(group: Sequence[RecordedTraining]) -> bool:
    return len({dropouts_of(training) for training in group}) >= LEAST_SWEPT


def dropouts_of(training: RecordedTraining) -> tuple[float, ...]:
    """Return the probability of every Dropout layer."""
    return tuple(
        float(probability)
        for layer in training.layers
        if layer.kind == "Dropout"
        and isinstance(probability := layer.arguments.get("p"), int | float)
    )


def without_dropout(layers: Sequence[LayerSpec]) -> tuple[object, ...]:
    """Return the layers in a form that is equal for all settings of Dropout."""
    return tuple(
        layer.kind if layer.kind == "Dropout" else (layer.kind, tuple(layer.arguments.items()))
        for layer in layers
    )


def describe_training(training: RecordedTraining) -> str:
    """Return where a training stands and what it trains, in a few words."""
    widths = "-".join(
        str(layer.arguments.get("out_features"))
        for layer in training.layers
        if layer.kind == "Linear"
    )
    epochs = f"{training.epochs} {'epoch' if training.epochs == 1 else 'epochs'}"
    return f"{training.statement} ({f'Linear {widths}, ' if widths else ''}{epochs})"


def how_to_name(one: Sought) -> str:
    """Return how a student says which training is a part's."""
    return (
        f"write a heading {quoted(one.part)} above the training that counts, or name its model "
        f"{one.variable}"
    )


def _ordinal(number: int) -> str:
    return {1: "first", 2: "second", 3: "third"}.get(number, f"{number}th")
