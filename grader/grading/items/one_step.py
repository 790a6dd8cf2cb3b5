"""One training step on noise: what `--quick` does in place of training."""

from __future__ import annotations

from dataclasses import replace

import torch

from grader.errors import ModelError
from grader.results import CheckResult, Outcome
from grader.training.datasets import Dataset
from grader.training.job import TrainingJob
from grader.training.loop import train

_NEXT_STEP = "look at the layers' order: the loss is no number though nothing has been learned yet"


def check_one_step(job: TrainingJob, *, seed: int) -> CheckResult:
    """Whether a step of training can be taken on noise, with a loss that is a number.

    It needs no data set. A learning rate that is too high shows in later steps only.
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
        next_step=_NEXT_STEP if run.diverged else "",
    )
