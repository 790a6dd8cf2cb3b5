"""What students install holds no key: neither accepted values nor model answers."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from grader.assignment.bundled.set4.key import KEY
from tests.support.paths import ROOT

pytestmark = pytest.mark.slow


def test_wheel(tmp_path: Path) -> None:
    """No file of the wheel has an accepted value or a sentence of a model answer."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", tmp_path, ROOT]
    subprocess.run(command, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        texts = [archive.read(name).decode("utf-8", "replace") for name in names]
    assert "grader/assignment/bundled/set4/assignment.py" in names
    assert "grader/assignment/bundled/set4/key.py" not in names
    together = "\n".join(" ".join(text.split()) for text in texts)
    assert not re.search(r"\b608\b", together)
    for item_id, rubric in KEY.rubrics:
        for sentence in re.split(r"(?<=[.:;])\s+", rubric.model_answer.strip()):
            if len(sentence) > 20:
                assert " ".join(sentence.split()) not in together, item_id
