"""Every question is answered, whatever the submission does."""

from __future__ import annotations

import threading
from pathlib import Path

import psutil
import pytest

from grader.assignment.records import Limits
from grader.intake.private_copy import collect
from grader.models.questions import Extraction, ImportNote, PlainMapping, Question
from grader.models.spec import SchedulerSpec
from grader.sandbox.extract import ExtractionStoppedError, extract
from grader.sandbox.isolation.choice import Sandbox
from tests.submissions.asking import (
    CANARY,
    LIMITS,
    ask_all,
    canary,
    check_canary,
    find_sandbox,
    running_children,
)
from tests.submissions.broken import BROKEN, IMPORTS, Broken


@pytest.fixture(scope="session")
def sandbox() -> Sandbox:
    """The machine's sandbox."""
    return find_sandbox()


def question_of(broken: Broken) -> Question:
    """The question that a broken file is asked."""
    if broken.asked == "answer":
        return Question(id=broken.name, kind="answer", file=f"{broken.name}.py", function="answer")
    return Question(
        id=broken.name,
        kind="model",
        file=f"{broken.name}.py",
        function="answer",
        optimizer="optimizer",
        scheduler="scheduler",
        training="training",
    )


@pytest.fixture(scope="session")
def violent(tmp_path_factory: pytest.TempPathFactory, sandbox: Sandbox) -> dict[str, Extraction]:
    """One submission of all the broken files that take the worker down, a canary after each."""
    table = [broken for broken in BROKEN if broken.violent]
    files = {f"{broken.name}.py": broken.content() for broken in table}
    questions = [
        question
        for broken in table
        for question in (question_of(broken), canary(f"canary after {broken.name}"))
    ]
    directory = tmp_path_factory.mktemp("violent")
    return ask_all(directory, {**files, "canary.py": CANARY}, questions, sandbox)


def check_broken(broken: Broken, extraction: Extraction) -> None:
    """The failure is the expected one, and says what it must."""
    failure = extraction.failure
    if broken.role:
        assert extraction.model is not None, failure
        failure = dict(extraction.model.failures)[broken.role]
    assert failure is not None, extraction
    assert failure.kind == broken.kind, failure
    told = f"""{failure.phase}: {failure.message} {failure.next_step}
        {failure.location} {failure.traceback}"""
    for words in broken.says:
        assert words in told, failure
    assert failure.next_step
    assert failure.phase


@pytest.mark.parametrize(
    "broken", [b for b in BROKEN if not b.violent], ids=lambda broken: broken.name
)
def test_broken_file_fails_clearly(broken: Broken, extractions: dict[str, Extraction]) -> None:
    """A broken file fails its own question with a clear message."""
    check_broken(broken, extractions[broken.name])


def test_broken_files_leave_others_alone(extractions: dict[str, Extraction]) -> None:
    """After all of them an honest question is answered as ever."""
    check_canary(extractions["canary"])


@pytest.mark.slow
@pytest.mark.parametrize("broken", [b for b in BROKEN if b.violent], ids=lambda broken: broken.name)
def test_violent_file_fails_clearly(broken: Broken, violent: dict[str, Extraction]) -> None:
    """A file that takes the worker down fails its own question, and no other."""
    check_broken(broken, violent[broken.name])
    check_canary(violent[f"canary after {broken.name}"])


