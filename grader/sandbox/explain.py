"""Explain to the student why a question has no answer, where only the grader could see it."""

from __future__ import annotations

import signal

from grader.assignment.records import Limits
from grader.models.failures import Failure
from grader.models.questions import Question
from grader.sandbox.connection import Breach
from grader.sandbox.protocol import (
    NEEDS_LESS_MEMORY,
    NEEDS_NO_FILES,
    NEEDS_NO_PROCESSES,
    describe_bytes,
)
from grader.sandbox.wire import EndMessage
from grader.text import clean_line

_STOP_ENDLESS_CODE = (
    "Look for an endless loop, and for training that runs at import: move it under "
    'if __name__ == "__main__":.'
)


def explain_end(end: EndMessage, question: Question, limits: Limits) -> Failure:
    """Explain why the question's own process ended early, as the manager in the sandbox saw it."""
    phase = end.phase or f"import of {question.file}"
    if end.reason == "signalled":
        return _explain_signal(-end.code, phase, limits)
    if end.reason == "exited":
        return Failure(
            kind="exit",
            phase=phase,
            message=f"Your code ended the process (exit status {end.code}) without an answer.",
            next_step="Remove os._exit() and the like; return the answer instead.",
        )
    location = end.location if end.reason == "timeout" else ""
    return _explain_limit(end.reason, phase, limits, location) or explain_protocol(
        "something other than an answer where the answer belongs", phase
    )


def explain_breach(breach: Breach, question: Question, limits: Limits) -> Failure:
    """Explain why the whole sandbox ended during a question."""
    phase = question.title
    if breach == "protocol":
        return explain_protocol("something other than an answer", phase)
    return _explain_limit(breach, phase, limits) or Failure(
        kind="crash",
        phase=phase,
        message="The process that runs your code was killed during this question.",
        next_step="Remove code that kills processes or sends them signals.",
    )


def explain_submission_timeout(limits: Limits) -> Failure:
    """Explain that the time for all questions of a submission is used up."""
    return Failure(
        kind="limit",
        phase="start",
        message=(
            f"The {limits.submission_seconds:g} s for all questions of a submission were used up "
            "before this one was answered."
        ),
        next_step=_STOP_ENDLESS_CODE,
    )


def explain_protocol(detail: str, phase: str = "reading of the answer") -> Failure:
    """Explain why an answer was not accepted."""
    return Failure(
        kind="protocol",
        phase=phase,
        message=f"The grader received {clean_line(detail)[:300]}, and does not accept it.",
        next_step="Return the answer from the function; write to no file descriptor yourself.",
    )


def _explain_signal(number: int, phase: str, limits: Limits) -> Failure:
    """Explain the signal that killed a question's process."""
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return _explain_limit(name, phase, limits) or Failure(
        kind="crash",
        phase=phase,
        message=f"The process that ran your code died of {name}.",
        next_step="Run this call on your own machine; look for what crashes Python itself.",
    )


def _explain_limit(name: str, phase: str, limits: Limits, location: str = "") -> Failure | None:
    """Explain the limit that an end, a breach or a signal of this name stands for, if any."""
    memory, files = describe_bytes(limits.memory_bytes), describe_bytes(limits.scratch_bytes)
    explanations = {
        "memory": (
            f"Your code used more than {memory} of memory, not counting what PyTorch itself takes.",
            NEEDS_LESS_MEMORY,
        ),
        "processes": (
            f"Your code started more than {limits.processes} processes and threads.",
            NEEDS_NO_PROCESSES,
        ),
        "bytes": (f"Your code wrote more than {files} of files.", NEEDS_NO_FILES),
        "files": (f"Your code created more than {limits.scratch_files:,} files.", NEEDS_NO_FILES),
        "timeout": (
            f"There was no answer within {limits.question_seconds:g} s.",
            _STOP_ENDLESS_CODE,
        ),
        "oversized": (
            f"The answer is larger than {describe_bytes(limits.message_bytes)}.",
            "Return only what is asked for.",
        ),
        "SIGXCPU": (
            f"Your code used more than {limits.cpu_seconds} s of processor time.",
            _STOP_ENDLESS_CODE,
        ),
        "SIGXFSZ": (f"Your code wrote a file of more than {files}.", NEEDS_NO_FILES),
    }
    if name not in explanations:
        return None
    message, next_step = explanations[name]
    return Failure(
        kind="limit", phase=phase, message=message, next_step=next_step, location=location
    )
