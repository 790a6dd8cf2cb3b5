"""Trained models: the weights that a student hands in, evaluated on the test set."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from grader.assignment.records import TrainedModelItem
from grader.grading.items.interface import Context, Training
from grader.grading.items.model import budget_of
from grader.grading.items.structure import check_structure, load_network
from grader.grading.items.verdict import Judge
from grader.grading.points import add_checks, skipped
from grader.models.shapes import count_multiply_adds
from grader.models.spec import default_optimizer
from grader.results import CheckResult, ItemResult, Outcome, TrainingRun
from grader.training.job import TrainingJob
from grader.training.plans import Plan, Round

BATCH_SIZE = 32
"""Of the training step by which the cost of a model is measured; no weight is changed by it."""


def check(item_id: str, item: TrainedModelItem, context: Context) -> ItemResult | Evaluation:
    """Check layers and weights; a model without a fault is to be evaluated."""
    dataset = context.setting.dataset_of(item_id)
    structure = check_structure(
        item_id,
        item,
        context.extractions[item_id],
        input_shapes=item.input_shapes or dataset.facts.input_shapes,
        outputs=item.count_outputs(dataset.facts),
        # Nothing is trained here, so frozen weights change nothing.
        harmless=frozenset({"evaluation", "frozen"}),
    )
    if isinstance(structure, ItemResult):
        return structure
    if structure.result.outcome is not Outcome.PASSED:
        return structure.result
    network = load_network(structure.model)
    if isinstance(network, CheckResult):
        return add_checks(structure.result, network)
    return Evaluation(
        so_far=structure.result,
        multiply_adds=float(count_multiply_adds(structure.model, structure.shapes))
        * dataset.facts.test_examples,
        item=item,
        context=context,
        judge=Judge(
            item=item,
            job=TrainingJob(
                model=structure.model,
                optimizer=default_optimizer(structure.model),
                scheduler=None,
                epochs=0,
                batch_size=BATCH_SIZE,
                seed=0,
                dataset=dataset.name,
                dataset_sha256=dataset.sha256,
                input_shape=structure.input_shape,
                stop_at_accuracy=None,
                counted_epoch=item.hardest.epoch,
                loss=item.loss,
            ),
            test_examples=dataset.facts.test_examples,
        ),
    )


@dataclass(frozen=True, kw_only=True)
class Evaluation(Training):
    """A model that passed its checks, with the weights that were handed in."""

    item: TrainedModelItem
    context: Context
    judge: Judge

    def leave_out(self, reason: str) -> ItemResult:
        """Return the result of a model that is not evaluated."""
        return add_checks(
            self.so_far, skipped("accuracy", self.item.hardest.metric.heading, reason)
        )

    def plan(self) -> Plan[tuple[TrainingRun, ...]]:
        """Evaluate once: nothing is left to chance."""
        budget = budget_of(self.context.setting.assignment)
        return tuple((yield Round(jobs=[self.judge.job], budget=budget)))

    def result(self, outcome: Sequence[TrainingRun]) -> ItemResult:
        """Return the verdict on the evaluation."""
        result = self.judge.conclude(self.so_far, outcome, lambda _: _NEXT_STEP)
        assert result.training is not None  # noqa: S101  # the judge's report
        digest = hashlib.sha256(self.judge.job.model.weights or b"").hexdigest()
        return replace(result, training=replace(result.training, weights_sha256=digest))


_NEXT_STEP = "train the model further or in another way, and hand in its new weights"