HONEST = rf"""
import helper, os, sys, threading, collections, enum, decimal
import numpy as np
{IMPORTS}
class Shade(enum.IntEnum):
    dark = 7
class Liar(int):
    def __eq__(self, other): return True
    def __int__(self): return 1000
    __index__ = __repr__ = __str__ = __hash__ = lambda self: 1000
class LiarList(list):
    def __iter__(self): return iter([0])
    def __len__(self): return 1
Point = collections.namedtuple("Point", "x y")
values = lambda: [None, True, 1, 1.0, -0.5, "text", [1, [2]], (1, 2), {{"a": 1, 2: [3.0]}}]
floats = lambda: [float("nan"), float("inf"), -float("inf"), 1e300, np.float32(0.5)]
integers = lambda: [2**63 - 1, -2**63, 2**64, -10**40, np.int8(-3), Shade.dark]
arrays = lambda: (np.eye(2), np.array(3), np.array([True]), np.array(["a"]), np.zeros((2, 0)))
tensors = lambda: (
    torch.eye(2), torch.tensor(3), nn.Parameter(torch.ones(2)), torch.tensor([True]),
    torch.ones(2, dtype=torch.bfloat16), torch.eye(2).to_sparse(), torch.empty(0, 3),
)
liars = lambda: (Liar(5), LiarList([1, 2]), Point(1, 2), collections.OrderedDict(a=1))
strings = lambda: ("é\u0000\x1b[31m\ud800", torch.__version__)
tensor = lambda: torch.zeros(4, 2, 2)
def helped(): return helper.VALUE
def printing():
    os.write(1, b"from C\n")
    print("from Python", file=sys.stderr)
    sys.__stdout__.write("\x1b[31mred\x1b[0m \xe9\n")
    return 1
def flood():
    for _ in range(1000):
        os.write(1, b"x" * 99_999 + b"\n")
    return 2
def daemon():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            while True:
                pass
    return 3
def threads():
    threading.Thread(target=lambda: [None for _ in iter(int, 1)]).start()
    return 4
def scratch():
    before = [name for name in os.listdir(".") if not os.path.islink(name)]
    with open("left", "w") as file:
        file.write("x" * 1000)
    os.makedirs("a/b/c")
    return before
def nothing(): return None
def defaults(a=1, *args, b=2, **kwargs): return a + b
if __name__ == "__main__":
    raise RuntimeError("the guard was run")
"""

EXPECTED: dict[str, object] = {
    "values": (
        None, True, 1, 1.0, -0.5, "text", (1, (2,)), (1, 2),
        PlainMapping(pairs=(("a", 1), (2, (3.0,)))),
    ),
    "integers": (2**63 - 1, -(2**63), 2**64, -(10**40), -3, 7),
    "arrays": (((1.0, 0.0), (0.0, 1.0)), 3, (True,), ("a",), ((), ())),
    "tensors": (
        ((1.0, 0.0), (0.0, 1.0)), 3, (1.0, 1.0), (True,), (1.0, 1.0), ((1.0, 0.0), (0.0, 1.0)), (),
    ),
    "liars": (5, (1, 2), (1, 2), PlainMapping(pairs=(("a", 1),))),
    "helped": "help",
    "printing": 1,
    "flood": 2,
    "daemon": 3,
    "threads": 4,
    "scratch": (),
    "defaults": 3,
}  # fmt: skip


@pytest.mark.parametrize("name", EXPECTED)
def test_values_arrive_exactly(name: str, extractions: dict[str, Extraction]) -> None:
    """Numbers keep their type, containers their content, and no subclass can lie."""
    extraction = extractions[name]
    assert extraction.failure is None
    assert extraction.answered
    assert extraction.value == EXPECTED[name]
    assert repr(extraction.value) == repr(EXPECTED[name])


def test_special_floats_arrive(extractions: dict[str, Extraction]) -> None:
    """NaN and the infinities arrive as themselves."""
    assert repr(extractions["floats"].value) == "(nan, inf, -inf, 1e+300, 0.5)"


def test_odd_strings(extractions: dict[str, Extraction]) -> None:
    """Control characters and lone surrogates are made visible, so that they can do nothing."""
    value = extractions["strings"].value
    assert isinstance(value, tuple)
    assert value[0] == "é\\x00\\ud800"


def test_latin_1(extractions: dict[str, Extraction]) -> None:
    """A file in another encoding than UTF-8 is fine if it says so."""
    assert extractions["latin"].value == "é"


def test_location_is_told(extractions: dict[str, Extraction]) -> None:
    """The report can say where the function is."""
    line = HONEST.splitlines().index("def helped(): return helper.VALUE") + 1
    assert extractions["helped"].location == f"honest.py:{line}"


def test_output_is_captured_at_every_level(extractions: dict[str, Extraction]) -> None:
    """Prints of Python and of C arrive together, without terminal control sequences."""
    output = extractions["printing"].output
    assert output is not None
    assert output.source == "honest.py: printing"
    assert output.text == "from C\nfrom Python\nred é\n"
    assert output.dropped_bytes == 0


def test_flood_of_output_is_cut(extractions: dict[str, Extraction]) -> None:
    """A hundred megabytes of prints cost nothing but themselves."""
    output = extractions["flood"].output
    assert output is not None
    assert len(output.text) == LIMITS.output_bytes
    assert output.dropped_bytes == 100_000_000 - LIMITS.output_bytes


