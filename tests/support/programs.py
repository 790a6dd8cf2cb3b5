"""Notebooks that tests hand in."""

from __future__ import annotations

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook


def notebook_of(*cells: str) -> str:
    """A notebook of code cells; a cell that begins with "#md " is Markdown."""
    made = [
        new_markdown_cell(cell.removeprefix("#md "))
        if cell.startswith("#md ")
        else new_code_cell(cell)
        for cell in cells
    ]
    return str(nbformat.writes(new_notebook(cells=made)))
