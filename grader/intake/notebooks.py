"""Notebooks that students hand in, read within bounds and kept in a plain form.

The plain form is JSON: `{"cells": [{"number": 1, "kind": "code", "source": "…"}, …]}`. The worker
in the sandbox runs it. msgspec skips outputs without building them, so a notebook of 50 MB costs
its text only; nbformat upgrades what is left of earlier formats.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import msgspec

from grader.errors import SubmissionError

SUFFIX = ".ipynb"
MAXIMUM_BYTES = 50_000_000
"""Of one notebook with its outputs."""

MAXIMUM_CELLS = 2_000
MAXIMUM_SOURCE_BYTES = 2_000_000
"""Of all cells together, as JSON; this much is kept."""

_MAXIMUM_REPAIRED_BYTES = 10_000_000
"""Python's own decoder builds the outputs too, in about 30 times their size."""

_OLDEST_FORMAT = 2
_NOTEBOOK_FORMAT = 4
_NOT_NOTEBOOKS = (
    (b"<<<<<<<", "it holds an unresolved merge conflict"),
    (b"<", "it is a web page, not a notebook"),
    (b"version https://git-lfs", "it is a Git LFS pointer, not the notebook itself"),
    (b"PK\x03\x04", "it is an archive, not a notebook"),
    (b"%PDF", "it is a PDF, not a notebook"),
)


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One cell of a notebook, or a whole Python file.

    Attributes:
        number: counted from 1 over all cells of the notebook; 0 for a Python file.
    """

    number: int
    kind: Literal["code", "markdown"]
    source: str


class _PlainNotebook(msgspec.Struct, frozen=True, kw_only=True):
    cells: tuple[Cell, ...]


class _FoundCell(msgspec.Struct):
    """The fields that count of a cell of any format; `input` and `level` are of format 3."""

    cell_type: str
    source: msgspec.Raw = msgspec.Raw(b'""')
    input: msgspec.Raw = msgspec.Raw(b'""')
    level: Annotated[int, msgspec.Meta(ge=1, le=6)] = 1


_FoundCells = Annotated[list[_FoundCell], msgspec.Meta(max_length=MAXIMUM_CELLS)]


class _Worksheet(msgspec.Struct):
    cells: _FoundCells = []


class _FoundNotebook(msgspec.Struct):
    nbformat: int
    nbformat_minor: int = 0
    cells: _FoundCells = []
    worksheets: Annotated[list[_Worksheet], msgspec.Meta(max_length=10)] = []


def read_notebook(content: bytes) -> tuple[Cell, ...]:
    """Return the code and Markdown cells of a notebook file; other cells count in the numbers.

    Raises:
        SubmissionError: the file is no notebook, or exceeds a limit; the message continues "left
            out: ".
    """
    content = content.removeprefix(b"\xef\xbb\xbf")
    if not content.strip():
        raise SubmissionError("it is empty")
    for start, reason in _NOT_NOTEBOOKS:
        if content.lstrip().startswith(start):
            raise SubmissionError(reason)
    found = _decode(content)
    if not _OLDEST_FORMAT <= found.nbformat <= _NOTEBOOK_FORMAT:
        raise SubmissionError(f"its notebook format {found.nbformat} is not supported")
    # Imported here: few submissions hold a notebook, and every start of the command would pay.
    import nbformat  # noqa: PLC0415

    upgraded = nbformat.convert(nbformat.from_dict(_as_mapping(found)), _NOTEBOOK_FORMAT)
    return tuple(
        Cell(number=number, kind=cell.cell_type, source=_with_newlines(cell.source))
        for number, cell in enumerate(upgraded.cells, start=1)
        if cell.cell_type in {"code", "markdown"}
    )


def write_plain(cells: tuple[Cell, ...]) -> bytes:
    """Return a notebook in the plain form."""
    return msgspec.json.encode(_PlainNotebook(cells=cells))


def read_plain(content: bytes) -> tuple[Cell, ...]:
    """Return the cells of a notebook in the plain form."""
    return msgspec.json.decode(content, type=_PlainNotebook).cells


def _decode(content: bytes) -> _FoundNotebook:
    try:
        return msgspec.json.decode(content, type=_FoundNotebook)
    except RecursionError:
        raise SubmissionError("it is nested too deeply") from None
    except msgspec.ValidationError as error:
        raise SubmissionError(_explain(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _decode_repaired(content)


def _decode_repaired(content: bytes) -> _FoundNotebook:
    """Decode a file that is JSON to Python, but not to msgspec: NaN in outputs, half characters."""
    if len(content) > _MAXIMUM_REPAIRED_BYTES:
        raise SubmissionError("it is damaged: it is not valid JSON")
    try:
        loaded = json.loads(
            content,
            parse_constant=lambda _: None,
            parse_float=lambda _: 0.0,
            parse_int=lambda text: int(text) if len(text) < 10 else 0,
        )
        strict = json.dumps(loaded, ensure_ascii=False).encode("utf-8", "replace")
        return msgspec.json.decode(strict, type=_FoundNotebook)
    except json.JSONDecodeError as error:
        raise SubmissionError(
            f"it is damaged: line {error.lineno} is not valid JSON ({error.msg})"
        ) from None
    except UnicodeDecodeError:
        raise SubmissionError("it is damaged: it is not UTF-8") from None
    except RecursionError:
        raise SubmissionError("it is nested too deeply") from None
    except msgspec.ValidationError as error:
        raise SubmissionError(_explain(error)) from None


def _explain(error: msgspec.ValidationError) -> str:
    message = str(error)
    if "length <=" in message:
        return f"it has more than {MAXIMUM_CELLS:,} cells"
    return f"it is not a notebook ({message[:1].lower()}{message[1:]})"


def _as_mapping(found: _FoundNotebook) -> dict[str, Any]:
    """Return the notebook as nbformat takes it, without outputs and metadata.

    Raises:
        SubmissionError: its cells are too many, too large, or not text.
    """
    worksheets = [worksheet.cells for worksheet in found.worksheets]
    cells = [cell for group in (found.cells, *worksheets) for cell in group]
    if len(cells) > MAXIMUM_CELLS:
        raise SubmissionError(f"it has more than {MAXIMUM_CELLS:,} cells")
    size = sum(len(memoryview(cell.source)) + len(memoryview(cell.input)) for cell in cells)
    if size > MAXIMUM_SOURCE_BYTES:
        raise SubmissionError(f"its cells have more than {MAXIMUM_SOURCE_BYTES:,} bytes of text")
    common: dict[str, Any] = {
        "nbformat": found.nbformat,
        "nbformat_minor": found.nbformat_minor,
        "metadata": {},
    }
    if found.nbformat == _NOTEBOOK_FORMAT:
        return common | {"cells": [_as_cell(cell) for cell in found.cells]}
    return common | {
        "worksheets": [
            {"cells": [_as_old_cell(cell) for cell in group], "metadata": {}}
            for group in worksheets
        ]
    }


def _as_cell(cell: _FoundCell) -> dict[str, Any]:
    return {"cell_type": cell.cell_type, "source": _text(cell.source), "metadata": {}}


def _as_old_cell(cell: _FoundCell) -> dict[str, Any]:
    if cell.cell_type == "code":
        own = {"input": _text(cell.input), "language": "python", "outputs": []}
        return {"cell_type": "code", "metadata": {}} | own
    level = {"level": cell.level} if cell.cell_type == "heading" else {}
    return _as_cell(cell) | level


def _text(raw: msgspec.Raw) -> str:
    try:
        text = msgspec.json.decode(raw, type=str | list[str])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise SubmissionError("it is not a notebook (a cell's source is not text)") from None
    return text if isinstance(text, str) else "".join(text)


def _with_newlines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")