def test_scratch_is_emptied(extractions: dict[str, Extraction]) -> None:
    """Each question finds only the submitted files in its scratch directory."""
    assert extractions["scratch again"].value == ()


def test_optional_functions_may_be_missing(extractions: dict[str, Extraction]) -> None:
    """An optional function that is missing, returns None, or has no file, is no failure."""
    for name in ("optional", "optional none", "no file"):
        assert not extractions[name].answered
        assert extractions[name].failure is None


def test_shadowing_file(extractions: dict[str, Extraction]) -> None:
    """A student's torch.py is never imported in place of PyTorch."""
    assert extractions["tensors"].failure is None
    note = ImportNote(kind="shadow", location="torch.py:1", detail="torch.py")
    assert note in extractions["tensors"].notes


MODELS = f"""
{IMPORTS}
from torch.nn.utils import parametrize
relu = nn.ReLU()
shared = nn.Linear(4, 4)
class Mine(nn.Linear): pass
class Linear(nn.Linear): pass
def with_(layer, change):
    change(layer)
    return layer
plain = lambda: nn.Sequential(
    nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), relu, nn.Sequential(nn.Sequential(relu)),
    nn.Conv2d(1, 8, 3, padding="same"), nn.BatchNorm2d(8, momentum=None), nn.MaxPool2d(2),
    nn.AvgPool2d((2, 1)), nn.Dropout(0.25), nn.LayerNorm([3, 2]), nn.Softmax(dim=1),
    nn.AdaptiveAvgPool2d(1), nn.Linear(3, 2, bias=False),
)
def computed():
    import numpy as np
    return nn.Sequential(
        nn.Linear(np.prod((1, 28, 28)), torch.tensor(96)), nn.Dropout(np.float32(0.5)),
        nn.Conv2d(np.array(1), np.int8(8), (np.int64(3), 5)), nn.LayerNorm(np.array([3, 2])),
    )
class Half(nn.Module):
    def forward(self, weight): return weight / 2
irregular = lambda: nn.Sequential(*[
    nn.ReLU().eval(),
    Mine(4, 4),
    Linear(4, 4),
    nn.GRU(4, 4),
    nn.AvgPool2d(2, divisor_override=3),
    shared,
    shared,
    with_(nn.Linear(4, 4), lambda l: setattr(l, "weight", shared.weight)),
    with_(nn.Linear(4, 4), lambda l: l.register_forward_pre_hook(lambda *_: None)),
    with_(nn.Linear(4, 4), lambda l: l.weight.register_hook(lambda g: 2 * g)),
    with_(nn.Linear(4, 4), lambda l: setattr(l, "forward", lambda x: x)),
    with_(nn.Linear(4, 4), lambda l: l.requires_grad_(False)),
    nn.Linear(4, 4).double(),
    nn.Linear(4, 4, device="meta"),
    nn.LazyLinear(4),
    with_(nn.ReLU(), lambda l: l.register_parameter("w", nn.Parameter(torch.ones(1)))),
    with_(nn.ReLU(), lambda l: l.register_buffer("b", torch.ones(1))),
    with_(nn.Linear(4, 4), lambda l: setattr(l, "weight", nn.Parameter(torch.ones(8, 4)))),
    with_(nn.ReLU(), lambda l: l.add_module("inside", nn.Linear(9, 9))),
    with_(nn.Linear(4, 4), lambda l: parametrize.register_parametrization(l, "weight", Half())),
    with_(nn.Linear(4, 4), torch.nn.utils.weight_norm),
    nn.LayerNorm(3, bias=False),
    with_(nn.LayerNorm(3), lambda l: l.register_parameter("weight", None)),
    nn.MaxPool2d(2, return_indices=True),
    nn.MaxPool1d(2, return_indices=True),
])
def norms():
    layers = [nn.BatchNorm1d(3), nn.BatchNorm2d(3), nn.LayerNorm(3)]
    layers += [nn.BatchNorm1d(3), nn.BatchNorm2d(3), nn.LayerNorm(3, bias=False)]
    for layer in layers[3:5]:
        layer.register_parameter("bias", None)
    layers += [nn.BatchNorm1d(3, affine=False), nn.BatchNorm2d(3, affine=False)]
    layers += [nn.LayerNorm(3, elementwise_affine=False)]
    return nn.Sequential(*layers)
def optimizer(model):
    groups = [{{"params": model[0].parameters(), "lr": 0.5}}, {{"params": model[1].parameters()}}]
    return torch.optim.SGD(groups, lr=0.1, momentum=0.9, nesterov=True)
def scheduler(optimizer): return torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 5, 5])
def training(): return {{"epochs": 3, "batch_size": 64}}
def no_scheduler(optimizer): return None
def two(): return nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2, bias=False))
def adam(model):
    return torch.optim.Adam(model.parameters(), betas=(0.5, 0.75), decoupled_weight_decay=True)
def weighted():
    model = nn.Sequential(nn.Linear(2, 1), nn.BatchNorm1d(1))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, 2.0]]))
    return model
"""

