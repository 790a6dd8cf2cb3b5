"""Attacks by files alone: notebooks, names and texts that no code of the student's ever runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from grader.assignment.bundled.set4 import ASSIGNMENT
from grader.assignment.records import ANSWER_MARKER
from grader.intake.private_copy import collect
from grader.intake.written import WrittenAnswer
from grader.grading.items import written
from grader.report.markdown import render_markdown
from tests.support.item_samples import ITEMS, make_context

FILES = ASSIGNMENT.files()
OTHER_NAMES = dict(ASSIGNMENT.file_names)
SECONDS = 20.0
"""Ten times what the slowest takes on an idle core."""

MAXIMUM_BYTES = 1_200_000_000
"""Of the whole process; a notebook of 50 MB as Python's own objects takes 2 GB."""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A submission with one honest file."""
    (tmp_path / "mallory").mkdir()
    (tmp_path / "mallory" / "problem_1.py").write_text("x = 1\n")
    return tmp_path / "mallory"


def cell(source: str = "x = 1") -> str:
    return json.dumps({"cell_type": "code", "source": source})


DEEP = "[" * 1_000_000 + "]" * 1_000_000
NOTEBOOKS = {
    "deep": '{"nbformat": 4, "metadata": %s, "cells": []}' % DEEP,
    "deep beside NaN": '{"nbformat": 4, "a": NaN, "metadata": %s, "cells": []}' % DEEP,
    "deep source": '{"nbformat": 4, "cells": [{"cell_type": "code", "source": %s}]}' % DEEP,
    "200,000 cells": '{"nbformat": 4, "cells": [%s]}' % ",".join([cell()] * 200_000),
    "many sheets": '{"nbformat": 3, "worksheets": [%s]}' % ",".join(['{"cells": []}'] * 500_000),
    "objects": '{"nbformat": 4, "outputs": [%s {}], "cells": []}' % ("{}," * 16_000_000),
    "objects beside NaN": '{"nbformat": 4, "a": NaN, "b": [%s {}]}' % ("{}," * 3_300_000),
    "too large": '{"nbformat": 4, "a": "%s"}' % ("x" * 50_000_000),
    "long source": '{"nbformat": 4, "cells": [%s]}' % cell("x" * 3_000_000),
    "many strings": '{"nbformat": 4, "cells": [{"cell_type": "code", "source": [%s ""]}]}'
    % ('"",' * 600_000),
    "huge number": '{"nbformat": %s, "cells": []}' % ("9" * 1_000_000),
    "huge level": '{"nbformat": 3, "worksheets": [{"cells": [{"cell_type": "heading", "level": '
    '99999999, "source": "x"}]}]}',
    "half character": '{"nbformat": 4, "cells": [{"cell_type": "code", "source": "\\ud800"}]}',
    "key twice": '{"nbformat": 4, "cells": 7, "nbformat": "x", "cells": [[]]}',
    "not UTF-8": b'{"nbformat": 4, "cells": [{"cell_type": "code", "source": "\xff"}]}',
    "null": "null",
    "NUL": "\0" * 1000,
}

READER = """
import resource, sys
from pathlib import Path
from grader.intake.private_copy import collect
limit = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
with collect(Path(sys.argv[1]), ["problem_1.py", "problem_2.py"]) as submission:
    print(submission.sources["problem_2.py"], *submission.notes)
"""


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_hostile_notebook(directory: Path, name: str) -> None:
    """A notebook takes bounded time and memory, and is read or named with the reason."""
    content = NOTEBOOKS[name]
    encoded = content if isinstance(content, bytes) else content.encode()
    (directory / "problem_2.ipynb").write_bytes(encoded)
    done = subprocess.run(
        [sys.executable, "-c", READER, directory, str(MAXIMUM_BYTES)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    is_read = done.stdout.startswith("('problem_2.ipynb',)")
    assert is_read or "problem_2.ipynb was left out" in done.stdout


@pytest.mark.parametrize("make", ["symlink", "hard link", "pipe", "directory"])
def test_no_ordinary_notebook(directory: Path, tmp_path: Path, make: str) -> None:
    """What is no regular file under a notebook's name is neither followed nor waited for."""
    secret, path = tmp_path / "secret.ipynb", directory / "problem_2.ipynb"
    secret.write_text('{"nbformat": 4, "cells": [%s]}' % cell("SECRET"))
    {
        "symlink": lambda: path.symlink_to(secret),
        "hard link": lambda: os.link(secret, path),
        "pipe": lambda: os.mkfifo(path),
        "directory": path.mkdir,
    }[make]()
    with collect(directory, FILES, OTHER_NAMES) as submission:
        assert submission.sources["problem_2.py"] == ()
        assert not any("SECRET" in file.read_text() for file in submission.root.rglob("*.*"))


def test_many_names(directory: Path) -> None:
    """Thousands of files that may all be meant are told in one short line, and soon."""
    for number in range(1_500):
        (directory / f"problem_2 ({number}).py").write_text(str(number))
    begun = time.monotonic()
    with collect(directory, FILES, OTHER_NAMES) as submission:
        failure = submission.explain_absence("problem_2.py")
    assert time.monotonic() - begun < SECONDS
    assert failure.kind == "unclear-file"
    assert len(failure.message) < 500


@pytest.mark.parametrize(
    "name",
    ["*set4*prob*2*.ipynb", "problem_[2].py", "problem_?.py", "..\\problem_2.py", "{problem_2}.py"],
)
def test_patterns_as_names(directory: Path, name: str) -> None:
    """A name that is a pattern matches nothing but itself."""
    (directory / name).write_text('{"nbformat": 4, "cells": []}')
    with collect(directory, FILES, OTHER_NAMES) as submission:
        found = {file for sources in submission.sources.values() for file in sources}
        assert found <= {"problem_1.py", name}


@pytest.mark.parametrize(
    "text",
    [
        "# " + "1" * 150_000,
        ">" * 190_000 + "1A",
        "*" * 190_000,
        "# (" + "(" * 190_000,
        "problem " * 24_000,
        "# 1" + " ." * 95_000 + "a",
        "\n".join(["# 1A"] * 38_000),
        "\n".join(["```"] * 47_000),
        "1A" + ":" * 190_000,
        "# 1a (" + "5" * 190_000 + " points)",
    ],
)
def test_headings_in_linear_time(directory: Path, text: str) -> None:
    """No text makes the search for headings slow."""
    (directory / "answers.md").write_text(text)
    begun = time.monotonic()
    with collect(directory, FILES, OTHER_NAMES) as submission:
        for file in submission.written:
            submission.read_written(file, ANSWER_MARKER)
    assert time.monotonic() - begun < SECONDS


@pytest.mark.parametrize(
    "name",
    [
        "<img src=x onerror=alert(1)>.pdf",
        "`](javascript:alert(1)).pdf",
        "\u202efdp.exe.pdf",
        "![](http:evil).jpg",
        "1A\x1b]0;owned\x07.pdf",
    ],
)
def test_names_of_documents(directory: Path, name: str) -> None:
    """The name of a document is shown, and does nothing."""
    (directory / name).write_bytes(b"%PDF")
    with collect(directory, FILES, OTHER_NAMES) as submission:
        found = submission.read_written("written/1A.md", ANSWER_MARKER)
    assert isinstance(found, WrittenAnswer)
    assert len(found.documents) == 1
    context = make_context(read_written=lambda _file, _below: found)
    result = written.check("1A", ITEMS["1A"], context)
    assert result.checks[0].observed.isprintable()
    page = str(render_markdown(result.written_text))
    assert "<img" not in page
    assert "href" not in page
