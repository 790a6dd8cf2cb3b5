"""Decode and compile a student's file, or explain why its Python or its encoding is invalid."""

from __future__ import annotations

import tokenize
import types
from io import BytesIO

from grader.sandbox.worker.failures import PYTHON, StudentError, locate, safe_text


def decode_source(source: bytes, file: str) -> str:
    """Return the text of a file.

    Raises:
        StudentError: its encoding is invalid.
    """
    encoding, unknown = "utf-8", ""
    try:
        encoding, _ = tokenize.detect_encoding(BytesIO(source).readline)
    except SyntaxError as error:
        unknown = safe_text(error)  # not UTF-8 in the first two lines, or an unknown encoding
    try:
        text = source.decode(encoding)
    except UnicodeDecodeError as error:
        line = source.count(b"\n", 0, error.start) + 1
        raise StudentError(
            "encoding",
            f"{file} is not valid {error.encoding}: line {line} holds the byte "
            f"0x{source[error.start]:02X}.",
            "Save the file as UTF-8, or name its encoding on the first line: # -*- coding: … -*-",
            location=f"{file}:{line}",
        ) from None
    if unknown:
        raise StudentError(
            "encoding",
            f"{file} cannot be decoded: {unknown}.",
            "Save the file as UTF-8, and remove the line that names another encoding.",
            location=f"{file}:1",
        )
    return text.replace("\r\n", "\n").replace("\r", "\n")


def compile_source(source: bytes, path: str, file: str) -> types.CodeType:
    """Compile a file whose code objects name `path`.

    Raises:
        StudentError: its Python or its encoding is invalid.
    """
    decode_source(source, file)
    try:
        return compile(source, path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as error:
        raise explain_syntax(error, file) from None


def explain_syntax(error: Exception, file: str, first_line: int = 1) -> StudentError:
    """Explain why text is not valid Python.

    Args:
        error: what compiling raised.
        file: for the location: "problem_2.py", or "problem_2.ipynb, cell 7".
        first_line: of the compiled text in the file.
    """
    if isinstance(error, SyntaxError):
        line = (error.lineno or 1) + first_line - 1
        return StudentError(
            "syntax",
            f"{file} is not valid {PYTHON}: {error.msg} (line {line}).",
            f"Correct that line. If your own Python accepts it, write it for {PYTHON}, which the "
            "grader runs.",
            location=locate(file, line),
            traceback_text=(error.text or "").rstrip()[:200],
        )
    return StudentError(
        "syntax",
        f"{file} is not valid Python: {safe_text(error)}.",
        "Check that the file is plain text and that its expressions are not nested deeply.",
        location=locate(file, first_line),
    )
