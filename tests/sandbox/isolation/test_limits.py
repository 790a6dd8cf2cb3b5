"""Every limit holds at its edge: inside it nothing happens, past it one question fails."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from grader.assignment.records import Limits
from grader.errors import MessageError
from grader.grading.items import model
from grader.models.questions import Extraction, Question
from grader.results import Outcome
from grader.sandbox.decode import decode_reply
from grader.sandbox.isolation.choice import Sandbox
from tests.submissions.asking import CANARY, ask_all, canary, check_canary, find_sandbox
from tests.support.item_samples import ITEMS, make_context
from tests.support.specs import mlp, model_extraction

TIGHT = Limits(
    question_seconds=20.0,
    submission_seconds=600.0,
    memory_bytes=300_000_000,
    processes=8,
    open_files=40,
    scratch_bytes=1_000_000,
    scratch_files=50,
    output_bytes=1000,
    message_bytes=80_000,
    message_depth=4,
    layers=3,
    parameters=50,
)
IMPORTS = "import os, signal, sys, threading, time\nimport torch\nfrom torch import nn\n"


@dataclass(frozen=True, kw_only=True)
class Edge:
    """A file that stays just inside a limit, or goes just past it.

    Attributes:
        limit: the field of `Limits`.
        name: unique.
        body: of the function that is asked; for a model, an expression.
        value: what is answered, where the limit is kept.
        says: what the failure must hold where it is not: the limit with its value.
        asked: "answer" or "model".
        at_import: the body runs when the file is imported.
    """

    limit: str
    name: str
    body: str
    value: Any = None
    says: tuple[str, ...] = ()
    asked: str = "answer"
    at_import: bool = False

    def source(self) -> str:
        """The file."""
        body = dedent(self.body).strip()
        if self.at_import:
            return f"{IMPORTS}{body}\ndef answer():\n    return 1\n"
        lines = "".join(f"    {line}\n" for line in body.splitlines())
        return f"{IMPORTS}def answer():\n{lines}"

    def question(self) -> Question:
        """The question that it is asked."""
        kind = "model" if self.asked == "model" else "answer"
        return Question(id=self.name, kind=kind, file=f"{self.name}.py", function="answer")


def inside(limit: str, name: str, body: str, value: Any, **others: Any) -> Edge:
    """Just inside a limit: it is answered."""
    return Edge(limit=limit, name=f"{name}_inside", body=body, value=value, **others)


def past(limit: str, name: str, body: str, *says: str, **others: Any) -> Edge:
    """Just past a limit: it fails."""
    return Edge(limit=limit, name=f"{name}_past", body=body, says=says, **others)


STAY = 10.0
"""Seconds for which what is past a limit stays, so that it is seen where it is only watched."""


def threads(count: int, seconds: float = 0.0) -> str:
    """Threads that run at once, beside the main one."""
    return f"""
        end = threading.Event()
        started = [threading.Thread(target=end.wait) for _ in range({count})]
        try:
            for thread in started:
                thread.start()
            time.sleep({seconds})
            return threading.active_count()
        finally:
            end.set()
        """


def forks(count: int, seconds: float = 0.0) -> str:
    """Processes that run at once, beside the first one."""
    return f"""
        for number in range({count}):
            if os.fork() == 0:
                time.sleep(60)
        time.sleep({seconds})
        return number + 2
        """


def files(count: int, size: int, seconds: float = 0.0) -> str:
    """Files of one size each."""
    return f"""
        for number in range({count}):
            with open(str(number), "wb") as file:
                file.write(bytes({size}))
        time.sleep({seconds})
        return sum(os.path.getsize(name) for name in os.listdir(".") if not os.path.islink(name))
        """


def nested(levels: int) -> str:
    """A number in lists, one in the other."""
    return f"return {'[' * levels}1{']' * levels}"


EDGES = (
    inside("memory_bytes", "memory", "return len(b'x' * 285_000_000)", 285_000_000),
    past("memory_bytes", "memory", "return len(b'x' * 300_000_001)", "300 MB of memory"),
    past(
        "memory_bytes",
        "tensor",
        "return int(torch.ones(75_000_001).sum())",
        "300 MB of memory",
        "call of answer()",
    ),
    past(
        "memory_bytes",
        "import",
        "data = [b'x' * 10_000_000 for _ in range(31)]",
        "300 MB of memory",
        "import of import_past.py",
        "load no data set",
        at_import=True,
    ),
    inside("processes", "threads", threads(7), 8),
    past("processes", "threads", threads(8, STAY), "8 processes and threads"),
    inside("processes", "forks", forks(7), 8),
    past("processes", "forks", forks(8, STAY), "8 processes and threads"),
    inside("open_files", "files", "while os.dup(0) < 39: pass\nreturn 39", 39),
    past("open_files", "files", "while os.dup(0) < 40: pass\nreturn 40", "40 files", "with block"),
    inside("scratch_bytes", "one_file", files(1, 1_000_000), 1_000_000),
    past("scratch_bytes", "one_file", files(1, 1_000_001), "1 MB of files"),
    inside("scratch_bytes", "three_files", files(3, 327_680), 983_040),
    past("scratch_bytes", "three_files", files(3, 350_000, STAY), "1 MB of files"),
    inside("scratch_files", "empty_files", files(50, 0), 0),
    past("scratch_files", "empty_files", files(51, 0, STAY), "more than 50 files"),
    inside("message_bytes", "values", "return [0] * 9_999", (0,) * 9_999),
    past("message_bytes", "values", "return [0] * 10_000", "10,000 values"),
    inside("message_bytes", "text", "return 'x' * 10_000", "x" * 10_000),
    past("message_bytes", "text", "return 'x' * 10_001", "10,000 characters"),
    past("message_bytes", "long_values", "return [1 / 3] * 9_000", "larger than 80 kB"),
    inside("message_depth", "lists", nested(4), ((((1,),),),)),
    past("message_depth", "lists", nested(5), "4 levels"),
    past("message_depth", "empty_lists", "return [[[[[]]]]]", "4 levels"),
    past("message_depth", "dicts", "return {1: {1: {1: {1: {}}}}}", "4 levels"),
    inside("layers", "layers", "return nn.Sequential(*[nn.ReLU()] * 3)", 3, asked="model"),
    past("layers", "layers", "return nn.Sequential(*[nn.ReLU()] * 4)", "3 layers", asked="model"),
    inside("parameters", "weights", "return nn.Sequential(nn.Linear(9, 5))", 1, asked="model"),
    past(
        "parameters",
        "weights",
        "return nn.Sequential(nn.Linear(50, 1))",
        "51 parameters",
        "at most 50",
        asked="model",
    ),
)  # fmt: skip

SLOW_LIMITS = replace(TIGHT, question_seconds=6.0, cpu_seconds=1)
SLOW_EDGES = (
    inside("question_seconds", "sleep", "time.sleep(5)\nreturn 1", 1),
    past("question_seconds", "sleep", "time.sleep(60)", "within 6 s", "sleep_past.py:"),
    inside(
        "cpu_seconds", "cpu", "while time.process_time() < 0.7: pass\nreturn 1", 1
    ),
    past("cpu_seconds", "cpu", "while True: pass", "1 s of processor time"),
    past(
        "cpu_seconds",
        "deaf",
        "signal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass",
        "1 s of processor time",
    ),
    past(
        "memory_bytes",
        "many",
        """
        for _ in range(3):
            if os.fork() == 0:
                break
        data = b'x' * 120_000_000
        time.sleep(60)
        """,
        "300 MB of memory",
    ),
)  # fmt: skip

TESTED_ELSEWHERE = {
    "output_bytes",
    "submission_seconds",
    "training_multiply_adds",
    # These two in tests/training/test_pool.py.
    "training_reference_epochs",
    "training_memory_bytes",
    "recording_seconds",
}
"""Limits with a test of their own below."""


def ask_edges(
    directory: Path, edges: tuple[Edge, ...], limits: Limits, sandbox: Sandbox
) -> dict[str, Extraction]:
    """One submission of all the files, with a canary after each."""
    asked = {f"{edge.name}.py": edge.source() for edge in edges} | {"canary.py": CANARY}
    questions = [
        question for edge in edges for question in (edge.question(), canary(f"after {edge.name}"))
    ]
    return ask_all(directory, asked, questions, sandbox, limits)


@pytest.fixture(scope="module", name="sandbox")
def choose() -> Sandbox:
    """The machine's sandbox."""
    return find_sandbox()


