"""Write the student template's notebooks from its Python files: `make notebooks`.

A function whose docstring begins with a part's id opens a cell, with the part as a heading above
it; the functions without an id that follow stay in that cell. Paragraphs about `train.py` are left
out: a notebook trains in its last cell, which is `problem_2_training.txt` and the like beside this
module.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

TEMPLATE = Path(__file__).parents[1] / "student_template"
NOTEBOOKS = ("problem_2", "problem_3")

_PART = re.compile(r"(\d[A-Z]) \(")
_RULER = re.compile(r"^# \d[A-Z]: .* -{9,}\n+", re.MULTILINE)
_TRAINING = """\
## Training

This cell is for your own eyes: it fetches MNIST and trains one of the models above. The grader
trains them itself, with seeds of its own.\
"""


def make_notebook(name: str) -> str:
    """Return the notebook of one of `NOTEBOOKS`, as JSON."""
    source = _RULER.sub("", (TEMPLATE / f"{name}.py").read_text(encoding="utf-8"))
    lines = source.splitlines()
    docstring, *statements = ast.parse(source).body
    parts: list[tuple[str, list[str]]] = [("", [])]
    start = docstring.end_lineno or 0
    waiting: list[str] = []
    for statement in statements:
        text = _without_training("\n".join(lines[start : statement.end_lineno]).strip("\n"))
        start = statement.end_lineno or 0
        if not isinstance(statement, ast.FunctionDef) and parts[-1][0]:
            waiting.append(text)  # a constant of the next part
            continue
        part = _PART.match(_docstring(statement))
        if part is not None and part[1] != parts[-1][0]:
            parts.append((part[1], []))
        parts[-1][1].extend([*waiting, text])
        waiting = []
    about = _without_training(ast.get_docstring(ast.parse(source)) or "")
    title, _, introduction = about.partition("\n\n")
    cells = [new_markdown_cell(f"# {title.rstrip('.')}\n\n{introduction}")]
    for part_id, texts in parts:
        if part_id:
            cells.append(new_markdown_cell(f"## {part_id}"))
        between = "\n\n\n" if part_id else "\n"
        cells.append(new_code_cell(between.join(texts)))
    training = Path(__file__).with_name(f"{name}_training.txt").read_text(encoding="utf-8")
    cells += [new_markdown_cell(_TRAINING), new_code_cell(training.strip())]
    for number, cell in enumerate(cells, start=1):
        cell.id = f"{name}-{number}"
    language = {"display_name": "Python 3", "language": "python", "name": "python3"}
    written: str = nbformat.writes(new_notebook(cells=cells, metadata={"kernelspec": language}))
    return written + "\n"


def main() -> None:
    """Write every notebook into the template."""
    for name in NOTEBOOKS:
        target = TEMPLATE / "notebooks" / f"{name}.ipynb"
        target.write_text(make_notebook(name), encoding="utf-8")


def _docstring(statement: ast.stmt) -> str:
    return (ast.get_docstring(statement) or "") if isinstance(statement, ast.FunctionDef) else ""


def _without_training(text: str) -> str:
    """Leave out the paragraphs that tell how to run `train.py`."""
    return "\n\n".join(each for each in text.split("\n\n") if "train.py" not in each)


if __name__ == "__main__":
    main()
