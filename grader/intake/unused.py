"""Find the submitted files that no part of the assignment uses."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import PurePosixPath

from grader.intake.files import TIMESTAMP_FILE
from grader.intake.names import CODE, stem_of, suffix_of, words_of
from grader.intake.written import DOCUMENTS, NEVER_ANSWERS, TEXTS

_IMPORTS = re.compile(r"^[ \t]*(?:from|import)[ \t](.*)", re.MULTILINE)
_NAME = re.compile(r"\w+")


def find_unused(
    files: Iterable[str], code: Mapping[str, str], used: Collection[str], claimed: Collection[str]
) -> tuple[str, ...]:
    """Return the files of code, texts and documents that are not used.

    Args:
        files: the copied files.
        code: the text of each Python file, by name; a module that another imports is used.
        used: the files that stand for the assignment's files of code.
        claimed: the texts and documents of some part.
    """
    imported = {
        file: {name for line in _IMPORTS.findall(text) for name in _NAME.findall(line)}
        for file, text in code.items()
    }

    def is_used(file: str) -> bool:
        if file == TIMESTAMP_FILE:
            return True
        if suffix_of(file) not in CODE:
            return file in claimed or not NEVER_ANSWERS.isdisjoint(words_of(stem_of(file)))
        module = PurePosixPath(file).stem
        return (
            file in used
            or module == "__init__"
            or any(module in names for other, names in imported.items() if other != file)
        )

    return tuple(
        file for file in files if suffix_of(file) in CODE | TEXTS | DOCUMENTS and not is_used(file)
    )
