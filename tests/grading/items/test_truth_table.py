"""Truth tables are evaluated on every row."""

import pytest
import torch
from safetensors.torch import save

from grader.assignment.records import TruthTableItem
from grader.grading.items import truth_table
from grader.models.questions import Extraction
from grader.results import ItemResult, Outcome
from tests.support.item_samples import ITEMS, make_context
from tests.support.specs import RELU, linear, model, model_extraction, replace


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


def check(item_id: str, extraction: Extraction) -> ItemResult:
    item = ITEMS[item_id]
    assert isinstance(item, TruthTableItem)
    return truth_table.check(item_id, item, make_context(extractions={item_id: extraction}))


def with_model(extraction: Extraction, **changes: object) -> Extraction:
    """The extraction with some fields of its model changed."""
    spec = replace(extraction.model.model, **changes)
    return replace(extraction, model=replace(extraction.model, model=spec))


def test_every_row_counts():
    """A right network passes; a shifted network fails, and its wrong rows are named."""
    assert check("1D", or_network(0.0)).outcome is Outcome.PASSED
    shifted = check("1D", or_network(-0.5))
    assert shifted.outcome is Outcome.FAILED
    (table,) = [check for check in shifted.checks if check.id == "truth-table"]
    assert "(0, 0) gives -0.5, expected = 0" in table.observed
    assert "(0, 1) gives 0.5, expected >= 1" in table.observed
    assert "(1, 1)" not in table.observed
    assert table.details.splitlines()[-1].split()[-2:] == ["as", "expected"]


@pytest.mark.parametrize("code", ["frozen", "evaluation"])
def test_no_training_needed(code):
    """Weights that are set by hand need no gradients, and no mode."""
    extraction = or_network(0.0)
    layers = extraction.model.model.layers
    odd = with_model(
        extraction, layers=tuple(replace(layer, irregularity=code) for layer in layers)
    )
    assert check("1D", odd).outcome is Outcome.PASSED


def test_unusable_weights_fail():
    """A network without usable weights never passes without its table."""
    result = check("1D", with_model(or_network(0.0), weights=None))
    assert result.outcome is Outcome.FAILED
    assert result.checks[-1].id == "weights"


def test_xor_needs_its_layers():
    """A network of the right depth that computes something else fails the table alone."""
    result = check("1E.network", or_network(0.0))
    failed = [check.id for check in result.checks if check.outcome is Outcome.FAILED]
    assert failed == ["truth-table"]


def test_layer_that_is_not_allowed_is_never_built(monkeypatch):
    """Of a network with such a layer, nothing is built, its other layers included."""
    monkeypatch.setattr("grader.models.build._build_layer", lambda *_: pytest.fail("built"))
    spec = model(linear(2, 1), ("Sigmoid", {}), linear(1, 1), weights=b"")
    assert check("1D", model_extraction(spec)).outcome is Outcome.FAILED
