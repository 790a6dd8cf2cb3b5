"""The questions whose answers are fuzzed, and their limits."""

from __future__ import annotations

from grader.assignment.records import Limits
from grader.models.questions import Question

LIMITS = Limits(message_bytes=50_000, message_depth=8, layers=30, parameters=20_000)
QUESTIONS = (
    Question(id="answer", kind="answer", file="a.py", function="f"),
    Question(id="optional", kind="answer", file="a.py", function="f", optional=True),
    Question(id="weights", kind="model", file="a.py", function="f", weights=True),
    Question(
        id="model",
        kind="model",
        file="a.py",
        function="f",
        optimizer="o",
        scheduler="s",
        training="t",
    ),
)
ANSWER, OPTIONAL, WEIGHTS, MODEL = range(len(QUESTIONS))
"""Their indices, in order."""
