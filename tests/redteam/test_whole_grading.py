"""Whole submissions, from a directory of a hostile or awkward student to every report."""

from __future__ import annotations

import os
import shutil
import socket
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from grader.results import Outcome
from tests.redteam.grading import REFERENCE, Outputs, Page, check_inert, grade
from tests.redteam.secrets import planted_secrets
from tests.submissions.asking import find_sandbox

POISON = "\x1b[2J\x1b]0;PWNED\x07\u202e<script>alert(1)</script><img src=x onerror=alert(2)>"
ODD_NAMES = (
    b"-rf",
    b"--help",
    b"line\nbreak",
    b"\x1b[31mred",
    b"\x1b]0;title\x07",
    b"<img src=x onerror=alert(3)>",
    b"\xff\xfe",
    b"Twin",
    b"twin",
    unicodedata.normalize("NFC", "é").encode(),
    unicodedata.normalize("NFD", "é").encode(),
    "right\u202eleft".encode(),
    b"::error::x",
    b"$(touch x)",
    b"'; drop",
)
SHOWN_NAMES = (
    "-rf",
    "--help",
    "line\\nbreak",
    "\\x1b[31mred",
    "\\x1b]0;title\\x07",
    "<img src=x onerror=alert(3)>",
    "\\xff\\xfe",
    "Twin",
    "twin",
    "é",
    "right\\u202eleft",
    "::error::x",
    "$(touch x)",
    "'; drop",
)

HOSTILE = {
    "problem_1.py": f"""
        POISON = {POISON!r}
        def or_network():
            print(POISON)
            os.write(2, POISON.encode() + b"\\xff\\r\\n")
            return nn.Sequential(nn.Linear(2, 1), nn.ReLU(), type(POISON, (nn.ReLU,), {{}})())
        def xor_min_layers():
            return POISON
        def xor_network():
            raise type("E" + POISON, (Exception,), {{}})(POISON)
        """,
    "problem_2.py": f"""
        POISON = {POISON!r}
        def versions():
            return POISON, {{POISON: POISON}}
        def image_size():
            exec(compile("raise ValueError(POISON)", "/submission/" + POISON, "exec"), globals())
        def dataset_sizes():
            os._exit(0)
        def model_c():
            model = nn.Sequential()
            model.add_module("<b>\\x1b[1m", nn.Flatten())
            model.add_module("\\u202e", nn.Linear(784, 100))
            model.add_module("relu", nn.ReLU())
            model.add_module("last", nn.Linear(100, 10))
            return model
        def optimizer_c(model):
            model.append(nn.Linear(10, 10))
            return torch.optim.Adam(model.parameters())
        def training_c():
            return {{"epochs": 10**9, "mean": 10**400, "std": -0.0, POISON: 1}}
        def model_d():
            while True:
                time.sleep(1)
        def model_e():
            model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
            model[1].in_features = 10**400
            return model
        """,
    "problem_3.py": """
        def conv_parameters():
            return 10**400
        def conv_output_shape():
            return (28, 28, float("nan"))
        def average_pool():
            return [[[10**400, 0.5], [0.5, 0.3]]] * 4
        def max_pool():
            return None
        def model_g():
            os.kill(os.getppid(), 9)
        def dropout_sweep():
            return {p: 10**400 for p in range(10)}
        """,
}
HEADER = "import os, sys, time\nimport torch\nfrom torch import nn\n"
EXPECTED = {
    "1D": "failed",
    "1E.layers": "failed",
    "1E.network": "failed",
    "2A": "failed",
    "2B.image_size": "failed",
    "2B.dataset_sizes": "failed",
    "2C": "failed",
    "2D": "failed",
    "2E": "failed",
    "3B": "failed",
    "3C": "failed",
    "3D": "failed",
    "3E": "failed",
    "3G.model": "failed",
    "3G.sweep": "failed",
}
SAYS = {
    "1D": "is a class of its own",
    "1E.network": "Your code raised",
    "2B.dataset_sizes": "exit status 0",
    "2C": "parameters of another model",
    "2D": "no answer within 20 s",
    "2E": "in_features",
    "3E": "a `return` is missing",
    "3G.model": "was killed",
}
"""Texts of the failed checks."""


@pytest.fixture(scope="module", name="sandbox", autouse=True)
def need_sandbox() -> None:
    """Without a sandbox nothing here is tried."""
    find_sandbox()


def make_hostile(directory: Path) -> None:
    """A submission of hostile files, with hostile written answers and odd neighbours."""
    shutil.copytree(REFERENCE, directory)
    for name, source in HOSTILE.items():
        (directory / name).write_text(HEADER + dedent(source))
    (directory / "written" / "1A.md").write_text(
        f"# {POISON}\n\n[link](javascript:alert(4)) ![image](http://example.org/x.png)\n"
    )
    (directory / "written" / "1B.md").unlink()
    (directory / "written" / "1B.md").symlink_to("/etc/passwd")
    os.mkfifo(directory / "pipe")
    (directory / "linked.py").write_text("")
    os.link(directory / "linked.py", directory / "hard_link.py")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(directory / "sock"))
    for name in ODD_NAMES:
        # A named pipe is left out, so that its name comes into the report.
        os.mkfifo(os.fsencode(directory) + b"/" + name)