IRREGULAR = (
    ("ReLU", "evaluation", ""),
    ("Mine", "subclass", "derived from Linear"),
    ("models.Linear", "subclass", "derived from Linear"),
    ("GRU", "unknown", ""),
    ("AvgPool2d", "unknown", "divisor_override"),
    ("Linear", None, ""),
    ("Linear", "shared", "the same object as layer 5"),
    ("Linear", "shared", "its weight is 5.weight"),
    ("Linear", "hook", "forward pre hook"),
    ("Linear", "hook", "on weight"),
    ("Linear", "override", "forward"),
    ("Linear", "frozen", "weight"),
    ("Linear", "dtype", "torch.float64"),
    ("Linear", "device", "meta"),
    ("LazyLinear", "lazy", ""),
    ("ReLU", "parameters", "w"),
    ("ReLU", "parameters", "b"),
    ("Linear", "parameters", "weight has shape (8, 4), not (4, 4)"),
    ("ReLU", "parameters", "a layer inside it: inside"),
    ("ParametrizedLinear", "parametrization", "weight"),
    ("Linear", "hook", "forward pre hook"),
    ("LayerNorm", None, ""),
    ("LayerNorm", "parameters", "weight is missing"),
    ("MaxPool2d", "unknown", "return_indices"),
    ("MaxPool1d", "unknown", "return_indices"),
)


def honest_questions() -> list[Question]:
    """A question for each function of the honest file, and for what may be missing."""
    names = [*EXPECTED, "floats", "strings", "tensor"]
    return [
        *(Question(id=name, kind="answer", file="honest.py", function=name) for name in names),
        Question(id="scratch again", kind="answer", file="honest.py", function="scratch"),
        Question(id="latin", kind="answer", file="latin.py", function="answer"),
        Question(id="optional", kind="answer", file="honest.py", function="absent", optional=True),
        Question(
            id="optional none", kind="answer", file="honest.py", function="nothing", optional=True
        ),
        Question(id="no file", kind="answer", file="absent.py", function="absent", optional=True),
    ]


def model_questions() -> list[Question]:
    """A question for each model."""
    return [
        *(
            Question(id=name, kind="model", file="models.py", function=name)
            for name in ("plain", "irregular", "norms", "computed")
        ),
        Question(
            id="two",
            kind="model",
            file="models.py",
            function="two",
            optimizer="optimizer",
            scheduler="scheduler",
            training="training",
        ),
        Question(
            id="adam",
            kind="model",
            file="models.py",
            function="two",
            optimizer="adam",
            scheduler="no_scheduler",
        ),
        Question(
            id="default", kind="model", file="models.py", function="two", scheduler="scheduler"
        ),
        Question(id="weighted", kind="model", file="models.py", function="weighted", weights=True),
    ]


@pytest.fixture(scope="session")
def extractions(
    tmp_path_factory: pytest.TempPathFactory, sandbox: Sandbox
) -> dict[str, Extraction]:
    """One submission of everything that leaves the worker alive, asked once for all tests."""
    table = [broken for broken in BROKEN if not broken.violent]
    files: dict[str, str | bytes] = {
        **{f"{broken.name}.py": broken.content() for broken in table},
        "honest.py": b"\xef\xbb\xbf" + HONEST.encode().replace(b"\n", b"\r\n"),
        "helper.py": "VALUE = 'help'\n",
        "latin.py": "# -*- coding: latin-1 -*-\ndef answer(): return '\xe9'\n".encode("latin-1"),
        "torch.py": "raise RuntimeError('shadow')\n",
        "models.py": MODELS,
        "canary.py": CANARY,
    }
    questions = [
        *map(question_of, table),
        *honest_questions(),
        *model_questions(),
        canary("canary"),
    ]
    return ask_all(tmp_path_factory.mktemp("submission"), files, questions, sandbox)


