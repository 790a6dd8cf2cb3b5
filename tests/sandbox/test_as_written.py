"""Code is taken as students write it: variables, plain classes, files beside it."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from grader.models.questions import Extraction, PlainMapping, Question
from tests.submissions.asking import ask_all, find_sandbox

IMPORTS = "import torch\nimport torch.nn.functional as F\nfrom torch import nn, optim\n"
VARIABLES = f"""{IMPORTS}
image_size = (28, 28)
model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
if True:
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    scheduler = optim.lr_scheduler.StepLR(optimizer, 2)
training = {{"epochs": 3}}
"""
NET = f"""{IMPORTS}
class Net(nn.Module):
    def __init__(self, hidden=20):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3)
        self.body = nn.Sequential(nn.BatchNorm2d(4), nn.ReLU())
        self.pool = nn.MaxPool2d(2, 2)
        self.left_over = nn.Linear(1, 1)
        self.layers = nn.ModuleList([nn.Linear(676, hidden), nn.Linear(hidden, hidden)])
        self.fc = nn.Linear(hidden, 10)
        self.relu = nn.ReLU()
        for layer in self.layers:
            nn.init.xavier_uniform_(layer.weight)
    def forward(self, x, verbose=False):
        assert x.dim() == 4
        if verbose:
            print(x.shape)
        x = self.pool(F.relu(self.body(self.conv1(x))))
        x = x.view(-1, self.count_features(x))
        for layer in self.layers:
            x = self.relu(layer(x))
        x = F.dropout(x, 0.25, training=self.training)
        x = self.fc.forward(x)
        return F.log_softmax(x, dim=1)
    def count_features(self, x):
        count = 1
        for size in x.size()[1:]:
            count *= size
        return count
model = Net
def optimizer(model): return optim.SGD(model.parameters(), lr=0.1)
"""
CHAIN = [
    "Conv2d",
    "BatchNorm2d",
    "ReLU",
    "ReLU",
    "MaxPool2d",
    "Flatten",
    "Linear",
    "ReLU",
    "Linear",
    "ReLU",
    "Dropout",
    "Linear",
    "LogSoftmax",
]
FORMS = {
    "reshape": "return self.fc(torch.relu(x.reshape(x.shape[0], -1)))",
    "flatten": "x = torch.flatten(x, 1).float(); return self.fc(F.relu(x, inplace=True))",
    "image": "x = x.view(-1, 1, 28, 28); return self.fc(nn.Flatten()(x).relu())",
    "squeeze": "x = x.squeeze().flatten(start_dim=1); return self.fc(F.relu(x).to('cpu'))",
}
FILES = {
    "variables.py": VARIABLES,
    "net.py": NET,
    "subclass.py": f"{IMPORTS}class Net(nn.Sequential): pass\nmodel = Net(nn.ReLU(), nn.Tanh())\n",
    "initialised.py": (
        f"{IMPORTS}def model():\n    net = nn.Sequential(nn.Linear(2, 2))\n"
        "    net[0].weight.data = torch.ones(2, 2)\n    return net\n"
    ),
    "copied.py": (
        f"{IMPORTS}import copy\nmodel = copy.deepcopy(nn.Sequential(nn.Linear(2, 2)))\n"
    ),
    "src/inner.py": (
        "import helper, os, random\nfrom pathlib import Path\n"
        "def text(): return Path('notes.txt').read_text() + str(helper.VALUE)\n"
        "def hashed(): return hash('layers') % 1000\n"
        "def write():\n"
        "    Path('notes.txt').write_text('new')\n"
        "    return Path('notes.txt').read_text()\n"
    ),
    "src/helper.py": "VALUE = 7\n",
    "src/notes.txt": "note ",
    "saved.py": f"{IMPORTS}def model(): return torch.load('saved.pt', weights_only=False)\n",
    "relative.py": "from .src import helper\n",
    "newer.py": "x: int = 1\ntype X =\n",
    "newer_library.py": "from itertools import missing_here\n",
} | {
    f"{name}.py": (
        f"{IMPORTS}class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        f"        self.fc = nn.Linear(784, 10)\n    def forward(self, x):\n        {body}\n"
        "model = Net()\n"
    )
    for name, body in FORMS.items()
}  # fmt: skip


def _model(name: str) -> Question:
    roles = {role: role for role in ("optimizer", "scheduler", "training")}
    return Question(id=name, kind="model", file=f"{name}.py", function="model", **roles)


def _answer(file: str, function: str) -> Question:
    return Question(id=f"{file}: {function}", kind="answer", file=file, function=function)


QUESTIONS = (
    *map(_model, ("variables", "net", "subclass", "initialised", "copied", "saved", *FORMS)),
    _answer("variables.py", "image_size"),
    *(_answer("src/inner.py", function) for function in ("text", "write", "text", "hashed")),
    *(_answer(file, "f") for file in ("relative.py", "newer.py", "newer_library.py")),
)


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Extraction]:
    """The answers of all files in one submission."""
    saved = io.BytesIO()
    torch.save(nn.Sequential(nn.Linear(3, 2)), saved)
    questions = {question.id: question for question in QUESTIONS}
    directory = tmp_path_factory.mktemp("as_written")
    return ask_all(
        directory, {**FILES, "saved.pt": saved.getvalue()}, list(questions.values()), find_sandbox()
    )


def kinds(answer: Extraction) -> list[str]:
    """The kinds of a model's layers."""
    assert answer.model is not None, answer.failure
    return [layer.kind for layer in answer.model.model.layers]


