"""The rules of wording that a program can check."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.support.paths import ROOT

QUESTION_WORD = re.compile(r"(What|Whether|Who|Which|Why|How)\b")


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    """Every docstring of a module, those of constants included, with its line."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        body = getattr(node, "body", None)
        for statement in body if isinstance(body, list) else ():
            match statement:
                case ast.Expr(value=ast.Constant(value=str(text))):
                    yield statement.lineno, text


def test_docstrings():
    """No docstring of the grader begins with What, Whether, Who, Which, Why or How."""
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text.splitlines()[0]}"
        for path in sorted((ROOT / "grader").rglob("*.py"))
        for line, text in docstrings(path)
        if QUESTION_WORD.match(text.strip())
    ]
    assert found == []
