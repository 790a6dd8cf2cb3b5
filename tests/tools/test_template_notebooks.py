"""The student template's notebooks say what its Python files say."""

from __future__ import annotations

import json

import pytest

from tools.template_notebooks import NOTEBOOKS, TEMPLATE, make_notebook


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook_is_made_from_the_python_file(name):
    written = (TEMPLATE / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8")
    assert written == make_notebook(name), "run make notebooks"


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook_defines_what_the_python_file_defines(name):
    notebook = json.loads(make_notebook(name))
    sources = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    in_notebook, in_file = {}, {}
    for source in sources[:-1]:  # the last cell trains
        exec(compile(source, name, "exec"), in_notebook)
    exec(compile((TEMPLATE / f"{name}.py").read_text(), name, "exec"), in_file)
    assert in_notebook.keys() - {"__doc__"} == in_file.keys() - {"__doc__"}
    compile(sources[-1], name, "exec")
