"""One training step on noise, which `--quick` takes in place of training."""

from __future__ import annotations

from dataclasses import replace

import torch

from grader.errors import ModelError
from grader.results import CheckResult
from grader.training.datasets import Dataset
from grader.training.job import TrainingJob
from grader.training.loop import train


def check_one_step(job: TrainingJob, *, seed: int) -> CheckResult:
    """Fail if a training step on noise cannot be taken or has an infinite loss.

    The step needs no data set. A learning rate that is too high shows in later steps only.
    """
    pixels = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (job.batch_size, 28, 28), generator=pixels, dtype=torch.uint8)
    labels = torch.arange(job.batch_size) % 10
    noise = Dataset(
        name="noise",
        sha256="",
        practice=True,
        train_images=images,
        train_labels=labels,
        test_images=images,
        test_labels=labels,
    )
    try:
        diverged = train(replace(job, epochs=1, seed=seed), noise).diverged
    except ModelError as error:
        passed, observed, next_step = False, str(error), error.next_step
    else:
        passed = not diverged
        observed = "the loss is infinite or NaN" if diverged else "the loss is a number"
        next_step = "look at the layers' order: the loss is not a number before the first update"
    return CheckResult.judged(
        "one-step", "One training step", passed=passed, observed=observed, next_step=next_step
    )
