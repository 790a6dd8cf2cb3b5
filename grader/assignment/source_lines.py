"""The lines of an author's file that a mistake is about, found without running the file."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

from grader.text import did_you_mean

_ITEM = re.compile(r"item (\w+)")


def find_constructor_mistakes(file: Path, records: Mapping[str, type[Any]]) -> list[str]:
    """Return every record that a file calls with fields that it does not have, or without some.

    Args:
        file: the author's.
        records: the dataclasses by their names.
    """
    found = []
    for node in ast.walk(ast.parse(file.read_bytes())):
        name = _name_of(node.func) if isinstance(node, ast.Call) else ""
        if isinstance(node, ast.Call) and name in records:
            place = f"{file.name}:{node.lineno}"
            found += [
                f"{place}: {name}{each}" for each in _mistakes_of(node, fields(records[name]))
            ]
    return found


def _name_of(function: ast.expr) -> str:
    match function:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def _mistakes_of(call: ast.Call, known: Sequence[Field[Any]]) -> Iterator[str]:
    names = [each.name for each in known if each.init]
    given = [keyword.arg for keyword in call.keywords if keyword.arg is not None]
    for name in given:
        if name not in names:
            yield f".{name}: there is no such field{did_you_mean(name, names)}"
    is_whole = len(given) == len(call.keywords) and not any(
        isinstance(argument, ast.Starred) for argument in call.args
    )
    by_position = [each.name for each in known if each.init and not each.kw_only]
    taken = {*given, *by_position[: len(call.args)]}
    missing = [
        each.name
        for each in known
        if each.init
        and each.name not in taken
        and each.default is MISSING
        and each.default_factory is MISSING
    ]
    if is_whole and missing:
        yield f": {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"


def add_lines(mistakes: Sequence[str], file: Path) -> list[str]:
    """Return mistakes in items with the line where the item's part is first named."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return list(mistakes)
    lines: dict[str, int] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            lines[node.value] = min(node.lineno, lines.get(node.value, node.lineno))
    located = []
    for mistake in mistakes:
        match = _ITEM.match(mistake)
        line = lines.get(match[1]) if match else None
        located.append(f"{file.name}:{line}: {mistake}" if line else mistake)
    return located


def find_thresholds(text: str) -> dict[str, ast.Constant]:
    """Return the number of each item's last threshold in an assignment's source, by the item's id.

    Only items that stand as calls inside of their `Part(id="2A", …)` are found.
    """
    found = {}
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Call) or _name_of(node.func) != "Part":
            continue
        values = {keyword.arg: keyword.value for keyword in node.keywords}
        part = values.get("id")
        items = values.get("items")
        if not isinstance(part, ast.Constant) or not isinstance(items, ast.Tuple):
            continue
        part_id = str(part.value)
        for entry in items.elts:
            match entry:
                case ast.Tuple(elts=[ast.Constant(value=str(name)), ast.Call() as call]):
                    if number := _last_threshold(call):
                        found[f"{part_id}.{name}" if name else part_id] = number
    return found


def _last_threshold(item: ast.Call) -> ast.Constant | None:
    calls = [
        node
        for keyword in item.keywords
        if keyword.arg == "threshold"
        for node in ast.walk(keyword.value)
        if isinstance(node, ast.Call) and _name_of(node.func) == "Threshold"
    ]
    if not calls:
        return None
    last = max(calls, key=lambda call: (call.lineno, call.col_offset))
    named = [word.value for word in last.keywords if word.arg in {"accuracy", "rmse"}]
    number = next(iter([*last.args, *named]), None)
    return number if isinstance(number, ast.Constant) else None