@pytest.fixture(scope="module", name="hostile")
def grade_hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Outputs, list[str]]]:
    """The hostile submission, graded beside planted secrets."""
    work = tmp_path_factory.mktemp("hostile")
    make_hostile(work / "mallory")
    with planted_secrets(work / "mallory") as secrets:
        yield grade(work / "mallory", work), secrets


@pytest.mark.slow
def test_hostile_answers(hostile: tuple[Outputs, list[str]]) -> None:
    """Each automatic item has the exact verdict, and says why."""
    outputs, _ = hostile
    outcomes = outputs.outcomes()
    assert {name: str(outcomes[name]) for name in EXPECTED} == EXPECTED
    for name, words in SAYS.items():
        assert words in outputs.told(name), outputs.told(name)
    assert outcomes["1C"] is Outcome.PENDING
    assert outcomes["1B"] is Outcome.FAILED


@pytest.mark.slow
def test_outputs_are_inert(hostile: tuple[Outputs, list[str]]) -> None:
    """Page, terminal and JSON hold its texts as texts, and none of the grader's secrets."""
    outputs, secrets = hostile
    check_inert(outputs)
    text = Page(outputs.html).text
    assert "<script>alert(1)</script>" in text
    everything = outputs.everything()
    assert not any(secret in everything for secret in secrets)


@pytest.mark.slow
def test_odd_files(hostile: tuple[Outputs, list[str]]) -> None:
    """Whatever their names, files that are none come into every output as text."""
    outputs, _ = hostile
    notes = {note.file: note.message for note in outputs.result.intake}
    assert "a named pipe" in notes["pipe"]
    assert "a socket" in notes["sock"]
    assert "hard link" in notes["hard_link.py"]
    assert "hard link" in notes["linked.py"]
    assert "symbolic link" in notes["written/1B.md"]
    text = Page(outputs.html).text
    for name in SHOWN_NAMES:
        assert name in notes
        assert name in text
    assert len(notes) >= len(ODD_NAMES) + 5


@pytest.mark.slow
def test_neighbour(tmp_path: Path, hostile: tuple[Outputs, list[str]]) -> None:
    """An honest student who is graded after a hostile one gets what the reference gets alone."""
    alone = grade(REFERENCE, tmp_path)
    make_hostile(tmp_path / "mallory")
    grade(tmp_path / "mallory", tmp_path)
    assert grade(REFERENCE, tmp_path).without_timing() == alone.without_timing()
    failed = [item.id for item in alone.result.items() if item.outcome is Outcome.FAILED]
    assert failed == []


AWKWARD_HELPER = "from torch import nn\ndef hidden(): return nn.ReLU()\n"
AWKWARD = """
import numpy as np
import helper
print("imported")

def or_network():
    print("building")
    network = nn.Sequential(nn.Linear(2, 1), helper.hidden())
    with torch.no_grad():
        network[0].weight.fill_(1.0)
        network[0].bias.zero_()
    return network

def xor_min_layers():
    return np.int64(2)

def xor_network():
    network = nn.Sequential(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), nn.Linear(2, 1))
    with torch.no_grad():
        network[0][0].weight.copy_(torch.tensor([[1.0, -1.0], [-1.0, 1.0]]))
        network[0][0].bias.zero_()
        network[1].weight.fill_(1.0)
        network[1].bias.zero_()
    return network

if __name__ == "__main__":
    raise SystemExit("trained for hours")
"""


def test_awkward_but_honest(tmp_path: Path) -> None:
    """A byte order mark, CRLF, a helper, numpy scalars, a main guard and prints cost nothing."""
    directory = tmp_path / "bob"
    shutil.copytree(REFERENCE, directory)
    source = (HEADER + AWKWARD).encode().replace(b"\n", b"\r\n")
    (directory / "problem_1.py").write_bytes(b"\xef\xbb\xbf" + source)
    (directory / "helper.py").write_text(AWKWARD_HELPER)
    with (directory / "problem_3.py").open("a") as file:
        file.write("\nimport numpy as np\ndef conv_parameters(): return np.array(608)\n")
    for written in (directory / "written").iterdir():
        text = written.read_bytes().replace(b"\n", b"\r\n")
        written.write_bytes(b"\xef\xbb\xbf" + text)
    outputs = grade(directory, tmp_path)
    failed = {item.id: outputs.told(item.id) for item in outputs.result.items()}
    assert [name for name, told in failed.items() if told] == []
    passed = {name for name, outcome in outputs.outcomes().items() if outcome is Outcome.PASSED}
    assert {"1D", "1E.layers", "1E.network", "2A", "3B", "3C", "3D", "3E"} <= passed
    (printed,) = outputs.items()["1D"].output
    assert printed.text == "imported\nbuilding\n"
    check_inert(outputs)
