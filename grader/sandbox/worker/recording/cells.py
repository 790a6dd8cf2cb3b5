"""Read a program: the code cells of a notebook or one file, without what only IPython knows.

IPython's own transformer is not used: the sandbox may have no IPython, and its import takes half
a second for the four rules below (https://ipython.readthedocs.io, "IPython reference").
"""

from __future__ import annotations

import ast
import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from grader.sandbox.worker.source import decode_source

MAXIMUM_CELLS = 1000
NOTEBOOK = ".ipynb"

# Magics of a whole cell that run its body as Python; every other one is about another language.
_PYTHON_MAGICS = frozenset({"time", "timeit", "capture", "prun", "python", "python3", "pypy"})
_EXPORTED_CELL = re.compile(r"^# (?:In\s?\[[ \d]*\]:?|%%.*|<(?:code)?cell>)\s*$", re.MULTILINE)
_MAGIC = re.compile(
    r"(?P<indent>\s*)(?P<left>[\w., ]+=\s*)?(?:[%!]|\?+\w|(?:pip3?|conda|apt(?:-get)?) +install\b)"
)
# %time fit(10), with options such as -n 1: the statement itself is run.
_TIMED = re.compile(r"(\s*)%(?:time|timeit|prun|memit)\s+(?:-\w+(?:\s+\d+)?\s+)*([^\s\d-].*)")
_HELP = re.compile(r"\s*[\w.]+\?{1,2}\s*")
# In the order of trying: strings may hold brackets, comments may hold quotes.
_TOKEN = re.compile(
    r"\"{3}(?:[^\\]|\\.)*?(?:\"{3}|\Z)|'{3}(?:[^\\]|\\.)*?(?:'{3}|\Z)"
    r"|\"(?:[^\"\\\n]|\\.)*\"?|'(?:[^'\\\n]|\\.)*'?|#[^\n]*|\\\n|[(\[{]|[)\]}]|\n",
    re.DOTALL,
)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A piece of a program that Python compiles by itself.

    Attributes:
        number: of a notebook's cell, counted from 1 over all cells; 0 in a plain file.
        source: the code as it was handed in.
        first_line: of `source` in its file; 1 in a notebook.
    """

    number: int
    source: str
    first_line: int = 1


def read_cells(source: bytes, file: str) -> list[Cell]:
    """Return the code cells of a notebook in the grader's form, or a file as one cell.

    An export whose Python is not valid as a whole comes in the cells that its comments mark.

    Raises:
        StudentError: the file cannot be decoded.
    """
    if file.endswith(NOTEBOOK):
        return [
            Cell(number=int(cell["number"]), source=str(cell["source"]))
            for cell in json.loads(source)["cells"][:MAXIMUM_CELLS]
            if cell["kind"] == "code"
        ]
    text = decode_source(source, file)
    whole = Cell(number=0, source=text)
    if _is_python(without_magics(text)):
        return [whole]
    starts = [match.start() for match in _EXPORTED_CELL.finditer(text)][:MAXIMUM_CELLS]
    if not starts:
        return [whole]
    bounds = [0, *starts, len(text)]
    return [
        Cell(number=0, source=text[start:end], first_line=text.count("\n", 0, start) + 1)
        for start, end in itertools.pairwise(bounds)
    ]


def without_magics(source: str) -> str:
    """Return a cell with the lines that only IPython understands replaced, each line by a line."""
    if _is_python(source):
        return source
    lines = source.split("\n")
    first = next((index for index, line in enumerate(lines) if line.strip()), 0)
    if lines[first].startswith("%%"):
        words = lines[first][2:].split()
        if words[:1] == ["writefile"]:
            return f"open({words[-1]!r}, 'w').write({chr(10).join(lines[first + 1 :])!r})"
        if not words or words[0] not in _PYTHON_MAGICS:
            return ""
        lines[first] = ""
    starts = set(_logical_starts("\n".join(lines)))
    index = 0
    while index < len(lines):
        line = lines[index]
        if index in starts and (replaced := _without_magic(line)) is not None:
            lines[index] = replaced
            # A shell command may go on after a backslash.
            while line.endswith("\\") and index + 1 < len(lines):
                index += 1
                line, lines[index] = lines[index], ""
        index += 1
    return "\n".join(lines)


def _without_magic(line: str) -> str | None:
    """Return what stands for a line of IPython's, or None for a line of Python."""
    if timed := _TIMED.fullmatch(line):
        return timed[1] + timed[2]
    if magic := _MAGIC.match(line):
        assigned = f"{magic['left']}[]" if magic["left"] else "pass"
        return f"{magic['indent']}{assigned}"
    if _HELP.fullmatch(line):
        return f"{line[: len(line) - len(line.lstrip())]}pass"
    return None


def _logical_starts(source: str) -> Iterator[int]:
    """Yield the indices of the lines that begin a statement.

    A quote or bracket in a line of IPython's opens nothing.
    """
    yield 0
    position, line, depth = 0, 0, 0
    if _without_magic(source.partition("\n")[0]) is not None:
        position = max(0, source.find("\n"))
    while token := _TOKEN.search(source, position):
        text, position = token[0], token.end()
        if text in "([{":
            depth += 1
        elif text in ")]}":
            depth = max(0, depth - 1)
        line += text.count("\n")
        if text == "\n" and depth == 0:
            yield line
            next_line = source[position : (source.find("\n", position) + 1 or len(source) + 1) - 1]
            if _without_magic(next_line) is not None:
                position += len(next_line)


def _is_python(source: str) -> bool:
    try:
        ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
