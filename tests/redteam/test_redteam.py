"""Every attack ends as its table says, and an honest question asked after it is answered as ever."""

from __future__ import annotations

import msgspec
import pytest

from grader.models.questions import Extraction, Question
from tests.redteam.attacks import ATTACKS, Attack
from tests.redteam.secrets import planted_secrets
from tests.submissions.asking import CANARY, ask_all, canary, check_canary, find_sandbox

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def question_of(attack: Attack) -> Question:
    """The question that the attacker answers."""
    return Question(
        id=attack.id,
        kind="model" if "from torch import nn" in attack.source else "answer",
        file=f"{attack.id}.py",
        function="answer",
    )


@pytest.fixture(scope="module")
def extractions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Extraction]:
    """One submission of all attacks, a canary after each; `ask_all` sees that nothing is left."""
    files = {f"{attack.id}.py": attack.source for attack in ATTACKS}
    questions = [
        question
        for attack in ATTACKS
        for question in (question_of(attack), canary(f"after {attack.id}"))
    ]
    directory = tmp_path_factory.mktemp("attacks") / "alice"
    directory.mkdir()
    with planted_secrets(directory) as secrets:
        sandbox = find_sandbox()
        answers = ask_all(directory, files | {"canary.py": CANARY}, questions, sandbox)
    told = msgspec.json.encode(list(answers.values())).decode()
    assert not any(secret in told for secret in secrets)
    return answers


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.id)
def test_attack(attack: Attack, extractions: dict[str, Extraction]) -> None:
    """The attack ends in its failure, or in what could have been returned openly."""
    extraction = extractions[attack.id]
    if attack.kind:
        assert extraction.failure is not None, extraction
        assert extraction.failure.kind == attack.kind, extraction.failure
        assert not extraction.answered
        assert extraction.model is None
    elif attack.layers:
        assert extraction.model is not None, extraction.failure
        assert tuple(layer.kind for layer in extraction.model.model.layers) == attack.layers
        assert extraction.model.model.weights is None
    else:
        assert extraction.failure is None, extraction.failure
        assert extraction.answered
        assert extraction.value == attack.value
    told = told_by(extraction)
    for words in attack.says:
        assert words in told, told
    for words in attack.hides:
        assert words not in told, told
    check_canary(extractions[f"after {attack.id}"])


def told_by(extraction: Extraction) -> str:
    """Every text of an extraction that a person may come to read."""
    texts = [extraction.location]
    if extraction.output is not None:
        texts.append(extraction.output.text)
    if extraction.failure is not None:
        failure = extraction.failure
        texts += [failure.phase, failure.message, failure.next_step]
        texts += [failure.location, failure.traceback]
    if extraction.model is not None:
        for layer in extraction.model.model.layers:
            texts += [layer.kind, layer.path, layer.irregularity_detail]
    return "|".join(texts)
