"""The kinds of items: the record of each kind with its check."""

from grader.assignment.records import (
    AnswerItem,
    FunctionsItem,
    Item,
    ModelItem,
    SweepItem,
    TrainedModelItem,
    TruthTableItem,
    VersionsItem,
    WrittenItem,
)
from grader.grading.items import (
    answer,
    functions,
    model,
    sweep,
    trained_model,
    truth_table,
    versions,
    written,
)
from grader.grading.items.interface import Check

CHECKS: dict[type[Item], Check] = {
    WrittenItem: written.check,
    AnswerItem: answer.check,
    FunctionsItem: functions.check,
    VersionsItem: versions.check,
    TruthTableItem: truth_table.check,
    ModelItem: model.check,
    SweepItem: sweep.check,
    TrainedModelItem: trained_model.check,
}
