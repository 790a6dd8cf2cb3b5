"""A student's choice of epochs and batch size is checked against the assignment's recipe."""

import math
from dataclasses import replace

import pytest

from grader.assignment.records import ModelItem, Recipe
from grader.grading.items.recipe import CheckedRecipe, check_recipe
from grader.models.questions import ExtractedModel, PlainMapping, PlainValue
from grader.results import Outcome
from grader.training.job import Normalization
from tests.support.item_samples import ITEMS
from tests.support.specs import mlp


def mapping(*pairs: tuple[PlainValue, PlainValue]) -> PlainMapping:
    return PlainMapping(pairs=pairs)


RECIPE = Recipe(epochs=10, maximum_epochs=30)
ITEM = ITEMS["2C"]
assert isinstance(ITEM, ModelItem)


def choose(value: PlainValue, recipe: Recipe, channels: int = 1) -> CheckedRecipe:
    """A recipe whose last check is that of the student's choice."""
    extracted = ExtractedModel(model=mlp(), location="", training=value)
    return check_recipe(replace(ITEM, recipe=recipe), extracted, channels=channels)


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
def test_allowed_choice(value, epochs, batch_size):
    """Missing entries keep the recipe's value, and 20.0 is 20."""
    choice = choose(value, RECIPE)
    assert (choice.epochs, choice.batch_size) == (epochs, batch_size)
    assert isinstance(choice.epochs, int)
    assert choice.checks[-1].outcome is Outcome.PASSED
    assert choice.checks[-1].observed == f"{epochs} epochs at batch size {batch_size}"
    assert choice.checks[-1].next_step == ""


