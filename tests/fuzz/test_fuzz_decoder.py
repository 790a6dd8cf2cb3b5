"""The fuzzer starts from messages that are accepted, and runs."""

from __future__ import annotations

import importlib.util
import random
import subprocess
import sys

import pytest

from grader.errors import MessageError
from grader.sandbox.decode import decode_end, decode_reply
from tests.fuzz.asked import LIMITS, QUESTIONS
from tests.fuzz.mutate import mutate_json
from tests.fuzz.seeds import make_endings, make_seeds


def test_seeds() -> None:
    """Messages of the worker's own code are accepted, so that fuzzing starts deep inside."""
    for question, payload in make_seeds():
        decode_reply(QUESTIONS[question], payload, LIMITS)
    for payload in make_endings():
        decode_end(payload)


def test_both_sides() -> None:
    """Of the changed seeds some are accepted and some refused, and nothing else happens."""
    accepted = refused = 0
    choose = random.Random(0)
    for number in range(3000):
        question, payload = choose.choice(make_seeds_once())
        changed = mutate_json(payload, number)
        assert changed is not None
        try:
            decode_reply(QUESTIONS[question], changed, LIMITS)
            accepted += 1
        except MessageError:
            refused += 1
    assert accepted > 300
    assert refused > 300


def make_seeds_once(kept: list[tuple[int, bytes]] = []) -> list[tuple[int, bytes]]:  # noqa: B006
    """The seeds, made at the first call."""
    kept.extend(make_seeds() if not kept else [])
    return kept


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="atheris (extra: fuzz) is not installed"
)
def test_ten_seconds() -> None:
    """It runs, guided by coverage, and says how many messages it tried."""
    command = [sys.executable, "-m", "tests.fuzz.fuzz_decoder", "--seconds", "10"]
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == 0, ended.stdout
    assert "messages in" in ended.stdout
