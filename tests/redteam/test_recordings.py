"""No recorded program changes anything but what was handed in."""

from __future__ import annotations

import msgspec
import pytest

from grader.assignment.records import Limits
from grader.models.questions import Extraction, Question
from grader.models.recording import RecordedTraining
from tests.redteam.recordings import ATTACKS, Attack
from tests.redteam.secrets import planted_secrets
from tests.submissions.asking import CANARY, ask_all, canary, check_canary, find_sandbox

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

LIMITS = Limits(recording_seconds=9.0, question_seconds=3.0, submission_seconds=900.0,
                output_bytes=2000)  # fmt: skip


@pytest.fixture(scope="module")
def extractions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Extraction]:
    """One submission of all attacks, a canary after each; `ask_all` sees that nothing is left."""
    files = {f"{attack.name}.py": attack.source for attack in ATTACKS}
    questions = [
        question
        for attack in ATTACKS
        for question in (
            Question(id=attack.name, kind="recording", file=f"{attack.name}.py", function=""),
            canary(f"after {attack.name}"),
        )
    ]
    directory = tmp_path_factory.mktemp("attacks") / "alice"
    directory.mkdir()
    with planted_secrets(directory) as secrets:
        sandbox = find_sandbox()
        answers = ask_all(directory, files | {"canary.py": CANARY}, questions, sandbox, LIMITS)
    told = msgspec.json.encode(list(answers.values())).decode()
    assert not any(secret in told for secret in secrets)
    return answers


def shown(training: RecordedTraining) -> str:
    """A training as one text."""
    kinds = " ".join(layer.kind for layer in training.layers)
    if training.failure is not None:
        kinds = training.failure.kind
    return f"{kinds}, {training.epochs} epochs of {training.batch_size}"


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_attack(attack: Attack, extractions: dict[str, Extraction]) -> None:
    """The attack ends as a failure, or as what an open program could have said."""
    extraction = extractions[attack.name]
    check_canary(extractions[f"after {attack.name}"])
    assert not extraction.answered
    assert extraction.model is None
    if attack.any_end:
        assert (extraction.recording is None) != (extraction.failure is None)
    elif attack.kind:
        assert extraction.failure is not None, extraction
        assert extraction.failure.kind == attack.kind, extraction.failure
    else:
        assert extraction.recording is not None, extraction.failure
        found = extraction.recording
        assert tuple(failure.kind for failure in found.failures) == attack.failed
        assert tuple(map(shown, found.trainings)) == attack.trainings
