"""Every question is answered, whatever the submission does."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import psutil
import pytest

from grader.assignment import Limits
from grader.collect import collect
from grader.errors import SandboxError
from grader.extract import ExtractionStoppedError, extract
from grader.model_spec import SchedulerSpec
from grader.questions import Extraction, ImportNote, PlainMapping, Question
from grader.sandbox import Sandbox, choose_sandbox
from tests.submissions.broken import BROKEN, IMPORTS, MODEL, Broken

LIMITS = Limits(
    question_seconds=3.0, submission_seconds=600.0, memory_bytes=500_000_000, output_bytes=2000
)
CANARY = "print('canary')\ndef answer():\n    return 42\n"


@pytest.fixture(scope="session")
def sandbox() -> Sandbox:
    """The machine's sandbox; without one there is nothing to test here."""
    try:
        return choose_sandbox()
    except SandboxError as error:
        pytest.skip(f"no sandbox here: {error}")


def ask_all(
    directory: Path,
    files: dict[str, str | bytes],
    questions: list[Question],
    sandbox: Sandbox,
    limits: Limits = LIMITS,
) -> dict[str, Extraction]:
    """Ask a submission of these files, and check that no process is left."""
    for name, source in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source if isinstance(source, bytes) else source.encode())
    before = {process.pid for process in psutil.process_iter()}
    with collect(directory, [question.file for question in questions]) as submission:
        extractions = extract(submission, questions, limits=limits, sandbox=sandbox)
    assert [extraction.question for extraction in extractions] == questions
    left = [
        process
        for process in psutil.Process().children(recursive=True)
        if process.pid not in before and process.status() != psutil.STATUS_ZOMBIE
    ]
    assert left == []
    return {extraction.question.id: extraction for extraction in extractions}


def question_of(broken: Broken) -> Question:
    """The question that a broken file is asked."""
    if broken.asked == "answer":
        return Question(
            id=broken.name, kind="answer", file=f"{broken.name}.py", function="answer"
        )
    return Question(
        id=broken.name,
        kind="model",
        file=f"{broken.name}.py",
        function="answer",
        optimizer="optimizer",
        scheduler="scheduler",
        training="training",
    )


def ask_broken(
    table: list[Broken], directory: Path, sandbox: Sandbox
) -> dict[str, Extraction]:
    """All the broken files in one submission, a canary after each."""
    files: dict[str, str | bytes] = {f"{b.name}.py": b.content() for b in table}
    questions = []
    for broken in table:
        questions.append(question_of(broken))
        questions.append(
            Question(
                id=f"canary after {broken.name}", kind="answer", file="canary.py", function="answer"
            )
        )
    return ask_all(directory, files | {"canary.py": CANARY}, questions, sandbox)


@pytest.fixture(scope="session")
def gentle(tmp_path_factory: pytest.TempPathFactory, sandbox: Sandbox) -> dict[str, Extraction]:
    """The extraction of every broken file that leaves the worker alive."""
    table = [broken for broken in BROKEN if not broken.ends_worker]
    return ask_broken(table, tmp_path_factory.mktemp("gentle"), sandbox)


@pytest.fixture(scope="session")
def violent(tmp_path_factory: pytest.TempPathFactory, sandbox: Sandbox) -> dict[str, Extraction]:
    """The extraction of every broken file that takes the worker down."""
    table = [broken for broken in BROKEN if broken.ends_worker]
    return ask_broken(table, tmp_path_factory.mktemp("violent"), sandbox)


def check_broken(broken: Broken, extractions: dict[str, Extraction]) -> None:
    """The failure is the expected one, says what it must, and harmed nothing else."""
    extraction = extractions[broken.name]
    failure = extraction.failure
    if broken.role:
        assert extraction.model is not None, failure
        failure = dict(extraction.model.failures)[broken.role]
    assert failure is not None, extraction
    assert failure.kind == broken.kind, failure
    told = "\n".join(
        (failure.phase, failure.message, failure.next_step, failure.location, failure.traceback)
    )
    for words in broken.says:
        assert words in told, failure
    assert failure.next_step
    assert failure.phase
    canary = extractions[f"canary after {broken.name}"]
    assert canary.value == 42
    assert canary.output is not None
    assert canary.output.text == "canary\n"


@pytest.mark.parametrize(
    "broken", [b for b in BROKEN if not b.ends_worker], ids=lambda broken: broken.name
)
def test_broken_file_fails_clearly(broken: Broken, gentle: dict[str, Extraction]) -> None:
    """A broken file fails its own question with a clear message, and no other."""
    check_broken(broken, gentle)


@pytest.mark.slow
@pytest.mark.parametrize(
    "broken", [b for b in BROKEN if b.ends_worker], ids=lambda broken: broken.name
)
def test_violent_file_fails_clearly(broken: Broken, violent: dict[str, Extraction]) -> None:
    """A file that takes the worker down fails its own question, and no other."""
    check_broken(broken, violent)
