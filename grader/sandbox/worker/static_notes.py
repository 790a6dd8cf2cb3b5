"""Find in a file's text, without running it, what its import does."""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

MAXIMUM_NOTES = 5
MAXIMUM_DETAIL = 80

_DATA_SET_CLASSES = frozenset(
    {"MNIST", "FashionMNIST", "KMNIST", "EMNIST", "QMNIST", "CIFAR10", "CIFAR100", "SVHN"}
)
_DOWNLOADS = frozenset(
    {"urlretrieve", "urlopen", "fetch_openml", "load_dataset", "download_and_extract_archive"}
)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def find_import_notes(source: bytes, file: str) -> list[dict[str, str]]:
    """Return notes of training loops and data sets at module level."""
    try:
        tree = ast.parse(source)
        notes = list(_notes_of(tree, file))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    return notes[:MAXIMUM_NOTES]


def find_bound_names(source: bytes) -> dict[str, int]:
    """Return the line that last binds each name at top level."""
    try:
        tree = ast.parse(source)
        return {name: line for statement in tree.body for name, line in bound_names(statement)}
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}


def bound_names(statement: ast.stmt) -> Iterator[tuple[str, int]]:
    """Yield the names that a statement binds outside functions and classes, with their lines."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield statement.name, statement.lineno
        return
    for node in ast.iter_child_nodes(statement):
        if isinstance(node, ast.stmt):
            yield from bound_names(node)
        elif isinstance(node, ast.alias):
            yield (node.asname or node.name).partition(".")[0], node.lineno
        elif isinstance(node, ast.expr):
            for inner in ast.walk(node):
                if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                    yield inner.id, inner.lineno


def find_shadows(submission: Path) -> list[dict[str, str]]:
    """Return notes of files named like an importable module, which wins over the file."""
    notes = []
    for path in sorted(submission.iterdir()):
        name = path.stem if path.suffix == ".py" else path.name
        if not (path.suffix == ".py" or (path / "__init__.py").is_file()):
            continue
        if name in sys.stdlib_module_names or name in sys.modules or _is_installed(name):
            location = f"{path.name}:1" if path.is_file() else f"{path.name}/__init__.py:1"
            notes.append({"kind": "shadow", "location": location, "detail": path.name})
    return notes[:MAXIMUM_NOTES]


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _notes_of(tree: ast.Module, file: str) -> Iterator[dict[str, str]]:
    functions = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    seen: set[str] = set()
    for call in _calls(tree):
        direct = _note_kind(call)
        found = direct or _kind_inside(call, functions, set())
        if found is not None and found not in seen:
            seen.add(found)
            detail = ast.unparse(call if direct else call.func) + ("" if direct else "()")
            yield {
                "kind": found,
                "location": f"{file}:{call.lineno}",
                "detail": " ".join(detail.split())[:MAXIMUM_DETAIL],
            }


def _calls(node: ast.AST) -> Iterator[ast.Call]:
    """Yield the calls that run with the node, not those in functions or a main guard."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, _FUNCTIONS) or is_main_guard(child):
            continue
        if isinstance(child, ast.Call):
            yield child
        yield from _calls(child)


def is_main_guard(node: ast.AST) -> bool:
    """Return True for `if __name__ == "__main__":`."""
    return (
        isinstance(node, ast.If)
        and isinstance(node.test, ast.Compare)
        and isinstance(node.test.left, ast.Name)
        and node.test.left.id == "__name__"
    )


def _note_kind(call: ast.Call) -> str | None:
    """Return the kind of note that a call deserves, or None."""
    function = call.func
    name = function.attr if isinstance(function, ast.Attribute) else ""
    name = function.id if isinstance(function, ast.Name) else name
    if isinstance(function, ast.Attribute) and name in {"backward", "step"}:
        return "training"
    downloads = any(
        keyword.arg == "download"
        and isinstance(keyword.value, ast.Constant)
        and keyword.value.value is True
        for keyword in call.keywords
    )
    return "dataset" if name in _DATA_SET_CLASSES | _DOWNLOADS or downloads else None


def _kind_inside(
    call: ast.Call, functions: dict[str, ast.FunctionDef], visited: set[str]
) -> str | None:
    """Return the kind of the first notable call in a function of the file that is called."""
    name = call.func.id if isinstance(call.func, ast.Name) else ""
    if name not in functions or name in visited:
        return None
    visited.add(name)
    kinds = (
        _note_kind(inner) or _kind_inside(inner, functions, visited)
        for inner in _calls(functions[name])
    )
    return next(filter(None, kinds), None)