@pytest.mark.parametrize(
    ("value", "observed", "next_step"),
    [
        (
            mapping(("epochs", 31)),
            "epochs is 31, above the maximum of 30",
            "choose epochs from 1 to 30",
        ),
        (
            mapping(("epochs", 0)),
            "epochs is 0, below the minimum of 1",
            "choose epochs from 1 to 30",
        ),
        (
            mapping(("batch_size", 8)),
            "batch_size is 8, below the minimum of 16",
            "choose batch_size from 16 to 1024",
        ),
        (
            mapping(("batch_size", 2048)),
            "batch_size is 2048, above the maximum of 1024",
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
            "epochs is an integer of 1329 bits, above the maximum of 30",
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
def test_faulty_choice(value, observed, next_step):
    """The failure names the cap or the key, and the recipe's own values stand in."""
    choice = choose(value, RECIPE)
    assert choice.checks[-1].outcome is Outcome.FAILED
    assert choice.checks[-1].observed == observed
    assert choice.checks[-1].expected == "epochs from 1 to 30; batch_size from 16 to 1024"
    assert choice.checks[-1].next_step == next_step
    assert (choice.epochs, choice.batch_size) == (10, 32)


def test_every_fault_is_reported():
    """Two faults make one check with both, and the valid part is still taken."""
    value = mapping(("epochs", 99), ("lr", 0.1), ("momentum", 0.9), ("batch_size", 64))
    choice = choose(value, RECIPE)
    assert choice.checks[-1].observed.split("; ") == [
        "epochs is 99, above the maximum of 30",
        "'lr' cannot be chosen",
        "'momentum' cannot be chosen",
    ]
    assert choice.checks[-1].next_step == (
        'choose epochs from 1 to 30; use only the keys "epochs" and "batch_size"'
    )
    assert choice.batch_size == 64


@pytest.mark.parametrize("epochs", [61, 1e9, 10**400])
def test_epochs_are_cut(epochs):
    """More epochs than the maximum cost no points if the assignment cuts them."""
    choice = choose(mapping(("epochs", epochs)), Recipe(maximum_epochs=60, cut_epochs=True))
    assert choice.epochs == 60
    assert choice.checks[-1].outcome is Outcome.PASSED
    assert choice.checks[-1].observed == "60 epochs at batch size 32"
    assert choice.notes[-1].endswith(": cut to 60, the maximum.")


@pytest.mark.parametrize("epochs", [0, math.inf, math.nan, 60.5, "70"])
def test_unusable_epochs_are_not_cut(epochs):
    """Only a whole number above the maximum is cut."""
    choice = choose(mapping(("epochs", epochs)), Recipe(maximum_epochs=60, cut_epochs=True))
    assert choice.checks[-1].outcome is Outcome.FAILED
    assert choice.epochs == 10


NORMALIZED = Recipe(normalization=True)


@pytest.mark.parametrize(
    ("mean", "std", "channels", "normalization"),
    [
        (0.1307, 0.3081, 1, Normalization(mean=(0.1307,), std=(0.3081,))),
        ((0.1307,), (0.3081,), 1, Normalization(mean=(0.1307,), std=(0.3081,))),
        ((0.5, 0.5, 0.5), 1, 1, Normalization(mean=(0.5,), std=(1.0,))),
        ((0, 0.5, 1), 0.25, 3, Normalization(mean=(0.0, 0.5, 1.0), std=(0.25,))),
    ],
)
def test_normalization(mean, std, channels, normalization):
    """One number is for all channels, as in torchvision."""
    choice = choose(mapping(("mean", mean), ("std", std)), NORMALIZED, channels)
    assert choice.checks[-1].outcome is Outcome.PASSED
    assert choice.normalization == normalization


@pytest.mark.parametrize(
    ("pairs", "observed"),
    [
        ([("mean", 0.5)], '"mean" is given alone'),
        ([("std", 0.5)], '"std" is given alone'),
        ([("mean", 0.5), ("std", 0)], "std is 0, which is not from 1e-06 to 1e+06"),
        ([("mean", 0.5), ("std", -1.0)], "std is -1.0, which is not from 1e-06 to 1e+06"),
        ([("mean", math.nan), ("std", 1)], "mean is nan, which is not from -1e+06 to 1e+06"),
        ([("mean", math.inf), ("std", 1)], "mean is inf, which is not from -1e+06 to 1e+06"),
        ([("mean", (0.1, 0.2)), ("std", 1)], "mean has 2 values, but an image has 1 channel"),
        ([("mean", ()), ("std", 1)], "mean has 0 values, but an image has 1 channel"),
        ([("mean", "0.5"), ("std", 1)], "mean is '0.5', which is not a number"),
        ([("mean", True), ("std", 1)], "mean is True, which is not a number"),
        ([("mean", ((0.5,),)), ("std", 1)], "mean is (0.5,), which is not a number"),
        ([("mean", None), ("std", 1)], "mean is None, which is not a number"),
        ([("means", 0.5)], "'means' cannot be chosen; did you mean 'mean'?"),
    ],
)
def test_faulty_normalization(pairs, observed):
    """A faulty normalisation fails the recipe, and is not used."""
    choice = choose(mapping(*pairs), NORMALIZED)
    assert choice.checks[-1].outcome is Outcome.FAILED
    assert choice.checks[-1].observed == observed
    assert choice.normalization is None


def test_normalization_that_is_not_allowed():
    """The assignment decides."""
    choice = choose(mapping(("mean", 0.5), ("std", 0.5)), RECIPE)
    assert choice.checks[-1].observed == "'mean' cannot be chosen; 'std' cannot be chosen"
    assert choice.normalization is None


def test_fixed_recipe():
    """In a fixed recipe, the same value passes and another value fails."""
    fixed = Recipe(epochs=10, maximum_epochs=10, fixed=True)
    same = choose(mapping(("epochs", 10), ("batch_size", 32)), fixed)
    assert same.checks[-1].outcome is Outcome.PASSED
    other = choose(mapping(("batch_size", 64)), fixed)
    assert other.checks[-1].outcome is Outcome.FAILED
    assert other.checks[-1].expected == "epochs 10, fixed; batch_size 32, fixed"
    assert other.batch_size == 32