@pytest.fixture(scope="module", name="edges")
def ask_quick(tmp_path_factory: pytest.TempPathFactory, sandbox: Sandbox) -> dict[str, Extraction]:
    """The answers of `EDGES`."""
    return ask_edges(tmp_path_factory.mktemp("edges"), EDGES, TIGHT, sandbox)


@pytest.fixture(scope="module", name="slow_edges")
def ask_slow(tmp_path_factory: pytest.TempPathFactory, sandbox: Sandbox) -> dict[str, Extraction]:
    """The answers of `SLOW_EDGES`."""
    return ask_edges(tmp_path_factory.mktemp("edges"), SLOW_EDGES, SLOW_LIMITS, sandbox)


def check_edge(edge: Edge, extraction: Extraction) -> None:
    """The answer, or a failure that names the limit, its value and what to do."""
    failure = extraction.failure
    if not edge.says:
        assert failure is None, failure
        model = extraction.model
        answer = len(model.model.layers) if model is not None else extraction.value
        assert answer == edge.value
        return
    assert failure is not None, extraction
    assert failure.kind == "limit", failure
    told = f"{failure.phase}: {failure.message} {failure.next_step} {failure.location}"
    for words in edge.says:
        assert words in told, failure
    assert failure.next_step


@pytest.mark.parametrize("edge", EDGES, ids=lambda edge: edge.name)
def test_edge(edge: Edge, edges: dict[str, Extraction]) -> None:
    """Inside it is answered, past it fails in words, and the next question is answered."""
    check_edge(edge, edges[edge.name])
    check_canary(edges[f"after {edge.name}"])


