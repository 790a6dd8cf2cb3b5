"""The parts of the worker that need no sandbox to be tried."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.sandbox.protocol import (
    END,
    HEADER,
    REPLY,
    Frame,
    FrameError,
    FrameReader,
    write_frame,
)
from grader.sandbox.worker import preload
from grader.sandbox.worker.failures import MAXIMUM_MESSAGE, explain_exception, safe_text, type_name
from grader.sandbox.worker.preload import preload_heavy_modules
from grader.sandbox.worker.scratch import count_files, empty
from grader.sandbox.worker.static_notes import find_import_notes, find_shadows
from tests.support.paths import ROOT

frames = st.lists(
    st.builds(Frame, kind=st.sampled_from([REPLY, END]), payload=st.binary(max_size=50))
)


@given(frames, st.integers(1, 20))
def test_frames_survive_any_cutting(sent: list[Frame], size: int) -> None:
    """However the stream is cut, the same frames come out."""
    stream = b"".join(HEADER.pack(f.kind, len(f.payload)) + f.payload for f in sent)
    reader = FrameReader({REPLY: 50, END: 50})
    received = [
        frame
        for start in range(0, len(stream), size)
        for frame in reader.feed(stream[start : start + size])
    ]
    assert received == sent


def test_unexpected_frames() -> None:
    """An unknown kind and an oversized frame are refused by their headers."""
    with pytest.raises(FrameError) as caught:
        list(FrameReader({END: 10}).feed(HEADER.pack(REPLY, 1)))
    assert not caught.value.oversized
    with pytest.raises(FrameError) as caught:
        list(FrameReader({REPLY: 10}).feed(HEADER.pack(REPLY, 2**32 - 1)))
    assert caught.value.oversized


def test_frames_are_written_whole() -> None:
    """A frame that was written can be read."""
    read_end, write_end = os.pipe()
    write_frame(write_end, REPLY, b"payload")
    os.close(write_end)
    with os.fdopen(read_end, "rb") as file:
        assert list(FrameReader({REPLY: 10}).feed(file.read())) == [
            Frame(kind=REPLY, payload=b"payload")
        ]


@pytest.mark.parametrize(
    ("source", "kind", "line"),
    [
        ("for _ in range(3):\n    loss.backward()\n    optimizer.step()\n", "training", 2),
        ("def train():\n    loss.backward()\ntrain()\n", "training", 3),
        ("def step():\n    loss.backward()\ndef train():\n    step()\ntrain()\n", "training", 5),
        ("if True:\n    data = datasets.MNIST('data')\n", "dataset", 2),
        ("from x import MNIST\nMNIST('.')\n", "dataset", 2),
        ("x = f(download=True)\n", "dataset", 1),
        ("urllib.request.urlretrieve('http://x')\n", "dataset", 1),
    ],
)
def test_work_at_import_is_noted(source: str, kind: str, line: int) -> None:
    """A loop that trains and a data set that is loaded are noted with their lines."""
    (note,) = find_import_notes(source.encode(), "problem_2.py")
    assert (note["kind"], note["location"]) == (kind, f"problem_2.py:{line}")
    assert note["detail"]


@pytest.mark.parametrize(
    "source",
    [
        "def train():\n    loss.backward()\n",
        "if __name__ == '__main__':\n    datasets.MNIST('.')\n",
        "class A:\n    def f(self):\n        loss.backward()\n",
        "f = lambda: datasets.MNIST('.')\n",
        "x = 'loss.backward()'\n",
        "f(download=False)\n",
        "def f(): g()\ndef g(): f()\nf()\n",
        "this is no Python",
        "\0",
        "(" * 1000,
    ],
)
def test_work_after_import(source: str) -> None:
    """Functions, main guards and texts do nothing at import."""
    assert find_import_notes(source.encode(), "problem_2.py") == []


def test_a_class_body_runs_at_import() -> None:
    """Statements directly in a class body run at import."""
    notes = find_import_notes(b"class A:\n    data = MNIST('.')\n", "problem_2.py")
    assert [note["location"] for note in notes] == ["problem_2.py:2"]


def test_shadows_are_found(tmp_path: Path) -> None:
    """Files and packages that are named like installed ones are found, others not."""
    for name in ("numpy.py", "random.py", "problem_1.py", "helper.py", "torch.txt"):
        (tmp_path / name).write_text("")
    (tmp_path / "json").mkdir()
    (tmp_path / "json" / "__init__.py").write_text("")
    (tmp_path / "string").mkdir()
    assert [note["detail"] for note in find_shadows(tmp_path)] == ["json", "numpy.py", "random.py"]


def test_preloaded_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the submission's runs, whatever it is called."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "evil.py").write_text("raise SystemExit")
    (tmp_path / "problem.py").write_text("import evil, helper\nfrom evil import torchvision\n")
    (tmp_path / "broken.py").write_text("import (")
    preload_heavy_modules(tmp_path)
    assert "evil" not in sys.modules


@pytest.mark.parametrize(
    ("line", "preloaded"),
    [
        ("import matplotlib.pyplot as plt", ["matplotlib.pyplot"]),
        ("    from matplotlib import pyplot", ["matplotlib.pyplot"]),
        ("from torchvision import transforms, utils", ["torchvision", "torchvision.transforms"]),
        ("import numpy as np, pandas", ["pandas"]),
        ("important = pandas", []),
        ("from pandas" + " import x" * 60_000, []),
    ],
    ids=["module", "from", "two", "comma", "no import", "too large"],
)
def test_named_modules_are_preloaded(
    line: str, preloaded: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However they are imported; a file that is too large for a student's is not read."""
    imported: list[str] = []
    monkeypatch.setattr(preload.importlib, "import_module", imported.append)
    (tmp_path / "problem.py").write_text(f"x = 1\n{line}\n")
    preload_heavy_modules(tmp_path)
    assert imported == preloaded


