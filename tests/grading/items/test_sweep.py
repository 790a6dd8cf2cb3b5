"""Dropout sweeps are read with care, retrained, and compared."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.assignment.records import ModelItem, SweepItem
from grader.errors import SubmissionError
from grader.grading.items import model as model_kind
from grader.grading.items import sweep
from grader.grading.items.sweep import SweepTraining, parse_sweep
from grader.models.questions import Extraction, PlainMapping, PlainValue
from grader.results import EpochResult, ItemResult, Outcome, TrainingRun
from grader.training.job import TrainingJob
from tests.support.item_samples import ITEMS, make_context, run_plan
from tests.support.program_samples import trained
from tests.support.specs import (
    FAILURE,
    answer_extraction,
    failed_extraction,
    linear,
    mlp,
    model,
    model_extraction,
)

ITEM = ITEMS["3G.sweep"]
assert isinstance(ITEM, SweepItem)
MODEL_ITEM = ITEMS["2C"]
assert isinstance(MODEL_ITEM, ModelItem)
DROPOUT_MODEL = model(
    ("Flatten", {"start_dim": 1, "end_dim": -1}),
    ("Dropout", {"p": 0.5, "inplace": False}),
    linear(784, 10),
)

shares = st.floats(0.0, 1.0)

PROBABILITIES = tuple(i / 9 for i in range(10))
ACCURACIES = tuple(0.98 - 0.01 * i for i in range(10))


def mapping(*pairs: tuple[PlainValue, PlainValue]) -> PlainMapping:
    return PlainMapping(pairs=pairs)


def check(extraction, *, item: SweepItem = ITEM, spec=None) -> ItemResult | SweepTraining:
    """A sweep whose model is that of 2C without 2C's constraints."""
    context = make_context(extractions={"2C": model_extraction(spec or DROPOUT_MODEL)})
    model_item = replace(MODEL_ITEM, constraints=())
    context.checked["2C"] = model_kind.check("2C", model_item, context)
    context.extractions["3G.sweep"] = extraction
    return sweep.check("3G.sweep", replace(item, model_item="2C"), context)


def training(reported: tuple[float | None, ...], **changes: object) -> SweepTraining:
    checked = check(answer_extraction(reported, "dropout_sweep"), item=replace(ITEM, **changes))
    assert isinstance(checked, SweepTraining)
    return checked


def test_unusable_report_fails():
    """A report of nine accuracies, or none, fails before anything is trained."""
    for extraction in (
        answer_extraction((0.9,) * 9, "dropout_sweep"),
        failed_extraction(FAILURE, "dropout_sweep"),
    ):
        result = check(extraction)
        assert isinstance(result, ItemResult)
        assert result.outcome is Outcome.FAILED


def test_model_must_pass():
    """A sweep over a model that cannot be trained fails and names the model's item."""
    result = check(answer_extraction((0.9,) * 10, "dropout_sweep"), spec=mlp(outputs=9))
    assert isinstance(result, ItemResult)
    assert result.checks[-1].next_step == "fix 2C first"


def sweep_runs(*accuracies: float) -> dict[float, list[TrainingRun]]:
    return {
        probability: [
            TrainingRun(seed=1, epochs=(EpochResult(train_loss=1.0, test_accuracy=accuracy),))
        ]
        for probability, accuracy in zip(ITEM.probabilities, accuracies, strict=True)
    }


def test_enough_agreement_passes():
    """One value out of ten may be off."""
    runs = sweep_runs(*[0.95] * 10)
    nine = (0.95,) * 9 + (0.2,)
    eight = (0.95,) * 8 + (0.2, 0.2)
    assert training(nine).result(runs).outcome is Outcome.PASSED
    failed = training(eight).result(runs)
    assert failed.outcome is Outcome.FAILED
    assert "apart at p = 0.89, p = 1.00" in failed.checks[-1].observed


def run_sweep(accuracy, reported, **changes: object):
    usual = {"probabilities": (0.0, 0.5, 1.0), "minimum_agreeing": 3}
    return run_plan(training(reported, **usual | changes).plan(), accuracy)


def dropout_of(job: TrainingJob) -> object:
    return job.model.layers[1].arguments["p"]


def test_every_dropout_is_set():
    """Three probabilities are three models, trained for the epochs of the item."""
    jobs, runs = run_sweep(lambda job: 0.9, (0.9, 0.9, 0.9))
    assert [dropout_of(job) for job in jobs] == [0.0, 0.5, 1.0]
    assert {job.epochs for job in jobs} == {1}
    assert {probability: len(found) for probability, found in runs.items()} == {
        0.0: 1,
        0.5: 1,
        1.0: 1,
    }


def test_disagreement_gets_another_seed():
    """Probabilities that agree are not trained again."""
    jobs, runs = run_sweep(
        lambda job: 0.9 if job.seed == 2 or dropout_of(job) == 0.0 else 0.5,
        (0.9, 0.9, 0.9),
    )
    assert [(job.seed, dropout_of(job)) for job in jobs[3:]] == [(2, 0.5), (2, 1.0)]
    assert len(runs[1.0]) == 2


