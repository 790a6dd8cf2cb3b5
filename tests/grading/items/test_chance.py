"""Verdicts allow for chance, and what a student reports about training is read with care."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.assignment.records import Recipe
from grader.errors import SubmissionError
from grader.grading.items.chance import (
    check_training_choice,
    clearly_met_accuracy,
    is_borderline,
    needs_another_seed,
    parse_sweep,
    reported_differs,
    wilson_interval,
)
from grader.questions import PlainMapping, PlainValue
from grader.results import Outcome

# A busy machine is no reason to fail, so no example has a deadline.

shares = st.floats(0.0, 1.0)
sizes = st.integers(1, 100_000)

PROBABILITIES = tuple(i / 9 for i in range(10))
ACCURACIES = tuple(0.98 - 0.01 * i for i in range(10))


def mapping(*pairs: tuple[PlainValue, PlainValue]) -> PlainMapping:
    return PlainMapping(pairs=pairs)


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
def test_the_interval_is_wilsons(share, examples, low, high):
    """Known intervals come out, also where every example or none is right."""
    assert wilson_interval(share, examples) == pytest.approx((low, high), abs=1e-6)


@given(shares, sizes)
def test_the_interval_holds_the_accuracy_and_stays_a_share(share, examples):
    """Its ends lie within 0 and 1, on either side of the accuracy."""
    low, high = wilson_interval(share, examples)
    assert 0.0 <= low <= share + 1e-12
    assert share - 1e-12 <= high <= 1.0
    assert low < high


@given(shares, sizes)
def test_the_interval_solves_wilsons_equation(share, examples):
    """Each end is z standard deviations of its own binomial away from the accuracy."""
    z = 1.959964
    for end in wilson_interval(share, examples):
        deviation = math.sqrt(max(end * (1 - end), 0.0) / examples)
        assert abs(share - end) == pytest.approx(z * deviation, abs=1e-6)


def test_the_interval_covers_the_truth_about_95_percent_of_the_time():
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
    ("accuracy", "another", "borderline"),
    [
        (0.9790, False, False),
        (0.9775, False, True),
        (0.9750, False, True),
        (0.9749, True, True),
        (0.9725, True, True),
        (0.9715, False, False),
    ],
)
def test_another_seed_is_needed_only_just_below_the_threshold(accuracy, another, borderline):
    """On 10,000 examples 97.5% leaves room for chance down to about 97.2%."""
    assert needs_another_seed(accuracy, 0.975, 10_000) is another
    assert is_borderline(accuracy, 0.975, 10_000) is borderline


@given(shares, shares, sizes)
def test_whatever_needs_another_seed_is_borderline(accuracy, threshold, examples):
    """Chance explains a shortfall only if the threshold is inside the interval."""
    if needs_another_seed(accuracy, threshold, examples):
        assert is_borderline(accuracy, threshold, examples)
        assert accuracy < threshold


def test_an_honest_report_is_hardly_ever_flagged():
    """Two accuracies drawn independently from one truth differ by chance alone."""
    generator = random.Random(1)

    def measure() -> float:
        return sum(generator.random() < 0.96 for _ in range(1000)) / 1000

    flagged = sum(reported_differs(measure(), [measure()], 1000) for _ in range(300))
    assert flagged == 0


@pytest.mark.parametrize(
    ("reported", "runs", "differs"),
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
def test_a_report_is_flagged_only_past_chance_and_the_spread_of_seeds(reported, runs, differs):
    """On 10,000 examples at 97% a gap of 0.010 is chance, 0.011 is not; one near run suffices."""
    assert reported_differs(reported, runs, 10_000) is differs


def test_the_allowance_for_seeds_is_added_to_that_for_chance():
    """The bound is three standard deviations of the difference plus the spread."""
    mean = 0.97
    bound = 3 * math.sqrt(2 * mean * (1 - mean) / 10_000)
    for spread in (0.0, 0.01):
        half = (bound + spread) / 2
        inside, outside = half - 1e-6, half + 1e-6
        assert not reported_differs(mean + inside, [mean - inside], 10_000, spread)
        assert reported_differs(mean + outside, [mean - outside], 10_000, spread)


@given(shares, shares, st.integers(1, 10_000))
def test_the_report_and_the_run_are_treated_alike(first, second, examples):
    """The comparison is symmetric, and an accuracy never differs from itself."""
    assert reported_differs(first, [second], examples) == reported_differs(
        second, [first], examples
    )
    assert not reported_differs(first, [first], examples)


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
def test_a_sweep_is_read_from_any_of_its_forms(value):
    """Ten accuracies, ten pairs or a dict, in any order and with rounded probabilities."""
    assert parse_sweep(value, PROBABILITIES) == ACCURACIES


def test_a_missing_measurement_stays_missing():
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
        (None, "returned None: did you forget `return`?", "return the accuracies"),
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
        ((math.nan, *ACCURACIES[1:]), "at p = 0 is nan, which is no accuracy", "as a share"),
        ((-0.1, *ACCURACIES[1:]), "at p = 0 is -0.1, which is no accuracy", "as a share"),
        ((10**400, *ACCURACIES[1:]), "which is no accuracy", "as a share"),
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
def test_a_sweep_that_cannot_be_read_says_why(value, message, next_step):
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
def test_any_list_is_read_as_shares_or_refused(values):
    """Whatever is returned is ten accuracies within 0 and 1, never anything else."""
    try:
        read = parse_sweep(tuple(values), PROBABILITIES)
    except SubmissionError:
        return
    assert len(read) == 10
    assert all(accuracy is None or 0.0 <= accuracy <= 1.0 for accuracy in read)


def test_a_sweep_of_two_probabilities_is_no_pair_of_lists():
    """Where two accuracies are expected, two accuracies are what they are."""
    assert parse_sweep((0.9, 0.8), (0.0, 0.5)) == (0.9, 0.8)
    assert parse_sweep(((0.5, 0.8), (0.0, 0.9)), (0.0, 0.5)) == (0.9, 0.8)


RECIPE = Recipe(epochs=10, maximum_epochs=30)


@pytest.mark.parametrize(
    ("value", "epochs", "batch_size"),
    [
        (mapping(), 10, 32),
        (mapping(("epochs", 30)), 30, 32),
        (mapping(("batch_size", 1024)), 10, 1024),
        (mapping(("batch_size", 16), ("epochs", 1)), 1, 16),
        (mapping(("epochs", 20.0)), 20, 32),
    ],
)
def test_a_choice_within_the_caps_is_taken(value, epochs, batch_size):
    """What is left out keeps the recipe's value, and 20.0 is 20."""
    choice = check_training_choice(value, RECIPE)
    assert (choice.epochs, choice.batch_size) == (epochs, batch_size)
    assert isinstance(choice.epochs, int)
    assert choice.check.outcome is Outcome.PASSED
    assert choice.check.observed == f"{epochs} epochs at batch size {batch_size}"
    assert choice.check.next_step == ""


