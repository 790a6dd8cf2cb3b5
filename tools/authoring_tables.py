"""Write the tables of docs/authoring.md from the records: `make tables`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any

import grader.assignment
from grader.assignment.constraints import Constraint
from grader.assignment.records import Item, ItemWithData
from grader.training.data_sources.embedded import EMBEDDED
from grader.training.data_sources.vision import KNOWN

DOCUMENT = Path(__file__).parents[1] / "docs" / "authoring.md"
_MARKED = re.compile(r"(<!-- tables -->\n).*(<!-- end of tables -->)", re.DOTALL)
_SET_BY_LOADER = {"facts", "tests_path", "tests_sha256", "directory"}


def write_tables() -> str:
    """Return the tables in Markdown."""
    records = [
        each
        for name in grader.assignment.__all__
        if isinstance(each := getattr(grader.assignment, name), type) and is_dataclass(each)
    ]
    items = [each for each in records if issubclass(each, Item)]
    constraints = [
        each for each in records if issubclass(each, Constraint) and each is not Constraint
    ]
    others = [each for each in records if each not in [*items, *constraints, Constraint]]
    common = {each.name for each in fields(Item)}
    with_data = {each.name for each in fields(ItemWithData)} - common - _SET_BY_LOADER
    own = _list(f"`{name}`" for name in sorted(with_data))
    by_name = _list(f"`{name!r}`" for name in ("mnist", *EMBEDDED))
    lines = [
        "Every item has `title`, `points` and `file`, the student's.",
        f"One with data also has {own}.",
        "",
        *_table(
            ("Item", "Is", "Own fields"),
            ((_name(each), _summary(each), _fields(each, common | with_data)) for each in items),
        ),
        "",
        *_table(
            ("Constraint", "Holds if"),
            ((_signature(each), _summary(each)) for each in constraints),
        ),
        "",
        *_table(
            ("Record", "Is", "Fields"),
            ((_name(each), _summary(each), _fields(each, set())) for each in others),
        ),
        "",
        f"Data sets by name: {by_name}.",
        f"`TorchvisionDataset` knows {_list(sorted(KNOWN))}.",
    ]
    return "\n".join(lines) + "\n"


def _name(record: type[Any]) -> str:
    return f"`{record.__name__}`"


def _list(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _summary(record: type[Any]) -> str:
    summary = (inspect.getdoc(record) or "").partition("\n\n")[0]
    return " ".join(summary.split())


def _own(record: type[Any], without: set[str]) -> Iterator[Field[Any]]:
    for each in fields(record):
        if each.init and each.name not in without | _SET_BY_LOADER:
            yield each


def _fields(record: type[Any], without: set[str]) -> str:
    return ", ".join(f"`{_with_default(each)}`" for each in _own(record, without))


def _signature(record: type[Any]) -> str:
    return f"`{record.__name__}({', '.join(map(_with_default, _own(record, set())))})`"


def _with_default(each: Field[Any]) -> str:
    if each.default is MISSING:
        return each.name
    if is_dataclass(each.default):
        return f"{each.name}={type(each.default).__name__}()"
    return f"{each.name}={each.default!r}"


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = [heads, ("---",) * len(heads), *rows]
    return [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in lines]


def with_tables(text: str) -> str:
    """Return a document with the tables of today between its marks."""
    return _MARKED.sub(lambda match: f"{match[1]}{write_tables()}{match[2]}", text)


if __name__ == "__main__":
    DOCUMENT.write_text(with_tables(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
