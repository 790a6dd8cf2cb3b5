"""From answers and runs to outcomes and points."""

import pytest
import torch
from safetensors.torch import save

from grader.assignment.loading import load_assignment
from grader.assignment.records import AnswerItem, ModelItem, SweepItem, TruthTableItem, WrittenItem
from grader.grading.items.model import grade_model, grade_sweep, read_sweep
from grader.grading.items.model_checks import check_model
from grader.grading.points import give_points, grade_answer, grade_truth_table, grade_written
from grader.questions import Extraction, PlainMapping
from grader.results import EpochResult, Outcome, Score, TrainingRun
from tests.support.specs import (
    FAILURE,
    RELU,
    answer_extraction,
    failed_extraction,
    linear,
    mlp,
    model,
    model_extraction,
    replace,
)

ITEMS = dict(load_assignment("set4").item_ids())


@pytest.mark.parametrize("outcome", Outcome)
def test_points_always_add_up(outcome: Outcome):
    """Earned, pending, lost and undecided are the whole, whatever the outcome."""
    score = give_points(outcome, 7)
    assert score.earned + score.pending + score.lost + score.undecided == score.possible == 7


def test_the_graders_own_errors_lose_no_points():
    """An error leaves points undecided; only a failure loses them."""
    assert give_points(Outcome.ERROR, 7) == Score(possible=7, undecided=7)
    assert give_points(Outcome.FAILED, 7) == Score(possible=7, lost=7)


@pytest.mark.parametrize(("value", "outcome"), [(608, "passed"), (600, "failed"), (True, "failed")])
def test_an_answer_is_compared(value, outcome):
    """The value decides."""
    item = ITEMS["3B"]
    assert isinstance(item, AnswerItem)
    assert grade_answer("3B", item, answer_extraction(value)).outcome.value == outcome


def test_no_answer_is_never_a_pass():
    """A function that raises fails its own item, with what to do next."""
    item = ITEMS["3B"]
    assert isinstance(item, AnswerItem)
    result = grade_answer("3B", item, failed_extraction(FAILURE))
    assert result.outcome is Outcome.FAILED
    assert result.checks[0].location == "problem_3.py:4"
    assert result.checks[0].next_step == "read the traceback"


MARKED = "> Question?\n\n<!-- Write your answer below this line. -->\n"


@pytest.mark.parametrize(
    ("content", "outcome", "text"),
    [
        (MARKED + "Because.", Outcome.PENDING, "Because."),
        ("Because.", Outcome.PENDING, "Because."),
        (MARKED, Outcome.FAILED, None),
        ("  \n", Outcome.FAILED, None),
        (FAILURE, Outcome.FAILED, None),
    ],
    ids=["below the marker", "without a marker", "only the question", "empty", "missing"],
)
def test_a_written_answer_waits_for_a_person_unless_there_is_none(content, outcome, text):
    """The question above the marker is no answer."""
    item = ITEMS["1A"]
    assert isinstance(item, WrittenItem)
    result = grade_written("1A", item, content)
    assert (result.outcome, result.written_text) == (outcome, text)


def or_network(output_bias: float) -> Extraction:
    """One hidden unit that adds its inputs, and an output that shifts the sum."""
    weights = save(
        {
            "0.weight": torch.tensor([[1.0, 1.0]]),
            "0.bias": torch.zeros(1),
            "2.weight": torch.tensor([[1.0]]),
            "2.bias": torch.tensor([output_bias]),
        }
    )
    return model_extraction(model(linear(2, 1), RELU, linear(1, 1), weights=weights))


def test_a_truth_table_is_checked_on_every_row():
    """A right network passes; a shifted one fails, and the rows that are wrong are named."""
    item = ITEMS["1D"]
    assert isinstance(item, TruthTableItem)
    assert grade_truth_table("1D", item, or_network(0.0)).outcome is Outcome.PASSED
    shifted = grade_truth_table("1D", item, or_network(-0.5))
    assert shifted.outcome is Outcome.FAILED
    (table,) = [check for check in shifted.checks if check.id == "truth-table"]
    assert "(0, 0) gives -0.5, wanted = 0" in table.observed
    assert "(0, 1) gives 0.5, wanted >= 1" in table.observed
    assert "(1, 1)" not in table.observed


@pytest.mark.parametrize("code", ["frozen", "evaluation"])
def test_a_truth_table_asks_for_no_training(code):
    """Weights that are set by hand need no gradients, and no mode."""
    item = ITEMS["1D"]
    assert isinstance(item, TruthTableItem)
    extraction = or_network(0.0)
    spec = extraction.model.model
    layers = tuple(replace(layer, irregularity=code) for layer in spec.layers)
    described = replace(extraction.model, model=replace(spec, layers=layers))
    result = grade_truth_table("1D", item, replace(extraction, model=described))
    assert result.outcome is Outcome.PASSED