@pytest.mark.parametrize(
    ("value", "observed", "next_step"),
    [
        (
            mapping(("epochs", 31)),
            "epochs is 31, above the cap of 30",
            "choose epochs from 1 to 30",
        ),
        (
            mapping(("epochs", 0)),
            "epochs is 0, below the least of 1",
            "choose epochs from 1 to 30",
        ),
        (
            mapping(("batch_size", 8)),
            "batch_size is 8, below the least of 16",
            "choose batch_size from 16 to 1024",
        ),
        (
            mapping(("batch_size", 2048)),
            "batch_size is 2048, above the cap of 1024",
            "choose batch_size from 16 to 1024",
        ),
        (
            mapping(("epochs", 10.5)),
            "epochs is 10.5, which is not a whole number",
            "choose epochs from 1 to 30",
        ),
        (
            mapping(("epochs", math.nan)),
            "epochs is nan, which is not a whole number",
            "choose epochs from 1 to 30",
        ),
        (
            mapping(("epochs", 10**400)),
            "epochs is an integer of 1329 bits, above the cap of 30",
            "choose epochs from 1 to 30",
        ),
        (
            mapping(("epochs", True)),
            "epochs is True, which is not a number",
            "choose epochs from 1 to 30",
        ),
        (
            mapping(("epochs", "ten")),
            "epochs is 'ten', which is not a number",
            "choose epochs from 1 to 30",
        ),
        (
            mapping(("batchsize", 64)),
            "'batchsize' cannot be chosen; did you mean 'batch_size'?",
            'use only the keys "epochs" and "batch_size"',
        ),
        (
            mapping(("seed", 64)),
            "'seed' cannot be chosen",
            'use only the keys "epochs" and "batch_size"',
        ),
        (
            mapping((3, 64)),
            "3 cannot be chosen",
            'use only the keys "epochs" and "batch_size"',
        ),
        (
            (10, 32),
            "it is (10, 32) and not a dict",
            'return {"epochs": 10, "batch_size": 32}',
        ),
    ],
)
def test_a_choice_that_is_not_valid_fails(value, observed, next_step):
    """The failure names the cap or the key, and the recipe's own values stand in."""
    choice = check_training_choice(value, RECIPE)
    assert choice.check.outcome is Outcome.FAILED
    assert choice.check.observed == observed
    assert choice.check.expected == "epochs from 1 to 30; batch_size from 16 to 1024"
    assert choice.check.next_step == next_step
    assert (choice.epochs, choice.batch_size) == (10, 32)


def test_every_fault_of_a_choice_is_told():
    """Two faults make one check with both, and the valid part is still taken."""
    value = mapping(("epochs", 99), ("lr", 0.1), ("momentum", 0.9), ("batch_size", 64))
    choice = check_training_choice(value, RECIPE)
    assert choice.check.observed.split("; ") == [
        "epochs is 99, above the cap of 30",
        "'lr' cannot be chosen",
        "'momentum' cannot be chosen",
    ]
    assert choice.check.next_step == (
        'choose epochs from 1 to 30; use only the keys "epochs" and "batch_size"'
    )
    assert choice.batch_size == 64


def test_a_fixed_recipe_takes_its_own_values_only():
    """Where nothing can be chosen, saying the same is no fault and saying else is one."""
    fixed = Recipe(epochs=10, maximum_epochs=10, fixed=True)
    same = check_training_choice(mapping(("epochs", 10), ("batch_size", 32)), fixed)
    assert same.check.outcome is Outcome.PASSED
    other = check_training_choice(mapping(("batch_size", 64)), fixed)
    assert other.check.outcome is Outcome.FAILED
    assert other.check.expected == "epochs 10, fixed; batch_size 32, fixed"
    assert other.batch_size == 32


@given(
    threshold=st.floats(min_value=0.05, max_value=0.995),
    examples=st.integers(min_value=100, max_value=100_000),
    excess=st.floats(min_value=1e-6, max_value=0.01),
)
def test_a_clearly_met_threshold_is_no_longer_borderline(
    threshold: float, examples: int, excess: float
) -> None:
    """A run that stops there ends with a verdict that no chance puts into doubt."""
    clear = clearly_met_accuracy(threshold, examples)
    assert is_borderline(min(1.0, clear - 1e-6), threshold, examples)
    if clear + excess < 1.0:
        assert not is_borderline(clear + excess, threshold, examples)
