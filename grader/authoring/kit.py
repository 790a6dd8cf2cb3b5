"""The students' kit: the public half of an assignment, its visible tests, and files to begin with.

What is private is left out, and then looked for in everything that was written.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from grader.assignment.loading import (
    PRIVATE_HALF,
    author_files,
    bundled_assignments,
    home_of,
)
from grader.assignment.records import Assignment, FunctionsItem, WrittenItem
from grader.authoring.handout import write_handout
from grader.errors import UsageError
from grader.grading.items.comparison import format_value
from grader.models.questions import PlainValue
from grader.results import CheckResult

HOME, WORK = "assignment", "work"
_FILES = Path(__file__).parent / "kit_files"
_SHORTEST_SENTENCE = 20
_SHORTEST_VALUE = 3
"""Shorter values, such as 2, stand in any file by chance, and are not searched for."""


@dataclass(frozen=True, kw_only=True)
class Leak:
    """A private text in a file of the kit."""

    file: str
    line: int
    what: str


def make_kit(
    name: str,
    assignment: Assignment,
    template: Path,
    tests: Mapping[str, tuple[CheckResult, ...]],
    install: str,
) -> dict[str, bytes]:
    """Return the files of the kit by their paths.

    Args:
        name: of a bundled assignment, or the path of an author's.
        assignment: loaded with its key.
        template: the directory that students begin with.
        tests: of each item of functions, as they are rehearsed.
        install: what `pip install` is given.

    Raises:
        UsageError: the hidden tests of a file cannot be told from the others.
    """
    is_whole = name in bundled_assignments() and not _has_tests(assignment)
    where = name if is_whole else HOME
    files = {
        f"{WORK}/{path.relative_to(template)}": path.read_bytes()
        for path in sorted(template.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts and ".github" not in path.parts
    }
    in_workflow = name if is_whole else f"./{HOME}"
    words = {"TITLE": assignment.title, "INSTALL": install, "ASSIGNMENT": in_workflow}
    files |= {
        "README.md": _filled("README.md", words),
        "TASKS.md": write_handout(assignment).encode(),
        ".gitignore": _filled("gitignore", words),
        ".github/workflows/grade.yml": _filled("grade.yml", words),
        "grader.toml": f'assignment = "{where}"\n'.encode(),
    }
    if not is_whole:
        files |= {
            f"{HOME}/{path}": content
            for path, content in _public_files(name, assignment, tests).items()
        }
    return files


def _has_tests(assignment: Assignment) -> bool:
    return any(isinstance(item, FunctionsItem) for _, item in assignment.item_ids())


def _filled(name: str, words: Mapping[str, str]) -> bytes:
    text = (_FILES / name).read_text(encoding="utf-8")
    for word, value in words.items():
        text = text.replace(word, value)
    return text.encode()


def _public_files(
    name: str, assignment: Assignment, tests: Mapping[str, tuple[CheckResult, ...]]
) -> dict[str, bytes]:
    """Return the author's files that students may have, by their paths beside `assignment.py`."""
    found = author_files(name, assignment)
    if name in bundled_assignments():
        found = author_files(str(home_of(name)), assignment)
    contents = {path: file.read_bytes() for path, file in found.items() if path != PRIVATE_HALF}
    for item_id, item in assignment.item_ids():
        if isinstance(item, FunctionsItem):
            source = Path(item.tests_path).read_text(encoding="utf-8")
            contents[item.tests] = withhold_hidden(source, tests[item_id], item.tests).encode()
    return contents


