"""The template: files with stubs in place of the answers, made from an assignment's reference.

Regions between `# BEGIN SOLUTION` and `# END SOLUTION`, and lines that end in `# SOLUTION`, are cut
out of a file that has them, as by otter-grader; `### BEGIN SOLUTION` of nbgrader means the same. A
file without marks keeps its imports, and of each function its signature and docstring.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from grader.assignment.records import (
    ANSWER_MARKER,
    AnswerItem,
    Assignment,
    FunctionsItem,
    Item,
    ModelItem,
    SweepItem,
    TrainedModelItem,
    TruthTableItem,
    VersionsItem,
    WrittenItem,
)
from grader.authoring.handout import describe_task
from grader.errors import UsageError

YOUR_CODE = "# YOUR CODE"
_BEGIN = re.compile(r"^(\s*)#+\s*BEGIN SOLUTION\b", re.IGNORECASE)
_END = re.compile(r"^\s*#+\s*END SOLUTION\b", re.IGNORECASE)
_LINE = re.compile(r"#+\s*SOLUTION\s*$", re.IGNORECASE)
_ASSIGNED = re.compile(r"^(\s*[\w., \[\]]+=)")


def make_template(assignment: Assignment, reference: Path) -> dict[str, str]:
    """Return the files of a template by their names, except for weights.

    Args:
        assignment: whose files are made.
        reference: the directory of its solution; a file that is not there is made from the
            assignment alone.

    Raises:
        UsageError: a solution's marks do not match, or it cannot be parsed.
    """
    written = {
        item.file: f"{item.question}\n\n{ANSWER_MARKER}\n"
        for _, item in assignment.item_ids()
        if isinstance(item, WrittenItem)
    }
    of_code: dict[str, list[tuple[str, Item]]] = {}
    for item_id, item in assignment.item_ids():
        if item.suffix == ".py":
            of_code.setdefault(item.file, []).append((item_id, item))
    code = {file: _make_file(file, items, reference / file) for file, items in of_code.items()}
    return code | written


def _make_file(file: str, items: list[tuple[str, Item]], solution: Path) -> str:
    if not solution.is_file():
        return _from_items(file, items)
    text = solution.read_text(encoding="utf-8")
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise UsageError(f"{solution}, line {error.lineno}: {error.msg}") from error
    lines = text.splitlines()
    if any(_BEGIN.match(line) or _LINE.search(line) for line in lines):
        return "\n".join(_without_solutions(lines, solution)) + "\n"
    return _without_bodies(text, tree, items)


def _without_solutions(lines: list[str], solution: Path) -> Iterator[str]:
    """Yield the lines with a mark in place of each solution."""
    begun = 0
    for number, line in enumerate(lines, 1):
        if match := _BEGIN.match(line):
            if begun:
                raise UsageError(f"{solution}, line {number}: the solution of line {begun} goes on")
            begun = number
            yield f"{match[1]}{YOUR_CODE}"
            yield f"{match[1]}raise NotImplementedError"
        elif _END.match(line):
            if not begun:
                raise UsageError(f"{solution}, line {number}: no solution has begun")
            begun = 0
        elif begun:
            continue
        elif _LINE.search(line):
            indent = line[: len(line) - len(line.lstrip())]
            assigned = _ASSIGNED.match(line)
            yield f"{assigned[1]} ...  {YOUR_CODE}" if assigned else f"{indent}...  {YOUR_CODE}"
        else:
            yield line
    if begun:
        raise UsageError(f"{solution}, line {begun}: this solution has no END SOLUTION")


def _without_bodies(text: str, tree: ast.Module, items: list[tuple[str, Item]]) -> str:
    """Return a solution without helpers, constants and the bodies of its functions."""
    wanted = {name for _, item in items for name in _functions_of(item)}
    takes_all = any(isinstance(item, FunctionsItem) for _, item in items)
    docstring = ast.get_docstring(tree, clean=False)
    pieces = [f'"""{docstring}"""'] if docstring else []
    imports = [
        ast.get_source_segment(text, node) or ""
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    pieces += ["\n".join(imports)] if imports else []
    for node in tree.body:
        is_public = takes_all and not getattr(node, "name", "_").startswith("_")
        if isinstance(node, ast.FunctionDef) and (is_public or node.name in wanted):
            pieces.append("\n" + _stub(text, node))
        elif isinstance(node, ast.ClassDef) and is_public:
            head = text.splitlines()[node.lineno - 1]
            methods = [_stub(text, each) for each in node.body if isinstance(each, ast.FunctionDef)]
            pieces.append("\n" + "\n\n".join([f"{head}{_docstring_of(node, 4)}", *methods]))
    return "\n\n".join(pieces) + "\n"


def _stub(text: str, function: ast.FunctionDef) -> str:
    """Return a function's signature and docstring, with a mark in place of its body."""
    lines = text.splitlines()
    first = min([function.lineno, *(each.lineno for each in function.decorator_list)])
    head = lines[first - 1 : max(function.body[0].lineno - 1, function.lineno)]
    if function.body[0].lineno == function.lineno:  # all on one line
        head = [lines[function.lineno - 1][: function.body[0].col_offset].rstrip()]
    indent = function.col_offset + 4
    while head and not head[-1].strip():
        head.pop()
    body = f"{' ' * indent}{YOUR_CODE}\n{' ' * indent}raise NotImplementedError"
    return "\n".join(head) + _docstring_of(function, indent) + f"\n{body}"


def _docstring_of(node: ast.FunctionDef | ast.ClassDef, indent: int) -> str:
    docstring = ast.get_docstring(node, clean=False)
    return f'\n{" " * indent}"""{docstring}"""' if docstring else ""


def _functions_of(item: Item) -> list[str]:
    names = (getattr(item, name) for name in item.function_fields)
    return [name for name in names if name]


_ARGUMENTS = {"optimizer": "model", "scheduler": "optimizer"}


def _from_items(file: str, items: list[tuple[str, Item]]) -> str:
    """Return a file of stubs that the assignment alone describes."""
    pieces = [f'"""{PurePosixPath(file).name}: write your answers here."""']
    if any(isinstance(item, ModelItem | TrainedModelItem | TruthTableItem) for _, item in items):
        pieces.append("import torch\nfrom torch import nn")
    for item_id, item in items:
        task = "\n".join(f"    {line}" for line in describe_task(item))
        described = f'    """{item_id} ({item.points:g} points): {item.title}.\n\n{task}\n    """'
        if isinstance(item, FunctionsItem):
            pieces.append(f"\n# {item_id} ({item.points:g} points): {item.title}.")
        for number, field in enumerate(item.function_fields):
            name = getattr(item, field)
            if name and isinstance(item, KNOWN):
                head = f"\ndef {name}({_ARGUMENTS.get(field, '')}):\n"
                body = f"    {YOUR_CODE}\n    raise NotImplementedError"
                own = described if number == 0 else f'    """{item_id}: return your {field}."""'
                pieces.append(f"{head}{own}\n{body}")
    return "\n\n".join(pieces) + "\n"


KNOWN = (AnswerItem, ModelItem, SweepItem, TrainedModelItem, TruthTableItem, VersionsItem)
