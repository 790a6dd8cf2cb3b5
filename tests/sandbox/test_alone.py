"""Without a sandbox, each question has an interpreter of its own, and every one is answered."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from grader.errors import SandboxError, UsageError
from grader.intake.private_copy import collect
from grader.models.questions import Extraction, Question
from grader.sandbox.alone import describe_exit
from grader.sandbox.extract import ExtractionStoppedError, extract
from grader.sandbox.isolation import own_work
from grader.sandbox.isolation.choice import choose_sandbox
from grader.sandbox.isolation.own_work import OwnWork
from tests.submissions.asking import LIMITS, ask_all
from tests.support.paths import ROOT
from tests.support.processes import alive

FILES = {
    "prints": "import os\nprint('p→q')\nos.write(2, b'raw')\n"
    "def answer():\n    print('x' * 5000)\n    return [1, 2.5, 'ü']\n",
    "model": "import torch.nn as nn\ndef answer():\n    return nn.Sequential(nn.Linear(2, 3))\n",
    "endless": "def answer():\n    while True:\n        pass\n",
    "exits": "import os\ndef answer():\n    os._exit(7)\n",
    "crashes": "import os, signal\ndef answer():\n    os.kill(os.getpid(), signal.SIGSEGV)\n",
    "large": "import time\ndef answer():\n    kept = bytearray(800_000_000)\n    time.sleep(9)\n",
    "crowd": "import threading, time\ndef answer():\n"
    "    for _ in range(80):\n"
    "        threading.Thread(target=time.sleep, args=[9], daemon=True).start()\n"
    "    time.sleep(9)\n",
    "fails": "from pieces.helper import fail\ndef answer():\n    fail()\n",
    "after": "import os\ndef answer():\n    return sorted(os.listdir('.'))\n",
}
HELPER = {"pieces/__init__.py": "", "pieces/helper.py": "def fail():\n    raise KeyError(3)\n"}


def ask(name: str) -> Question:
    kind = "model" if name == "model" else "answer"
    return Question(id=name, kind=kind, file=f"{name}.py", function="answer")


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Extraction]:
    """One submission of all the files."""
    files = HELPER | {f"{name}.py": source for name, source in FILES.items()}
    questions = [ask(name) for name in FILES]
    return ask_all(tmp_path_factory.mktemp("alone"), files, questions, OwnWork(), LIMITS)


def test_answers(answers: dict[str, Extraction]) -> None:
    """A value and a model arrive, and what was printed at any level."""
    assert answers["prints"].value == (1, 2.5, "ü")
    output = answers["prints"].output
    assert "p→q" in output.text
    assert "raw" in output.text
    assert output.dropped_bytes > 3000
    assert answers["model"].model.model.layers[0].kind == "Linear"


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("endless", "limit", "no answer within 3 s"),
        ("exits", "exit", "exit status 7"),
        ("crashes", "crash", "died of SIGSEGV"),
        ("large", "limit", "more than 500 MB of memory"),
        ("crowd", "limit", "more than 48 processes and threads"),
        ("fails", "exception", "KeyError: 3"),
    ],
)
def test_failures(answers: dict[str, Extraction], name: str, kind: str, message: str) -> None:
    """Each failure costs its own question, and says why."""
    failure = answers[name].failure
    assert (failure.kind, message in failure.message) == (kind, True), failure


def test_locations(answers: dict[str, Extraction]) -> None:
    """Lines are told, also that of an endless loop."""
    assert answers["endless"].failure.location in {"endless.py:2", "endless.py:3"}
    assert answers["endless"].failure.phase == "call of answer()"
    assert answers["fails"].failure.location == "pieces/helper.py:2"


def test_empty_directory(answers: dict[str, Extraction]) -> None:
    """Each question finds only the submitted files in its working directory."""
    submitted = {name.partition("/")[0] for name in HELPER} | {f"{name}.py" for name in FILES}
    assert answers["after"].value == tuple(sorted(submitted))


def test_stopped(tmp_path: Path) -> None:
    """Ctrl-C ends a question at once."""
    (tmp_path / "endless.py").write_text(FILES["endless"])
    stop = threading.Event()
    with collect(tmp_path, ["endless.py"]) as submission:
        threading.Timer(3.0, stop.set).start()
        started = time.monotonic()
        with pytest.raises(ExtractionStoppedError):
            extract(
                submission,
                [ask("endless")],
                limits=replace(LIMITS, question_seconds=60.0),
                sandbox=OwnWork(),
                stop=stop,
            )
        assert time.monotonic() - started < 20


GRADER = """
import sys
from pathlib import Path
from grader.assignment.records import Limits
from grader.intake.private_copy import collect
from grader.models.questions import Question
from grader.sandbox.extract import extract
from grader.sandbox.isolation.own_work import OwnWork
question = Question(id="1", kind="answer", file="endless.py", function="answer")
with collect(Path(sys.argv[1]), ["endless.py"]) as submission:
    extract(submission, [question], limits=Limits(question_seconds=300.0), sandbox=OwnWork())
