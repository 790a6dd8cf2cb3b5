"""Programs are cut into cells, and lines of IPython's are left out."""

from __future__ import annotations

import json

import pytest

from grader.sandbox.worker.recording.cells import Cell, read_cells, without_magics


@pytest.mark.parametrize(
    ("source", "meant"),
    [
        ("x = 1\n", "x = 1\n"),
        ("%matplotlib inline\nx = 1", "pass\nx = 1"),
        ("if x:\n    !pip install torch\n", "if x:\n    pass\n"),
        ("files = !ls *.py\ny = 1", "files = []\ny = 1"),
        ("model?\nx = 1", "pass\nx = 1"),
        ("?model", "pass"),
        ("nn.Linear??", "pass"),
        ("!wget \\\n  -q http://x\nx = 1", "pass\n\nx = 1"),
        ("!echo \"('\nx = 1", "pass\nx = 1"),
        ("%%time\nx = 1", "\nx = 1"),
        ("%%capture out\n!pip install x\nx = 1", "\npass\nx = 1"),
        ("%%bash\nls", ""),
        ("%%html\n<b>", ""),
        ("%%writefile net.py\nx = 1", "open('net.py', 'w').write('x = 1')"),
        ("!ls\nx = (1\n% 2)", "pass\nx = (1\n% 2)"),
        ('!ls\nx = """\n!ls\n%d""" % 1', 'pass\nx = """\n!ls\n%d""" % 1'),
        ("!ls\n# it's (\n%cd x\ny = 2", "pass\n# it's (\npass\ny = 2"),
        ("%time x = fit(\n10)", "x = fit(\n10)"),
        ("%timeit -n 1 -r 1 fit()", "fit()"),
        ("%timeit -n 1", "pass"),
        ("pip install torch\nx = 1", "pass\nx = 1"),
        ("mount('/drive')\n!ls\nx = (\"\")\n!ls", "mount('/drive')\npass\nx = (\"\")\npass"),
    ],
)
def test_magics(source: str, meant: str) -> None:
    """Each line of IPython's becomes a line of Python; text and operators stay."""
    assert without_magics(source) == meant


def test_notebook() -> None:
    """A notebook gives its code cells with their numbers."""
    cells = [
        {"number": 1, "kind": "markdown", "source": "# 2C"},
        {"number": 2, "kind": "code", "source": "x = 1"},
    ]
    source = json.dumps({"cells": cells}).encode()
    assert read_cells(source, "problem_2.ipynb") == [Cell(number=2, source="x = 1")]


def test_file() -> None:
    """A valid file is one cell, whatever its comments say."""
    source = b"# In[1]:\nx = 1\n# %%\ny = 2\n"
    assert read_cells(source, "p.py") == [Cell(number=0, source=source.decode())]


def test_broken_export() -> None:
    """An export with an invalid cell comes in its cells."""
    source = b"x = 1\n# In[2]:\nx =\n# In[ ]:\ny = 2\n"
    assert [(cell.first_line, cell.source) for cell in read_cells(source, "p.py")] == [
        (1, "x = 1\n"),
        (2, "# In[2]:\nx =\n"),
        (4, "# In[ ]:\ny = 2\n"),
    ]