@pytest.mark.slow
@pytest.mark.parametrize("edge", SLOW_EDGES, ids=lambda edge: edge.name)
def test_edge_of_time(edge: Edge, slow_edges: dict[str, Extraction]) -> None:
    """The same for limits that take their time."""
    check_edge(edge, slow_edges[edge.name])
    check_canary(slow_edges[f"after {edge.name}"])


def test_complete() -> None:
    """A limit that is added gets a test of its edge."""
    tested = {edge.limit for edge in (*EDGES, *SLOW_EDGES)}
    assert tested.isdisjoint(TESTED_ELSEWHERE)
    assert tested | TESTED_ELSEWHERE == {field.name for field in fields(Limits)}


def test_printed_text(tmp_path: Path, sandbox: Sandbox) -> None:
    """Text past the limit is counted, and costs nothing else."""
    sources = {
        f"print_{count}.py": f"def answer():\n    print('x' * {count}, end='')\n    return 1\n"
        for count in (1000, 1001)
    }
    questions = [Question(id=name, kind="answer", file=name, function="answer") for name in sources]
    answers = ask_all(tmp_path, sources, questions, sandbox, TIGHT)
    for name, dropped in (("print_1000.py", 0), ("print_1001.py", 1)):
        assert answers[name].value == 1
        output = answers[name].output
        assert output is not None
        assert (output.text, output.dropped_bytes) == ("x" * 1000, dropped)


@pytest.mark.parametrize("surplus", [0, 1])
def test_message_size(surplus: int) -> None:
    """A payload of exactly the limit is read, one byte more is refused unread."""
    reply = {"type": "answer", "value": 1, "location": "", "notes": []}
    payload = json.dumps(reply).encode()
    payload += b" " * (TIGHT.message_bytes - len(payload) + surplus)
    question = Question(id="1", kind="answer", file="a.py", function="f")
    if not surplus:
        assert decode_reply(question, payload, TIGHT).value == 1
        return
    with pytest.raises(MessageError, match="80,001 bytes"):
        decode_reply(question, payload, TIGHT)


@pytest.mark.slow
def test_submission_time(tmp_path: Path, sandbox: Sandbox) -> None:
    """Questions share it: what was answered in time counts, and the rest says why not."""
    limits = replace(TIGHT, submission_seconds=4.0)
    nap = "import time\ndef answer():\n    time.sleep(1.5)\n    return 1\n"
    questions = [
        Question(id=str(number), kind="answer", file="nap.py", function="answer")
        for number in range(4)
    ]
    answers = ask_all(tmp_path, {"nap.py": nap}, questions, sandbox, limits)
    assert [answers[number].value for number in ("0", "1")] == [1, 1]
    for number in ("2", "3"):
        failure = answers[number].failure
        assert failure is not None
        assert failure.kind == "limit"
        assert "4 s for all questions" in failure.message
        assert "loop" in failure.next_step


@pytest.mark.parametrize("surplus", [0, 1])
def test_training_work(surplus: int) -> None:
    """Work of exactly the budget is done; one multiply-add more fails with both figures."""
    work = (784 * 100 + 100 * 10) * 60_000 * 10 * 3
    context = make_context(extractions={"2C": model_extraction(mlp())})
    limits = Limits(training_multiply_adds=work - surplus)
    assignment = replace(context.setting.assignment, limits=limits)
    context.setting = replace(context.setting, assignment=assignment)
    found = model.check("2C", ITEMS["2C"], context)
    result = found if surplus else found.so_far
    (check,) = [check for check in result.checks if check.id == "work"]
    assert check.outcome is (Outcome.FAILED if surplus else Outcome.PASSED)
    assert "143 billion" in check.observed
    if surplus:
        assert "billion" in check.expected
        assert "smaller" in check.next_step
