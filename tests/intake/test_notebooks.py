"""Notebooks: every format that students hand in is read, and no hostile file costs much."""

from __future__ import annotations

import json
from typing import Any

import pytest

from grader.errors import SubmissionError
from grader.intake.notebooks import Cell, read_notebook, read_plain, write_plain


def notebook(*cells: dict[str, Any], **fields: Any) -> bytes:
    """A notebook of the newest format."""
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "cells": cells, **fields}).encode()


def code(source: Any, **fields: Any) -> dict[str, Any]:
    return {"cell_type": "code", "source": source, **fields}


def test_cells() -> None:
    """Cells keep their numbers; raw cells and outputs are left out; line ends are Python's."""
    content = notebook(
        {"cell_type": "markdown", "source": ["# 1A\n", "because"]},
        {"cell_type": "raw", "source": "skipped"},
        code("%time x = 1\r\ny = 2", outputs=[{"data": float("nan")}]),
    )
    cells = (
        Cell(number=1, kind="markdown", source="# 1A\nbecause"),
        Cell(number=3, kind="code", source="%time x = 1\ny = 2"),
    )
    assert read_notebook(content) == cells
    assert read_plain(write_plain(cells)) == cells


@pytest.mark.parametrize("version", [2, 3])
def test_earlier_formats(version: int) -> None:
    """Worksheets, inputs and heading cells become what they are today."""
    cells = [
        {"cell_type": "heading", "level": 2, "source": ["Part A"]},
        {"cell_type": "code", "input": ["x = 1\n", "y"], "language": "python", "outputs": []},
    ]
    content = json.dumps({"nbformat": version, "worksheets": [{"cells": cells}]}).encode()
    sources = [cell.source for cell in read_notebook(b"\xef\xbb\xbf" + content)]
    assert sources == ["## Part A", "x = 1\ny"]


DEEP = b"[" * 100_000 + b"]" * 100_000
MANY = b",".join([b'{"cell_type": "code"}'] * 200_000)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b" \n", "empty"),
        (b"\n<!DOCTYPE html><html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS"),
        (b"<<<<<<< HEAD\n{}", "merge conflict"),
        (b'{"nbformat": 4,\n"cells": [{"cell', "damaged: line 2"),
        (b"[]", "not a notebook"),
        (b'{"cells": []}', "not a notebook"),
        (b'{"nbformat": 1, "cells": []}', "format 1 is not supported"),
        (b'{"nbformat": 99, "cells": []}', "format 99 is not supported"),
        (b'{"nbformat": 4, "cells": [{"cell_type": "code", "source": {"a": 1}}]}', "not text"),
        ('{"nbformat": 4, "cells": [{"cell_type": "é"}]}'.encode("latin-1"), "not UTF-8|not a"),
        (b'{"nbformat": 4, "cells": [' + MANY + b"]}", "more than 2,000 cells"),
        (notebook(code("x" * 2_100_000)), "more than 2,000,000 bytes of text"),
        (b'{"nbformat": 4, "metadata": ' + DEEP + b"}", "nested too deeply"),
        (b'{"nbformat": 4, "NaN": NaN, "metadata": ' + DEEP + b"}", "nested too deeply"),
        (b'{"nbformat": 4, "cells": [{"cell_type": "code", "source": ' + DEEP + b"}]}", "nested"),
        (b'{"nbformat": ' + b"9" * 100_000 + b"}", "not a notebook"),
        (
            b'{"nbformat": 3, "worksheets": [{"cells": [{"cell_type": "", "level": 1000000000}]}]}',
            "not a notebook",
        ),
        (b"\xff" * 11_000_000, "not valid JSON"),
    ],
)
def test_refused(content: bytes, says: str) -> None:
    """What is no notebook, or too much of one, is said so."""
    with pytest.raises(SubmissionError, match=says):
        read_notebook(content)


@pytest.mark.parametrize(
    ("content", "source"),
    [
        (b'{"nbformat": 4, "x": ' + b"9" * 10_000 + b', "cells": [%s]}', "x = 1"),
        (b'{"nbformat": 4, "x": [NaN, -Infinity, 1e999, ' + b"9" * 10_000 + b'], "cells": [%s]}',
         "x = 1"),
        (b'{"nbformat": 4, "cells": [], "cells": [%s]}', "x = 1"),
        (b'{"nbformat": 4, "x": "\\ud800", "cells": [%s]}', "x = 1"),
    ],
)  # fmt: skip
def test_odd_but_read(content: bytes, source: str) -> None:
    """Huge numbers, NaN, half characters and a key twice do no harm; the last key counts."""
    cell = json.dumps(code(source)).encode()
    assert [each.source for each in read_notebook(content.replace(b"%s", cell))] == [source]