class LyingError(Exception):
    """An exception that lies about itself."""

    def __str__(self) -> str:
        raise KeyboardInterrupt


def test_lying_exceptions(tmp_path: Path) -> None:
    """A `__str__` that raises costs only the message."""
    explained = explain_exception(LyingError(), tmp_path, {})
    assert "LyingError" in explained.message
    assert safe_text(LyingError()) == "(its message cannot be shown)"


def test_messages_are_capped() -> None:
    """A long or many-lined message is cut and joined."""
    assert safe_text(ValueError("a\n" * 10_000)) == ("a " * MAXIMUM_MESSAGE)[:MAXIMUM_MESSAGE]


def test_names_of_lying_classes_are_true() -> None:
    """A metaclass cannot rename its class."""

    class Meta(type):
        @property
        def __name__(cls) -> str:
            raise KeyboardInterrupt

    assert type_name(Meta("Real", (), {})) == "Real"


ENDING = """
import os, time
from grader.sandbox.worker.processes import kill_descendants, exit_with_parent
exit_with_parent()
if os.fork() == 0:
    os.setsid()
    os.fork()
    time.sleep(60)
time.sleep(0.2)
kill_descendants()
try:
    os.waitpid(-1, os.WNOHANG)
except ChildProcessError:
    print("none left")
"""


def test_descendants_are_ended() -> None:
    """A daemon and its child are gone afterwards; tried in a process of no other children."""
    ended = subprocess.run([sys.executable, "-c", ENDING], stdout=subprocess.PIPE, check=True)
    assert ended.stdout == b"none left\n"


def test_abandoned_worker(tmp_path: Path) -> None:
    """It may be abandoned before anything watches over it; then it ends before PyTorch loads."""
    read_end, write_end = os.pipe()
    os.close(write_end)
    program = (
        "import grader.sandbox.worker.manager as m; m.main(); "
        "import sys; print('torch' in sys.modules)"
    )
    own = '{"processes": true, "shared_memory": true, "tasks_of_user": 3}'
    arguments = [str(ROOT), str(tmp_path), str(tmp_path), own]
    with os.fdopen(read_end) as commands:
        ended = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            stdin=commands,
            stderr=subprocess.PIPE,
            text=True,
            check=True,
        )
    # Standard output has become standard error, so that no print can look like a frame.
    assert ended.stderr == "False\n"


def test_scratch_is_emptied(tmp_path: Path) -> None:
    """Files, links and trees go; what cannot be deleted is told."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c").write_text("")
    (tmp_path / "link").symlink_to("/")
    assert empty(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert not empty(tmp_path / "absent")
    assert count_files(tmp_path) == 0
    assert count_files(Path("/")) >= 0
