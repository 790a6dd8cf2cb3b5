"""README.md: the assignment in it loads, and its commands exist."""

import re
import shlex
from pathlib import Path

from grader.assignment.loading import load_assignment
from tests.cli.test_shell import unknown_options
from tests.support.paths import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_assignment_loads(tmp_path: Path):
    """The first file that an author copies has no mistake."""
    (code,) = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    (tmp_path / "small.py").write_text(code)
    assignment = load_assignment(str(tmp_path / "small.py"))
    assert assignment.points == 10
    assert [item_id for item_id, _ in assignment.item_ids()] == ["1A"]


def test_commands_exist():
    """No command that a reader copies ends in "no such option"."""
    lines = re.findall(r"^\$ (grade .*?)(?:\s+#.*)?$", README, re.MULTILINE)
    assert len(lines) > 10
    for line in lines:
        assert unknown_options(shlex.split(line)[1:]) == []
