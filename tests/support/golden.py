"""Whole outputs against golden files.

`GRADER_WRITE_GOLDEN=1 pytest …` rewrites the files; `git diff tests/golden` then shows what
changed. Commit the new files only if every change is intended.
"""

import difflib
import os
import re

import pytest

from tests.support.paths import GOLDEN

_VARYING = (
    (re.compile(r"<(style|script)>.*?</\1>", re.DOTALL), r"<\1>…</\1>"),
    (re.compile(r"'sha256-[^']*'"), "'sha256-…'"),
    (re.compile(r"data:image/png;base64,[^\"]+"), "data:image/png;base64,…"),
    (re.compile(r"<math .*?</math>", re.DOTALL), "<math>…</math>"),
)
"""Parts of a page that other tests hold, or that depend on a library's version."""


def assert_golden(actual: str, name: str) -> None:
    """Fail with the difference if the text is not that of the golden file of that name."""
    path = GOLDEN / name
    if os.environ.get("GRADER_WRITE_GOLDEN"):
        path.write_text(actual, encoding="utf-8")
    expected = path.read_text(encoding="utf-8") if path.is_file() else ""
    if actual != expected:
        difference = difflib.unified_diff(
            expected.splitlines(),
            actual.splitlines(),
            f"tests/golden/{name}",
            "actual",
            lineterm="",
        )
        pytest.fail(
            "\n".join([*difference][:60])
            + "\nIf this change is intended, run this test with GRADER_WRITE_GOLDEN=1, and read "
            "git diff tests/golden before you commit.",
            pytrace=False,
        )


def stable_html(page: str) -> str:
    """A page without its style sheet, script, pictures and formulae, and without indentation."""
    for pattern, replacement in _VARYING:
        page = pattern.sub(replacement, page)
    return "".join(f"{line.strip()}\n" for line in page.splitlines() if line.strip())
