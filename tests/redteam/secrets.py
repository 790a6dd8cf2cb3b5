"""The grader's own secrets, which must never come out of the sandbox, planted for the tests."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from grader.training.datasets import load_dataset

PREFIX = "grader-canary-"
"""The part of a secret that an attacker can search for; the rest is random."""


@contextmanager
def planted_secrets(beside: Path) -> Iterator[list[str]]:
    """An environment variable, a key file and another student's file, until the block ends.

    Args:
        beside: the directory of the submission, which gets a neighbour.

    Yields:
        The texts that may appear nowhere, the labels of the test set among them.
    """
    in_environment, in_key, in_sibling = (PREFIX + secrets.token_hex(16) for _ in range(3))
    key = beside.parent / "key.pem"
    key.write_text(in_key)
    key.chmod(0o600)
    sibling = beside.parent / "sibling"
    sibling.mkdir()
    (sibling / "problem_1.py").write_text(f"# {in_sibling}\n")
    # They come class after class; where one ends and the next begins is a text by itself.
    labels = load_dataset("mnist-5k").test_targets[70:130].tolist()
    with mock.patch.dict("os.environ", {"GRADER_CANARY": in_environment}):
        yield [
            *(text.removeprefix(PREFIX) for text in (in_environment, in_key, in_sibling)),
            "".join(map(str, labels)),
            ",".join(map(str, labels)),
            ", ".join(map(str, labels)),
        ]
