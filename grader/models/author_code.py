"""The source of a class that an author wrote: a changed rule must change every digest."""

from __future__ import annotations

import ast
from functools import cache
from inspect import isfunction, unwrap
from pathlib import Path
from types import FunctionType, TracebackType

_PACKAGE = __name__.partition(".")[0]


def is_authors(kind: type) -> bool:
    """Return True for a class from outside the grader."""
    return kind.__module__.partition(".")[0] != _PACKAGE


@cache
def source_of(kind: type) -> str:
    """Return the source of a class with everything in its file that it uses, or "" if it has none.

    Functions, classes and constants of the same file belong to it, directly or through others; what
    it imports does not.
    """
    file = file_of(kind)
    try:
        text = Path(file).read_text(encoding="utf-8")
        statements = _by_name(ast.parse(text))
    except (OSError, ValueError, SyntaxError):
        return ""
    waiting, taken = [kind.__name__], dict[str, str]()
    while waiting:
        name = waiting.pop()
        if name in taken or name not in statements:
            continue
        taken[name] = ""
        for statement in statements[name]:
            taken[name] += (ast.get_source_segment(text, statement) or "") + "\n"
            waiting += [node.id for node in ast.walk(statement) if isinstance(node, ast.Name)]
    return "".join(taken[name] for name in sorted(taken))


def file_of(kind: type) -> str:
    """Return the file of a class's methods, or "" if there is none."""
    functions = (unwrap(each) for each in vars(kind).values() if isfunction(each))
    files = [each.__code__.co_filename for each in functions if isinstance(each, FunctionType)]
    # A dataclass has generated methods, whose file is "<string>".
    return next((file for file in files if not file.startswith("<")), "")


def _by_name(module: ast.Module) -> dict[str, list[ast.stmt]]:
    """Return the statements at the top of a file by the names that they define."""
    found: dict[str, list[ast.stmt]] = {}
    for statement in module.body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            names = [statement.name]
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            nodes = [node for target in targets for node in ast.walk(target)]
            names = [node.id for node in nodes if isinstance(node, ast.Name)]
        else:
            continue
        for name in names:
            found.setdefault(name, []).append(statement)
    return found


def place_of(error: BaseException, file: str) -> str:
    """Return "mine.py:14", the line of a file where an error arose, or the file's name alone."""
    lines = []
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            lines.append(trace.tb_lineno)
        trace = trace.tb_next
    if isinstance(error, SyntaxError) and error.filename == file and error.lineno:
        lines.append(error.lineno)
    name = Path(file).name
    return f"{name}:{lines[-1]}" if lines else name