def test_variables(answers: dict[str, Extraction]) -> None:
    """A model, an optimiser, a scheduler, a recipe and an answer may be variables."""
    model = answers["variables"].model
    assert kinds(answers["variables"]) == ["Flatten", "Linear"]
    assert model is not None
    assert model.failures == ()
    assert model.optimizer is not None
    assert model.scheduler is not None
    assert model.training == PlainMapping(pairs=(("epochs", 3),))
    assert model.location == "variables.py:6"
    assert model.class_name == ""
    assert answers["variables.py: image_size"].value == (28, 28)
    assert answers["variables.py: image_size"].location == "variables.py:5"


def test_class(answers: dict[str, Extraction]) -> None:
    """A class becomes the chain of its forward(), with its optimiser and without idle layers."""
    model = answers["net"].model
    assert kinds(answers["net"]) == CHAIN
    assert model is not None
    assert model.class_name == "Net"
    assert model.failures == ()
    assert model.optimizer is not None
    assert str(model.own_initialisation) == "net.py:16"
    assert [layer.path for layer in model.model.layers][:6] == [
        *("conv1", "body.0", "body.1", "relu at line 21", "pool", "view at line 22"),
    ]


@pytest.mark.parametrize("name", FORMS)
def test_reshapes(name: str, answers: dict[str, Extraction]) -> None:
    """Every way to flatten images becomes one Flatten."""
    assert kinds(answers[name])[0] == "Flatten"
    assert sorted(kinds(answers[name])) == ["Flatten", "Linear", "ReLU"]


def test_subclass(answers: dict[str, Extraction]) -> None:
    """A class derived from Sequential is a chain with a name."""
    model = answers["subclass"].model
    assert kinds(answers["subclass"]) == ["ReLU", "Tanh"]
    assert model is not None
    assert model.class_name == "Net"


def test_own_initialisation(answers: dict[str, Extraction]) -> None:
    """Set weights are named with their line; a copy of PyTorch's own is not."""
    initialised, copied = answers["initialised"].model, answers["copied"].model
    assert initialised is not None
    assert str(initialised.own_initialisation) == "initialised.py:6"
    assert copied is not None, answers["copied"].failure
    assert copied.own_initialisation is None


def test_own_files(answers: dict[str, Extraction]) -> None:
    """A file's directory is its working directory; a question may change its own copy only."""
    assert answers["src/inner.py: text"].value == "note 7"
    assert answers["src/inner.py: write"].value == "new"
    assert kinds(answers["saved"]) == ["Linear"]


def test_hash_seed(answers: dict[str, Extraction]) -> None:
    """Hashes of strings are the same in every run."""
    program = "print(hash('layers') % 1000)"
    fixed = {**os.environ, "PYTHONHASHSEED": "0"}
    printed = subprocess.run(
        [sys.executable, "-c", program], env=fixed, capture_output=True, text=True, check=True
    ).stdout
    assert answers["src/inner.py: hashed"].value == int(printed)


def test_advice(answers: dict[str, Extraction]) -> None:
    """Failures of imports and syntax name the cause."""
    told = {
        file: f"{failure.message} {failure.next_step}"
        for file in ("relative.py", "newer.py", "newer_library.py")
        if (failure := answers[f"{file}: f"].failure)
    }
    assert "from helpers import" in told["relative.py"]
    assert "Python 3." in told["newer.py"]
    assert "the grader runs Python 3." in told["newer_library.py"]