"""


def test_killed_grader(tmp_path: Path) -> None:
    """The interpreters, the one that answers and the one in waiting, end with the grader."""
    (tmp_path / "endless.py").write_text("open('here', 'w').close()\n" + FILES["endless"])
    with subprocess.Popen(
        [sys.executable, "-c", GRADER, str(tmp_path)],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path)},
    ) as grader:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("grader-scratch-*/scratch/here")):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        pids = [child.pid for child in psutil.Process(grader.pid).children(recursive=True)]
        grader.send_signal(signal.SIGKILL)
        grader.wait(timeout=30)
        while alive(pids):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_failed_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interpreter that does not load PyTorch is the machine's fault, with its last words."""
    (tmp_path / "after.py").write_text(FILES["after"])
    monkeypatch.setattr("grader.sandbox.extract.WORKER", "raise SystemExit('no {} torch')")
    with (
        collect(tmp_path, ["after.py"]) as submission,
        pytest.raises(SandboxError, match="it exited before it was ready\nno alone torch"),
    ):
        extract(submission, [ask("after")], limits=LIMITS, sandbox=OwnWork())


def test_windows_exit_codes() -> None:
    """What ends a process on Windows as a signal does elsewhere is told as one."""
    assert describe_exit(0xC0000005) == ("signalled", -signal.SIGSEGV)
    assert describe_exit(0xC0000409) == ("signalled", -signal.SIGABRT)
    assert describe_exit(0xFFFFFFFF)[0] == "signalled"
    assert describe_exit(3) == ("exited", 3)
    assert describe_exit(-9) == ("signalled", -9)


@pytest.mark.parametrize("variable", ["CI", "GITHUB_ACTIONS", "GITLAB_CI", "JENKINS_URL"])
def test_refused_in_continuous_integration(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where others' work is graded, no sandbox is no choice."""
    monkeypatch.setenv(variable, "true")
    with pytest.raises(UsageError, match=rf"--own-work is refused here: {variable} says"):
        choose_sandbox(own_work=True)


def test_refused_on_gradescope(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Gradescope's container has its directory at the top."""
    monkeypatch.setattr(own_work, "_GRADESCOPE", tmp_path)
    with pytest.raises(UsageError, match="is refused here"):
        choose_sandbox(own_work=True)


@pytest.mark.parametrize(("platform", "name"), [("darwin", "macOS"), ("win32", "Windows")])
def test_no_sandbox_elsewhere(platform: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line says what is missing and what to type."""
    monkeypatch.setattr(sys, "platform", platform)
    with pytest.raises(SandboxError) as caught:
        choose_sandbox()
    assert str(caught.value) == (
        f"{name} has no sandbox for student code. To grade your own work without one, add "
        "--own-work: grade . --own-work"
    )
    assert caught.value.next_step == ""