def test_computed_sizes(extractions: dict[str, Extraction]) -> None:
    """A NumPy number and a tensor of one value count as the number they are."""
    extracted = extractions["computed"].model
    assert extracted is not None, extractions["computed"].failure
    linear, dropout, convolution, norm = (layer.arguments for layer in extracted.model.layers)
    assert (linear["in_features"], linear["out_features"]) == (784, 96)
    assert dropout["p"] == 0.5
    assert convolution["out_channels"] == 8
    assert convolution["kernel_size"] == (3, 5)
    assert norm["normalized_shape"] == (3, 2)


def test_plain_model(extractions: dict[str, Extraction]) -> None:
    """Nested Sequentials are flattened, and every argument is read."""
    extracted = extractions["plain"].model
    assert extracted is not None
    layers = extracted.model.layers
    assert all(layer.irregularity is None for layer in layers)
    assert [layer.path for layer in layers] == [
        "0.0", "0.1", "1", "2.0.0", "3", "4", "5", "6", "7", "8", "9", "10", "11",
    ]  # fmt: skip
    arguments = {layer.kind: layer.arguments for layer in layers}
    assert arguments["Conv2d"] == {
        "in_channels": 1,
        "out_channels": 8,
        "kernel_size": (3, 3),
        "stride": (1, 1),
        "padding": "same",
        "dilation": (1, 1),
        "groups": 1,
        "bias": True,
        "padding_mode": "zeros",
    }
    assert arguments["BatchNorm2d"]["momentum"] is None
    assert arguments["Dropout"] == {"p": 0.25, "inplace": False}
    assert arguments["LayerNorm"]["normalized_shape"] == (3, 2)
    assert arguments["Linear"] == {"in_features": 3, "out_features": 2, "bias": False}


def test_irregular_layers_are_named(extractions: dict[str, Extraction]) -> None:
    """Whatever makes a layer another thing than its class and arguments say has its code."""
    extracted = extractions["irregular"].model
    assert extracted is not None, extractions["irregular"].failure
    layers = extracted.model.layers
    assert [(layer.kind, layer.irregularity) for layer in layers] == [
        (kind, irregularity) for kind, irregularity, _ in IRREGULAR
    ]
    for layer, (_, _, detail) in zip(layers, IRREGULAR, strict=True):
        assert detail in layer.irregularity_detail


def test_parameters_of_normalisation(extractions: dict[str, Extraction]) -> None:
    """Each is ordinary with or without a bias; one that is not affine has none."""
    extracted = extractions["norms"].model
    assert extracted is not None, extractions["norms"].failure
    layers = extracted.model.layers
    assert [layer.irregularity for layer in layers] == [None] * 9
    assert [layer.arguments["bias"] for layer in layers] == [True] * 3 + [False] * 6
    assert extracted.model.count_parameters() == 3 * 6 + 3 * 3


def test_optimizer_groups(
    extractions: dict[str, Extraction],
) -> None:
    """Every group has its own settings and the flattened model's names."""
    extracted = extractions["two"].model
    assert extracted is not None
    assert extracted.failures == ()
    assert extracted.optimizer is not None
    assert extracted.optimizer.kind == "SGD"
    first, second = extracted.optimizer.groups
    assert first.parameters == ("0.weight", "0.bias")
    assert second.parameters == ("1.weight",)
    assert (first.settings["lr"], second.settings["lr"]) == (0.5, 0.1)
    assert first.settings["nesterov"] is True
    assert extracted.scheduler == SchedulerSpec(
        kind="MultiStepLR", arguments={"milestones": (3, 5, 5), "gamma": 0.1}
    )
    assert extracted.training == PlainMapping(pairs=(("epochs", 3), ("batch_size", 64)))


def test_scheduler_of_the_default_optimizer(extractions: dict[str, Extraction]) -> None:
    """A scheduler is taken without an optimiser of the student's."""
    extracted = extractions["default"].model
    assert extracted is not None
    assert (extracted.failures, extracted.optimizer) == ((), None)
    assert extracted.scheduler is not None
    assert extracted.scheduler.kind == "MultiStepLR"


