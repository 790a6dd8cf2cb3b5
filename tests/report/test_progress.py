"""The forecast of all trainings, and what a narrow terminal shows of them."""

import io

import pytest
from rich.console import Console

from grader.report import progress
from grader.report.progress import Forecast, TerminalProgress
from grader.results import EpochResult, ItemResult, Outcome, Score
from tests.support.specs import mlp
from tests.support.training_samples import training_job


@pytest.fixture(name="clock")
def stop_the_clock(monkeypatch):
    """A clock that the test turns."""

    class Clock:
        now = 100.0

        def monotonic(self) -> float:
            return self.now

    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def test_forecast(clock):
    """Half of the work has taken 10 s, so 10 s are left; a further seed adds work."""
    forecast = Forecast({"a": 30.0, "b": 10.0})
    assert forecast.remaining_seconds is None
    clock.now += 10
    for _ in range(2):
        forecast.epoch_ended("a", training_job(mlp(), seed=1, epochs=3))
    assert forecast.share == pytest.approx(0.5)
    assert forecast.remaining_seconds == pytest.approx(10)
    forecast.epoch_ended("a", training_job(mlp(), seed=2, epochs=3))
    assert forecast.share == pytest.approx(30 / 70)
    forecast.item_finished("a")
    forecast.item_finished("b")
    assert forecast.remaining_seconds == pytest.approx(0)


def test_sweep_is_never_more_than_done():
    """The runs of a sweep count as one, which is done when the item is."""
    forecast = Forecast({"sweep": 10.0, "b": 10.0})
    for _ in range(9):
        forecast.epoch_ended("sweep", training_job(mlp(), seed=1, epochs=1))
    assert forecast.share == pytest.approx(0.5)


def test_narrow_terminal():
    """At 60 columns a bar, the accuracy and the time are whole."""
    shown = io.StringIO()
    console = Console(file=shown, width=60, force_terminal=True, color_system=None)
    job = training_job(mlp(), seed=3, epochs=12)
    with TerminalProgress(console, quiet=False, verbose=False) as screen:
        screen.training_starts({"3G.model": 10.0, "2C": 1.0})
        screen.epoch_ended("3G.model", job, 9, EpochResult(train_loss=0.1, test_accuracy=0.934))
        screen._bars.refresh()
        item = ItemResult(
            id="3G.model", title="", kind="model", outcome=Outcome.PASSED, score=Score(possible=1)
        )
        screen.item_finished(item)
    text = shown.getvalue()
    assert "seed 3, 9/12: 93.40%" in text
    assert "0:00:0" in text
    assert "left" in text