def test_a_run_that_diverged_never_reached_its_final_epoch():
    """However good the last epoch was before."""
    epoch = EpochResult(train_loss=0.1, test_accuracy=0.99)
    assert TrainingRun(seed=1, epochs=(epoch,)).final_accuracy == 0.99
    diverged = TrainingRun(seed=1, epochs=(epoch,), diverged=True)
    assert (diverged.final_accuracy, diverged.best_accuracy) == (0.0, 0.99)


def test_xor_must_have_the_number_of_layers_that_the_part_says():
    """A network that computes something else in another depth fails both checks."""
    item = ITEMS["1E.network"]
    assert isinstance(item, TruthTableItem)
    result = grade_truth_table("1E.network", item, or_network(0.0))
    failed = [check.id for check in result.checks if check.outcome is Outcome.FAILED]
    assert failed == ["truth-table"]


def grade_2c(*accuracies: float, reported: Extraction | None = None):
    item = ITEMS["2C"]
    assert isinstance(item, ModelItem)
    checked = check_model(
        "2C",
        item,
        model_extraction(mlp()),
        dataset="mnist",
        train_examples=60_000,
        multiply_adds_left=1e14,
        seeds=3,
    )
    runs = [
        TrainingRun(
            seed=seed,
            epochs=(
                EpochResult(train_loss=0.1, test_accuracy=accuracy),
                EpochResult(train_loss=0.05, test_accuracy=accuracy - 0.01),
            ),
        )
        for seed, accuracy in enumerate(accuracies, start=1)
    ]
    return grade_model("2C", item, checked, runs, test_examples=10_000, reported=reported)


def test_one_seed_that_meets_the_threshold_is_enough():
    """The best epoch of the best seed counts in 2C."""
    result = grade_2c(0.974, 0.976)
    assert result.outcome is Outcome.PASSED
    assert result.training is not None
    assert result.training.accuracy == 0.976
    assert result.training.borderline


def test_a_clear_failure_is_not_borderline_and_says_what_is_missing():
    """The next step names the gap."""
    result = grade_2c(0.95)
    assert result.outcome is Outcome.FAILED
    assert result.training is not None
    assert not result.training.borderline
    assert "2.50%" in result.checks[-1].next_step


def test_a_reported_accuracy_that_is_far_off_is_flagged_and_costs_nothing():
    """A gap wider than chance explains is for a person to look at."""
    honest = grade_2c(0.98, reported=answer_extraction(0.979, "reported_accuracy_c"))
    inflated = grade_2c(0.98, reported=answer_extraction(0.999, "reported_accuracy_c"))
    assert honest.training is not None
    assert inflated.training is not None
    assert (honest.training.reported_differs, inflated.training.reported_differs) == (False, True)
    assert inflated.outcome is Outcome.PASSED


def test_a_reported_percentage_is_noted():
    """97.9 is not a share, which is said and not guessed at."""
    result = grade_2c(0.98, reported=answer_extraction(97.9, "reported_accuracy_c"))
    assert result.training is not None
    assert result.training.reported_accuracy is None
    assert "97.9" in result.notes[-1]


def sweep_runs(*accuracies: float):
    item = ITEMS["3G.sweep"]
    assert isinstance(item, SweepItem)
    return item, {
        probability: [
            TrainingRun(seed=1, epochs=(EpochResult(train_loss=1.0, test_accuracy=accuracy),))
        ]
        for probability, accuracy in zip(item.probabilities, accuracies, strict=True)
    }


def test_a_sweep_passes_when_enough_values_agree():
    """One value out of ten may be off."""
    item, runs = sweep_runs(*[0.95] * 10)
    nine = (0.95,) * 9 + (0.2,)
    eight = (0.95,) * 8 + (0.2, 0.2)
    assert grade_sweep("3G.sweep", item, nine, runs, location="").outcome is Outcome.PASSED
    failed = grade_sweep("3G.sweep", item, eight, runs, location="")
    assert failed.outcome is Outcome.FAILED
    assert "apart at p = 0.89, p = 1.00" in failed.checks[-1].observed


def test_a_reported_sweep_may_be_a_dict_or_a_list():
    """Both forms of the interface are read; anything else is a failed check."""
    item = ITEMS["3G.sweep"]
    assert isinstance(item, SweepItem)
    as_list = answer_extraction((0.9,) * 10, "dropout_sweep")
    pairs = tuple((round(step / 9, 2), 0.9) for step in range(10))
    as_dict = answer_extraction(PlainMapping(pairs=pairs), "dropout_sweep")
    assert read_sweep(item, as_list) == read_sweep(item, as_dict) == (0.9,) * 10
    wrong = read_sweep(item, answer_extraction((0.9,) * 9, "dropout_sweep"))
    assert not isinstance(wrong, tuple)
    assert wrong.outcome is Outcome.FAILED
