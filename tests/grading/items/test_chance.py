"""Verdicts allow for chance."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.grading.items.chance import (
    SEED_SPREAD,
    Measured,
    clearly_met_accuracy,
    is_borderline,
    needs_another_seed,
    reported_differs,
    wilson_interval,
)

# A busy machine is no reason to fail, so no example has a deadline.

shares = st.floats(0.0, 1.0)
sizes = st.integers(1, 100_000)


@pytest.mark.parametrize(
    ("share", "examples", "low", "high"),
    [
        # (p + z2/2n -+ z sqrt(p(1-p)/n + z2/4n2)) / (1 + z2/n), worked out in exact decimals.
        (0.5, 10, 0.236593, 0.763407),
        (0.0, 10, 0.0, 0.277533),
        (1.0, 10, 0.722467, 1.0),
        (0.975, 10_000, 0.971753, 0.977882),
    ],
)
def test_wilson_interval(share, examples, low, high):
    """Known intervals come out, also where every example or none is right."""
    assert wilson_interval(share, examples) == pytest.approx((low, high), abs=1e-6)


@given(shares, sizes)
def test_interval_is_a_share(share, examples):
    """Its ends lie within 0 and 1, on either side of the accuracy."""
    low, high = wilson_interval(share, examples)
    assert 0.0 <= low <= share + 1e-12
    assert share - 1e-12 <= high <= 1.0
    assert low < high


@given(shares, sizes)
def test_wilson_equation(share, examples):
    """Each end is z standard deviations of its own binomial away from the accuracy."""
    z = 1.959964
    for end in wilson_interval(share, examples):
        deviation = math.sqrt(max(end * (1 - end), 0.0) / examples)
        assert abs(share - end) == pytest.approx(z * deviation, abs=1e-6)


def test_interval_coverage():
    """In 2,000 simulated test sets of 500 the true accuracy is inside in 93% to 97%."""
    generator = random.Random(0)
    truth = 0.97
    covered = 0
    for _ in range(2000):
        right = sum(generator.random() < truth for _ in range(500))
        low, high = wilson_interval(right / 500, 500)
        covered += low <= truth <= high
    assert 0.93 <= covered / 2000 <= 0.97


@pytest.mark.parametrize(
    ("accuracy", "of_best", "of_final"),
    [
        (0.9750, False, False),
        (0.9749, True, True),
        (0.9700, True, True),
        (0.9675, False, True),
        (0.9640, False, False),
    ],
)
def test_another_seed(accuracy, of_best, of_final):
    """On 10,000 examples a run may miss 97.5% by 0.6 points, or by 0.9 in its final epoch."""
    first = Measured.of_accuracy(accuracy, 10_000)
    assert needs_another_seed(first, 0.975, "best") is of_best
    assert needs_another_seed(first, 0.975, "final") is of_final


@given(shares, shares, sizes, st.sampled_from(["best", "final"]))
def test_doubtful_failure_has_further_seeds(accuracy, threshold, examples, counted_epoch):
    """No failure is borderline after one seed if another may meet the threshold."""
    first = Measured.of_accuracy(accuracy, examples)
    if accuracy < threshold and is_borderline([first], threshold):
        assert needs_another_seed(first, threshold, counted_epoch)


@pytest.mark.parametrize(
    ("accuracies", "borderline"),
    [
        ([0.9751], False),
        ([0.9749, 0.9751], True),
        ([0.9749, 0.9740, 0.9900], True),
        ([0.9749, 0.9751, 0.9752], False),
        ([0.9749, 0.9720, 0.9710], True),
        ([0.9700, 0.9715], False),
    ],
)
def test_borderline_verdict(accuracies, borderline):
    """A pass is in doubt if it hangs on one seed of several, a failure within the interval."""
    runs = [Measured.of_accuracy(accuracy, 10_000) for accuracy in accuracies]
    assert is_borderline(runs, 0.975) is borderline


@pytest.mark.parametrize(
    ("errors", "borderline", "may_gain"),
    [
        ([0.50], False, False),
        ([0.52], True, True),
        ([0.52, 0.49], True, True),
        ([0.56], False, True),
        ([0.80], False, False),
    ],
)
def test_errors_of_numbers(errors, borderline, may_gain):
    """Against an error of at most 0.5, less is better, and the interval's lower end decides."""
    runs = [Measured.of_rmse(error, 0.02) for error in errors]
    assert is_borderline(runs, 0.5) is borderline
    assert needs_another_seed(runs[0], 0.5, "final") is may_gain


def test_reported_error():
    """A reported error may differ from a reproduced one as much as two seeds do."""
    run = Measured.of_rmse(0.5, 0.01)
    assert not reported_differs(0.55, [run], 1000)
    assert reported_differs(0.9, [run], 1000)


def differs(reported: float, reproduced: list[float], examples: int) -> bool:
    """Hold a reported accuracy against reproduced ones."""
    runs = [Measured.of_accuracy(accuracy, examples) for accuracy in reproduced]
    return reported_differs(reported, runs, examples)


def test_honest_report():
    """Two accuracies drawn independently from one truth differ by chance alone."""
    generator = random.Random(1)

    def measure() -> float:
        return sum(generator.random() < 0.96 for _ in range(1000)) / 1000

    flagged = sum(differs(measure(), [measure()], 1000) for _ in range(300))
    assert flagged == 0


@pytest.mark.parametrize(
    ("reported", "reproduced", "flagged"),
    [
        (0.980, [0.976], False),
        (0.985, [0.975], True),
        (0.965, [0.975], False),
        (0.964, [0.975], True),
        (0.985, [0.975, 0.984], False),
        (1.0, [0.975], True),
        (0.985, [], False),
    ],
)
def test_flagged_report(reported, reproduced, flagged):
    """On 10,000 examples at 97% a gap of 0.010 is chance, 0.011 is not; one near run suffices."""
    assert differs(reported, reproduced, 10_000) is flagged


def test_seed_spread_is_added():
    """The bound is three standard deviations of the difference plus the spread."""
    mean = 0.97
    bound = 3 * math.sqrt(2 * mean * (1 - mean) / 10_000)
    half = (bound + SEED_SPREAD) / 2
    inside, outside = half - 1e-6, half + 1e-6
    assert not differs(mean + inside, [mean - inside], 10_000)
    assert differs(mean + outside, [mean - outside], 10_000)


@given(shares, shares, st.integers(1, 10_000))
def test_report_is_symmetric(first, second, examples):
    """The comparison is symmetric, and an accuracy never differs from itself."""
    assert differs(first, [second], examples) == differs(second, [first], examples)
    assert not differs(first, [first], examples)


@given(
    threshold=st.floats(min_value=0.05, max_value=0.995),
    examples=st.integers(min_value=100, max_value=100_000),
    excess=st.floats(min_value=1e-6, max_value=0.01),
)
def test_clearly_met_threshold(threshold: float, examples: int, excess: float) -> None:
    """A run that stops there has its whole interval above the threshold."""
    clear = clearly_met_accuracy(threshold, examples)
    assert wilson_interval(min(1.0, clear - 1e-6), examples)[0] <= threshold
    if clear + excess < 1.0:
        assert wilson_interval(clear + excess, examples)[0] > threshold