def test_unjudged_sweep_runs_once():
    """On the practice set the reported values are only shown."""
    jobs, runs = run_sweep(lambda job: 0.1, (0.9, 0.9, 0.9), judged=False)
    assert len(jobs) == 3
    unjudged = training((0.9, 0.9, 0.9), judged=False, probabilities=(0.0, 0.5, 1.0))
    assert unjudged.result(runs).outcome is Outcome.PASSED


TENTHS = tuple((step / 10, 0.9) for step in range(1, 11))


def test_own_probabilities():
    """Where any are allowed, ten to twenty of the student's own are the ones retrained."""
    tenths = check(answer_extraction(mapping(*TENTHS)))
    assert isinstance(tenths, SweepTraining)
    assert tenths.probabilities == tuple(p for p, _ in TENTHS)
    assert tenths.minimum_agreeing == 9
    eleven = check(answer_extraction(((0.0, 0.9), *TENTHS)))
    assert isinstance(eleven, SweepTraining)
    assert eleven.minimum_agreeing == 10
    rounded = tuple((round(p, 2), 0.9) for p in PROBABILITIES)
    known = check(answer_extraction(rounded))
    assert isinstance(known, SweepTraining)
    assert known.probabilities == PROBABILITIES


@pytest.mark.parametrize(
    "value",
    [
        mapping(*TENTHS[:9]),
        mapping(*((p / 100, 0.9) for p in range(21))),
        mapping(*TENTHS[:9], (1.5, 0.9)),
        mapping(*TENTHS[:9], ("one", 0.9)),
        (*TENTHS[:9], TENTHS[0]),
    ],
)
def test_own_probabilities_refused(value):
    """Too few, too many, and what is no probability fail, with the reason."""
    result = check(answer_extraction(value))
    assert isinstance(result, ItemResult)
    assert result.outcome is Outcome.FAILED


def test_own_probabilities_not_allowed():
    """Where the assignment has its own probabilities, others fail."""
    result = check(answer_extraction(mapping(*TENTHS)), item=replace(ITEM, any_probabilities=False))
    assert isinstance(result, ItemResult)


def recorded_sweep(*probabilities: float, spec=DROPOUT_MODEL) -> Extraction:
    sweep_ = tuple(trained(spec.with_dropout(p), 4, epochs=1) for p in probabilities)
    return replace(answer_extraction(None), answered=False, swept=sweep_)


def test_recorded_sweep():
    """A recorded sweep is retrained once at its own probabilities, and a person compares."""
    recorded = check(recorded_sweep(0.0, 0.5, 0.9))
    assert isinstance(recorded, SweepTraining)
    assert recorded.so_far.notes == (
        "The sweep was found at problem_2.ipynb, cell 4, line 1: p = 0, 0.5, 0.9.",
    )
    jobs, runs = run_plan(recorded.plan(), lambda job: 0.9)
    assert [dropout_of(job) for job in jobs] == [0.0, 0.5, 0.9]
    result = recorded.result(runs)
    assert result.outcome is Outcome.PENDING
    assert result.score.pending == result.score.possible
    assert [point.reproduced for point in result.sweep] == [(0.9,)] * 3


def test_recorded_sweep_of_another_model():
    """A sweep over another model than the one handed in is said."""
    other = model(("Dropout", {"p": 0.5, "inplace": False}), linear(784, 10))
    recorded = check(recorded_sweep(0.0, 0.5, 0.9, spec=other))
    assert isinstance(recorded, SweepTraining)
    assert recorded.so_far.notes[0].endswith("with which the grader retrains.")


def test_recorded_sweep_without_model():
    """A recorded sweep whose model cannot be trained is for a person, and costs nothing."""
    result = check(recorded_sweep(0.0, 0.5, 0.9), spec=mlp(outputs=9))
    assert isinstance(result, ItemResult)
    assert result.outcome is Outcome.PENDING


def test_recorded_sweep_of_some_layers():
    """A sweep over one of two Dropout layers cannot be retrained."""
    dropout = ("Dropout", {"p": 0.5, "inplace": False})
    spec = model(*(dropout, ("Dropout", {"p": 0.1, "inplace": False}), linear(784, 10)))
    result = check(replace(recorded_sweep(), swept=(trained(spec, 4),) * 3))
    assert isinstance(result, ItemResult)
    assert result.outcome is Outcome.PENDING


@pytest.mark.parametrize(
    "value",
    [
        ACCURACIES,
        tuple(zip(PROBABILITIES, ACCURACIES, strict=True)),
        mapping(*zip(PROBABILITIES, ACCURACIES, strict=True)),
        mapping(*reversed(list(zip(PROBABILITIES, ACCURACIES, strict=True)))),
        mapping(*((round(p, 2), a) for p, a in zip(PROBABILITIES, ACCURACIES, strict=True))),
        mapping(*((round(p, 4), a) for p, a in zip(PROBABILITIES, ACCURACIES, strict=True))),
    ],
)
def test_every_form_is_read(value):
    """Ten accuracies, ten pairs or a dict, in any order and with rounded probabilities."""
    assert parse_sweep(value, PROBABILITIES) == ACCURACIES


