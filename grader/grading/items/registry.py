"""The kinds of items: the record of each kind with its check."""

from grader.assignment.records import (
    AnswerItem,
    Item,
    ModelItem,
    SweepItem,
    TruthTableItem,
    VersionsItem,
    WrittenItem,
)
from grader.grading.items import answer, model, sweep, truth_table, versions, written
from grader.grading.items.interface import Check

CHECKS: dict[type[Item], Check] = {
    WrittenItem: written.check,
    AnswerItem: answer.check,
    VersionsItem: versions.check,
    TruthTableItem: truth_table.check,
    ModelItem: model.check,
    SweepItem: sweep.check,
}
