"""One training step on noise: what `--quick` does in place of training."""

from __future__ import annotations

from dataclasses import replace

import torch

from grader.datasets import Dataset
from grader.errors import ModelError
from grader.results import CheckResult, Outcome
from grader.train import TrainingJob, train


def check_one_step(job: TrainingJob, *, seed: int) -> CheckResult:
    """Whether a step of training on noise leaves the loss a number; it needs no data set."""
    pixels = torch.Generator().manual_seed(seed)
    # The second batch's loss shows what the first one's step did.
    examples = 2 * job.batch_size
    images = torch.randint(0, 256, (examples, 28, 28), generator=pixels, dtype=torch.uint8)
    labels = torch.arange(examples) % 10
    noise = Dataset(
        name="noise",
        sha256="",
        practice=True,
        train_images=images,
        train_labels=labels,
        test_images=images,
        test_labels=labels,
    )
    title = "One training step"
    try:
        run = train(replace(job, epochs=1, seed=seed), noise)
    except ModelError as error:
        return CheckResult(
            id="one-step",
            title=title,
            outcome=Outcome.FAILED,
            observed=str(error),
            next_step=error.next_step,
        )
    return CheckResult(
        id="one-step",
        title=title,
        outcome=Outcome.FAILED if run.diverged else Outcome.PASSED,
        observed="the loss is infinite or NaN" if run.diverged else "the loss is a number",
        next_step="lower the learning rate" if run.diverged else "",
    )