def test_missing_measurement():
    """None stands for a probability that was not measured; integers are accuracies too."""
    value = (None, 1, 0, *ACCURACIES[3:])
    assert parse_sweep(value, PROBABILITIES) == (None, 1.0, 0.0, *ACCURACIES[3:])


def pairs_with(index: int, pair: tuple[PlainValue, PlainValue]) -> PlainMapping:
    pairs = list(zip(PROBABILITIES, ACCURACIES, strict=True))
    pairs[index] = pair
    return mapping(*pairs)


@pytest.mark.parametrize(
    ("value", "message", "next_step"),
    [
        (None, "returned None", "return the accuracies"),
        (0.97, "your function returned 0.97", "or 10 accuracies"),
        ("0.97", "your function returned '0.97'", "or 10 accuracies"),
        ((), "returned 0 accuracies, where 10 are expected", "one for each of p = 0, 0.1111"),
        (ACCURACIES[:9], "returned 9 accuracies, where 10 are expected", "one for each of p"),
        ((PROBABILITIES, ACCURACIES), "your function returned two lists", "dict(zip("),
        (
            (97.3, *ACCURACIES[1:]),
            "the accuracy at p = 0 is 97.3, a percentage",
            "as a share between 0 and 1: 0.973",
        ),
        ((True, *ACCURACIES[1:]), "at p = 0 is True, which is not a number", "as a share"),
        (("97%", *ACCURACIES[1:]), "at p = 0 is '97%', which is not a number", "as a share"),
        (((0.9,), *ACCURACIES[1:]), "at p = 0 is (0.9,), which is not a number", "as a share"),
        ((math.nan, *ACCURACIES[1:]), "at p = 0 is nan, which is not an accuracy", "as a share"),
        ((-0.1, *ACCURACIES[1:]), "at p = 0 is -0.1, which is not an accuracy", "as a share"),
        ((10**400, *ACCURACIES[1:]), "which is not an accuracy", "as a share"),
        (
            pairs_with(1, (0.0, 0.9)),
            "two accuracies are given for p = 0",
            "give each probability once",
        ),
        (
            pairs_with(1, (0.15, 0.9)),
            "p = 0.15 is not one of the probabilities expected",
            "use p = 0, 0.1111, 0.2222",
        ),
        (pairs_with(1, (11, 0.9)), "p = 11 is not one of the probabilities", "use p = 0, 0.1111"),
        (pairs_with(1, (math.nan, 0.9)), "p = nan is not one of the probabilities", "use p ="),
        (pairs_with(1, (10**400, 0.9)), "bits is not one of the probabilities", "use p ="),
        (
            pairs_with(1, ("0.11", 0.9)),
            "'0.11' is given as a probability, but is not a number",
            "use p =",
        ),
        (pairs_with(0, (False, 0.9)), "False is given as a probability", "use p ="),
        (pairs_with(1, (1 / 9, 91)), "at p = 0.1111 is 91, a percentage", "0.91"),
        (
            mapping(*zip(PROBABILITIES[:8], ACCURACIES[:8], strict=True)),
            "there is no accuracy for p = 0.8889, 1",
            "give one for each of p = 0, 0.1111",
        ),
        (
            tuple(zip(PROBABILITIES[:9], ACCURACIES[:9], strict=True)),
            "there is no accuracy for p = 1",
            "give one for each",
        ),
        (mapping(), "there is no accuracy for p = 0, 0.1111", "give one for each"),
    ],
)
def test_unreadable_sweep(value, message, next_step):
    """Each wrong form has its own message and its own way out."""
    with pytest.raises(SubmissionError) as caught:
        parse_sweep(value, PROBABILITIES)
    assert message in str(caught.value)
    assert next_step in caught.value.next_step


@given(
    st.lists(
        st.none() | st.booleans() | st.floats() | st.text(max_size=3) | st.tuples(shares, shares),
        max_size=12,
    )
)
def test_any_list(values):
    """Whatever is returned is ten accuracies within 0 and 1, never anything else."""
    try:
        read = parse_sweep(tuple(values), PROBABILITIES)
    except SubmissionError:
        return
    assert len(read) == 10
    assert all(accuracy is None or 0.0 <= accuracy <= 1.0 for accuracy in read)


def test_two_probabilities():
    """Where two accuracies are expected, two accuracies are what they are."""
    assert parse_sweep((0.9, 0.8), (0.0, 0.5)) == (0.9, 0.8)
    assert parse_sweep(((0.5, 0.8), (0.0, 0.9)), (0.0, 0.5)) == (0.9, 0.8)
