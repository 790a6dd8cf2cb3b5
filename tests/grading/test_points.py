"""Outcomes and points of one item."""

import pytest

from grader.errors import MachineError, ModelError
from grader.grading.points import add_checks, conclude, end_training, give_points, skipped
from grader.results import CheckResult, EpochResult, Lateness, Outcome, Score, TrainingRun
from tests.support.item_samples import ITEMS


@pytest.mark.parametrize("outcome", Outcome)
def test_points_add_up(outcome: Outcome):
    """Earned, pending, lost and undecided points are all points, for every outcome."""
    score = give_points(outcome, 7)
    assert score.earned + score.pending + score.lost + score.undecided == score.possible == 7


def test_fractions_add_up():
    """Sums have no noise of binary fractions, also after a late penalty."""
    tenths = [give_points(Outcome.PASSED, 0.1), give_points(Outcome.PASSED, 0.2)]
    assert Score.total(tenths) == Score(possible=0.3, earned=0.3)
    late = Lateness(share_kept=0.9).with_penalty(0.3)
    assert (late.final_points(0.3), late.penalty_points) == (0.27, 0.03)


def test_error_loses_nothing():
    """An error leaves points undecided; only a failure loses them."""
    assert give_points(Outcome.ERROR, 7) == Score(possible=7, undecided=7)
    assert give_points(Outcome.FAILED, 7) == Score(possible=7, lost=7)


def test_failure_outweighs_skipped():
    """A check that was skipped because of a failure does not hide the failure."""
    failed = CheckResult.judged("called", "Called", passed=False, observed="it raised")
    result = conclude("2C", ITEMS["2C"], failed)
    assert add_checks(result, skipped("accuracy", "Accuracy", "not trained")).score.lost == 8


def test_training_that_fails():
    """A model that PyTorch refuses loses its points; a machine's error leaves them undecided."""
    so_far = conclude("2C", ITEMS["2C"])
    refused = end_training(so_far, ModelError("SGD cannot be built"))
    assert (refused.outcome, refused.checks[-1].id) == (Outcome.FAILED, "trained")
    killed = end_training(so_far, MachineError("the process was killed"))
    assert (killed.outcome, killed.checks[-1].id) == (Outcome.ERROR, "graded")
    assert killed.score == Score(possible=8, undecided=8)


def test_diverged_run():
    """A run that diverged has no final epoch, however good the last epoch was before."""
    epoch = EpochResult(train_loss=0.1, test_accuracy=0.99)
    assert TrainingRun(seed=1, epochs=(epoch,)).final_accuracy == 0.99
    diverged = TrainingRun(seed=1, epochs=(epoch,), diverged=True)
    assert (diverged.final_accuracy, diverged.best_accuracy) == (0.0, 0.99)