def test_decoupled_adam_is_adamw(extractions: dict[str, Extraction]) -> None:
    """Adam with decoupled weight decay is described as what it is."""
    extracted = extractions["adam"].model
    assert extracted is not None
    if extracted.failures:
        pytest.skip("this PyTorch has no decoupled_weight_decay")
    assert extracted.optimizer is not None
    assert extracted.optimizer.kind == "AdamW"
    assert extracted.scheduler is None
    assert extracted.optimizer.groups[0].settings["betas"] == (0.5, 0.75)


def test_weights_come_as_safetensors(extractions: dict[str, Extraction]) -> None:
    """Weights that were asked for arrive, buffers included."""
    import safetensors.numpy

    extracted = extractions["weighted"].model
    assert extracted is not None
    assert extracted.model.weights is not None
    weights = safetensors.numpy.load(extracted.model.weights)
    assert weights["0.weight"].tolist() == [[1.0, 2.0]]
    assert "1.running_mean" in weights
    assert extractions["plain"].model is not None
    assert extractions["plain"].model.model.weights is None


def test_unusable_files(tmp_path: Path, sandbox: Sandbox) -> None:
    """A file that is not there, or is a link, fails its own question and says why."""
    (tmp_path / "linked.py").symlink_to("/etc/passwd")
    questions = [
        Question(id="missing", kind="answer", file="missing.py", function="f"),
        Question(id="linked", kind="answer", file="linked.py", function="f"),
    ]
    answers = ask_all(tmp_path, {}, questions, sandbox)
    assert answers["missing"].failure is not None
    assert answers["missing"].failure.kind == "missing-file"
    assert answers["linked"].failure is not None
    assert answers["linked"].failure.kind == "unreadable-file"
    assert "symbolic link" in answers["linked"].failure.message


def test_total_time_is_limited(tmp_path: Path, sandbox: Sandbox) -> None:
    """When a submission's time is used up, the questions that remain say so."""
    limits = Limits(question_seconds=30.0, submission_seconds=0.5)
    loop = "def answer():\n    while True: pass\n"
    questions = [canary("first"), canary("second"), canary("third")]
    answers = ask_all(tmp_path, {"canary.py": loop}, questions, sandbox, limits)
    for answer in answers.values():
        assert answer.failure is not None
        assert answer.failure.kind == "limit"
        assert "0.5 s for all questions" in answer.failure.message


@pytest.mark.slow
def test_processor_time_is_limited(tmp_path: Path, sandbox: Sandbox) -> None:
    """Processor time has a limit of its own, and its message names it."""
    limits = Limits(question_seconds=30.0, cpu_seconds=1)
    loop = "def answer():\n    while True: pass\n"
    answers = ask_all(tmp_path, {"canary.py": loop}, [canary("loop")], sandbox, limits)
    failure = answers["loop"].failure
    assert failure is not None
    assert failure.kind == "limit"
    assert "1 s of processor time" in failure.message


def test_extraction_can_be_stopped(tmp_path: Path, sandbox: Sandbox) -> None:
    """Setting the event ends the extraction and every process of it."""
    (tmp_path / "canary.py").write_text("def answer():\n    while True: pass\n")
    before = {process.pid for process in psutil.process_iter()}
    stop = threading.Event()
    limits = Limits(question_seconds=60.0)

    def stop_soon(question: Question) -> None:
        threading.Timer(0.5, stop.set).start()

    with (
        collect(tmp_path, ["canary.py"]) as submission,
        pytest.raises(ExtractionStoppedError),
    ):
        extract(
            submission,
            [canary("loop")],
            limits=limits,
            sandbox=sandbox,
            on_question=stop_soon,
            stop=stop,
        )
    assert running_children(before) == []


def test_questions_are_announced_in_order(tmp_path: Path, sandbox: Sandbox) -> None:
    """The caller hears of every question before it is asked."""
    (tmp_path / "canary.py").write_text(CANARY)
    announced: list[str] = []
    questions = [canary("a"), canary("b")]
    with collect(tmp_path, ["canary.py"]) as submission:
        extract(
            submission,
            questions,
            limits=LIMITS,
            sandbox=sandbox,
            on_question=lambda question: announced.append(question.id),
        )
    assert announced == ["a", "b"]
