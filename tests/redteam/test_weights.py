"""Hostile weights: files that a student hands in, and models that answer for them."""

from __future__ import annotations

import io
import os
import pickle
import struct
from pathlib import Path

import pytest
import safetensors.torch
import torch

from grader.models.questions import Extraction, Question
from tests.submissions.asking import CANARY, ask_all, canary, check_canary, find_sandbox

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

HONEST = "from torch import nn\ndef answer():\n    return nn.Sequential(nn.Linear(3, 2))\n"


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.proof}",)


def _saved(value: object) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def _forged_reply(size: str) -> str:
    """A file whose import sends a reply of so many bytes in place of an answer."""
    return (
        "import os, struct\n"
        f"payload = b'x' * {size}\n"
        "for number in range(3, 64):\n"
        "    try: os.write(number, struct.pack('>cI', b'R', len(payload)) + payload)\n"
        "    except OSError: pass\n" + HONEST
    )


ENDLESS_HEADER = struct.pack("<Q", 2**62) + b"{}"
ATTACKS: dict[str, tuple[str, str, bytes, str]] = {
    "pickle": (HONEST, "w.pt", b"", "cannot be read as weights"),
    "header": (HONEST, "w.safetensors", ENDLESS_HEADER, "cannot be read as weights"),
    "text": (HONEST, "w.safetensors", b"weights", "cannot be read as weights"),
    "names": (HONEST, "w.pt", _saved({"\x1b[2J<b>": torch.zeros(1)}), "has no 0.weight"),
    "deep": (HONEST, "w.pt", _saved({"model": {"model": {"model": 1}}}), "holds no state dict"),
    "itself": (
        HONEST.replace("return", "torch = __import__('torch')\n    torch.load = eval\n    return"),
        "w.pt",
        _saved([1]),
        "cannot be read as weights",
    ),
    "forged": (_forged_reply("200_000_000"), "w.pt", _saved({}), ""),
    "state": (
        HONEST
        + "class Own(nn.Linear):\n    def state_dict(self, *a, **k): raise SystemExit\n"
        + "def answer():\n    return nn.Sequential(Own(3, 2))\n",
        "w.pt",
        _saved({"0.weight": torch.zeros(2, 3), "0.bias": torch.zeros(2)}),
        "",
    ),
}


@pytest.fixture(name="asked", scope="module")
def ask_every_attack(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[dict[str, Extraction], Path]:
    """The answers to all attacks, a canary after each, and a file that no attack may make."""
    directory = tmp_path_factory.mktemp("weights") / "mallory"
    directory.mkdir()
    proof = directory.with_name("proof")
    files: dict[str, str | bytes] = {"canary.py": CANARY}
    questions = []
    for name, (source, weights, content, _) in ATTACKS.items():
        files[f"{name}.py"] = source
        files[f"{name}_{weights}"] = content or pickle.dumps(Payload(proof))
        questions += [
            Question(
                id=name,
                kind="model",
                file=f"{name}.py",
                function="answer",
                weights=True,
                weights_file=f"{name}_{weights}",
                weights_bytes=40_000_000,
            ),
            canary(f"after {name}"),
        ]
    return ask_all(directory, files, questions, find_sandbox()), proof


@pytest.mark.parametrize("name", ATTACKS)
def test_hostile_weights(name: str, asked: tuple[dict[str, Extraction], Path]) -> None:
    """Each ends in a failure in clean words, runs nothing, and harms no later question."""
    extractions, proof = asked
    failure, says = extractions[name].failure, ATTACKS[name][3]
    assert failure is not None
    assert says in failure.message
    assert "\x1b" not in failure.message
    assert not proof.exists()
    check_canary(extractions[f"after {name}"])


def test_large_answer_elsewhere(tmp_path: Path) -> None:
    """A question without weights still refuses an answer of more than 2 MB."""
    question = Question(id="large", kind="answer", file="large.py", function="answer")
    directory = tmp_path / "mallory"
    directory.mkdir()
    source = _forged_reply("3_000_000")
    answers = ask_all(
        directory,
        {"large.py": source, "canary.py": CANARY},
        [question, canary("after")],
        find_sandbox(),
    )
    assert answers["large"].failure is not None
    assert answers["large"].failure.kind in {"limit", "protocol"}
    check_canary(answers["after"])


def test_honest_weights(tmp_path: Path) -> None:
    """Weights in either form, of a checkpoint too, come out as they went in."""
    state = {"0.weight": torch.arange(6.0).reshape(2, 3), "0.bias": torch.ones(2)}
    contents = {
        "a.pt": _saved(state),
        "b.safetensors": safetensors.torch.save(state),
        "c.pth": _saved({"epoch": 3, "model_state_dict": state}),
    }
    questions = [
        Question(
            id=name,
            kind="model",
            file="honest.py",
            function="answer",
            weights=True,
            weights_file=name,
            weights_bytes=40_000_000,
        )
        for name in contents
    ]
    directory = tmp_path / "ada"
    directory.mkdir()
    answers = ask_all(directory, {"honest.py": HONEST, **contents}, questions, find_sandbox())
    for extraction in answers.values():
        assert extraction.model is not None, extraction.failure
        loaded = safetensors.torch.load(extraction.model.model.weights or b"")
        assert {name: tensor.tolist() for name, tensor in loaded.items()} == {
            name: tensor.tolist() for name, tensor in state.items()
        }