def withhold_hidden(source: str, checks: Iterable[CheckResult], file: str) -> str:
    """Return a test file with one mark in place of all its hidden tests.

    Args:
        source: the author's test file.
        checks: its tests, as they are rehearsed.
        file: its name, for messages.

    Raises:
        UsageError: a test is hidden by something else than a mark above its function or class.
    """
    hidden = [check for check in checks if check.hidden]
    if not hidden:
        return source
    points = sum(check.score.possible for check in hidden if check.score)
    lines = source.splitlines()
    removed = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and _is_hidden(node):
            removed.add(node.name)
            first = min(each.lineno for each in node.decorator_list)
            lines[first - 1 : node.end_lineno] = [""] * ((node.end_lineno or first) - first + 1)
    for check in hidden:
        if removed.isdisjoint(re.split(r"[.\[]", check.id)):
            raise UsageError(
                f"{file}: {check.id} is hidden, but not by a mark above its function or class",
                next_step="write @pytest.mark.hidden above it, so that it can be left out",
            )
    kept = re.sub(r"\n{3,}", "\n\n\n", "\n".join(lines)).rstrip()
    return f"{kept}\n{_WITHHELD.format(points=f'{points:g}')}"


_WITHHELD = '''

@pytest.mark.points({points})
@pytest.mark.withheld
def test_hidden(student):
    """Hidden tests, which are run when the work is graded."""
'''


def _is_hidden(node: ast.FunctionDef | ast.ClassDef) -> bool:
    return any(ast.unparse(each).endswith("mark.hidden") for each in node.decorator_list)


def find_leaks(
    files: Mapping[str, bytes], assignment: Assignment, tests: Iterable[CheckResult]
) -> Iterator[Leak]:
    """Yield every private text that a file of the kit holds.

    Looked for are accepted values of three characters and more, sentences of model answers, rubrics
    and notes, and the names of hidden tests.
    """
    patterns = dict(_private_patterns(assignment, tests))
    for file, content in files.items():
        text = content.decode("utf-8", "replace")
        flat = " ".join(text.split())
        for what, pattern in patterns.items():
            if pattern.search(flat):
                lines = (
                    line for line, each in enumerate(text.splitlines(), 1) if pattern.search(each)
                )
                yield Leak(file=file, line=next(lines, 1), what=what)


def unsearched(assignment: Assignment) -> list[str]:
    """Return the ids of the answers whose values are too short to search for."""
    return [
        item_id
        for item_id, values in _accepted(assignment)
        if not any(_is_telling(value) for value in values)
    ]


def _private_patterns(
    assignment: Assignment, tests: Iterable[CheckResult]
) -> Iterator[tuple[str, re.Pattern[str]]]:
    for item_id, values in _accepted(assignment):
        for value in filter(_is_telling, values):
            yield f"an accepted value of {item_id}", _exactly(format_value(value, 10_000))
    for item_id, item in assignment.item_ids():
        if isinstance(item, WrittenItem):
            rubric = item.rubric
            texts = [rubric.model_answer, rubric.notes, *(each.text for each in rubric.items)]
            for text in texts:
                for sentence in re.split(r"(?<=[.:;])\s+", text.strip()):
                    if len(sentence) > _SHORTEST_SENTENCE:
                        yield (
                            f"the key of {item_id}: {sentence[:50]!r}",
                            re.compile(re.escape(" ".join(sentence.split()))),
                        )
    for check in tests:
        if check.hidden:
            name = re.split(r"\[", check.id)[0].rpartition(".")[2]
            yield f"the hidden test {name}", re.compile(rf"\b{re.escape(name)}\b")


def _exactly(text: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w.]){re.escape(text)}(?![\w]|\.\d)")


def _accepted(assignment: Assignment) -> Iterator[tuple[str, tuple[PlainValue, ...]]]:
    for item_id, item in assignment.item_ids():
        values = getattr(item, "accepted", ())
        if values:
            yield item_id, values


def _is_telling(value: PlainValue) -> bool:
    return len(format_value(value, 10_000)) >= _SHORTEST_VALUE


def write_files(files: Mapping[str, bytes], directory: Path, *, overwrite: bool = False) -> None:
    """Write files below a directory, which must be new or empty.

    Args:
        files: contents by relative paths.
        directory: where to write.
        overwrite: the directory may hold files, of which those of the same names are replaced.

    Raises:
        UsageError: the directory holds files.
    """
    if not overwrite and directory.exists() and any(directory.iterdir()):
        raise UsageError(f"{directory.name} is not empty", next_step="name a new directory")
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
