"""One file for each way in which an answer can go wrong, with the failure that must come of it."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import dedent

MODEL = "nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))"
IMPORTS = "import torch\nfrom torch import nn\n"


@dataclass(frozen=True, kw_only=True)
class Broken:
    """A file and what asking it must give.

    Attributes:
        name: of the file, without ".py".
        source: its text or bytes; it defines `answer`, and perhaps `optimizer` and `scheduler`.
        kind: of the failure.
        says: what the failure's message, next step, location or traceback must hold.
        asked: "answer" or "model".
        role: the failure is that of the model's optimiser, scheduler or training.
        violent: it takes the worker down, or uses up all its time, so the test is slow.
    """

    name: str
    source: str | bytes
    kind: str
    says: tuple[str, ...] = ()
    asked: str = "answer"
    role: str = ""
    violent: bool = False

    def content(self) -> bytes:
        """The file's bytes."""
        return self.source if isinstance(self.source, bytes) else dedent(self.source).encode()


def _raising(name: str, expression: str, kind: str, *says: str) -> Broken:
    return Broken(
        name=name, source=f"def answer():\n    return {expression}\n", kind=kind, says=says
    )


def _optimizer(name: str, body: str, kind: str, *says: str) -> Broken:
    source = f"{IMPORTS}def answer():\n    return {MODEL}\ndef optimizer(model):\n    {body}\n"
    return Broken(name=name, source=source, kind=kind, says=says, asked="model", role="optimizer")


def _scheduler(name: str, body: str, kind: str, *says: str) -> Broken:
    source = f"{IMPORTS}def answer():\n    return {MODEL}\ndef scheduler(optimizer):\n    {body}\n"
    return Broken(name=name, source=source, kind=kind, says=says, asked="model", role="scheduler")


def _model(name: str, expression: str, kind: str, *says: str) -> Broken:
    source = f"{IMPORTS}def answer():\n    return {expression}\n"
    return Broken(name=name, source=source, kind=kind, says=says, asked="model")


BROKEN = (
    # The file cannot be imported.
    Broken(
        name="bad_syntax",
        source="x = 1\ndef answer(:\n    return 1\n",
        kind="syntax",
        says=("bad_syntax.py:2", "line 2", "def answer(:"),
    ),
    Broken(name="null_byte", source=b"x = 1\0\n", kind="syntax", says=("null_byte.py",)),
    Broken(name="deep", source="x = " + "(" * 5000 + ")" * 5000, kind="syntax", says=("deep.py",)),
    Broken(
        name="latin_1",
        source="x = 1\ny = 2\nz = 'é'\n".encode("latin-1"),
        kind="encoding",
        says=("line 3", "0xE9", "UTF-8", "latin_1.py:3"),
    ),
    Broken(
        name="latin_1_early",
        source="# é\n".encode("latin-1"),
        kind="encoding",
        says=("line 1", "latin_1_early.py:1"),
    ),
    Broken(
        name="odd_encoding",
        source="# -*- coding: klingon -*-\n",
        kind="encoding",
        says=("klingon",),
    ),
    Broken(
        name="not_installed",
        source="import math\nimport tensorflow_of_mars\n",
        kind="import",
        says=("tensorflow_of_mars", "not installed where grading runs", "not_installed.py:2"),
    ),
    Broken(
        name="no_such_name",
        source="from torch import no_such_name\n",
        kind="import",
        says=("no_such_name", "no_such_name.py:1"),
    ),
    Broken(
        name="import_raises",
        source="def f():\n    return 1 / 0\nf()\n",
        kind="exception",
        says=("ZeroDivisionError", "import of import_raises.py", "in f", "import_raises.py:2"),
    ),
    Broken(
        name="import_reads_data",
        source="open('data/mnist.gz')\n",
        kind="exception",
        says=("FileNotFoundError", "no data set"),
    ),
    Broken(
        name="import_downloads",
        source="""
            import urllib.request
            urllib.request.urlopen("http://example.org")
            """,
        kind="exception",
        says=("URLError", "no network"),
    ),
    Broken(
        name="import_torchvision_data",
        source="from torchvision.datasets import MNIST\nMNIST('data', download=True)\n",
        kind="exception",
        says=("Error downloading", "no data set", "import_torchvision_data.py:2"),
    ),
    # The function cannot be called.
    Broken(
        name="no_function",
        source="def answr():\n    return 1\n",
        kind="missing-function",
        says=("answer()", "Did you mean answr()?"),
    ),
    Broken(
        name="wrong_arity",
        source="def answer(x):\n    return x\n",
        kind="signature",
        says=("without arguments", "'x'", "wrong_arity.py:1"),
    ),
    Broken(
        name="raises",
        source="def answer():\n    raise ValueError('boom')\n",
        kind="exception",
        says=("ValueError: boom", "raises.py:2", "call of answer()"),
    ),
    Broken(
        name="raises_a_liar",
        source="""
            class Liar(Exception):
                def __str__(self):
                    raise SystemExit
            def answer():
                raise Liar
            """,
        kind="exception",
        says=("Liar", "cannot be shown"),
    ),
    Broken(
        name="raises_a_book",
        source="def answer():\n    raise ValueError('x' * 10**7)\n",
        kind="exception",
        says=("ValueError: xxx",),
    ),
    Broken(
        name="recursion",
        source="def answer():\n    return answer()\n",
        kind="exception",
        says=("RecursionError", "calls itself endlessly"),
    ),
    _raising("asks", "input('? ')", "exception", "waits for input", "asks.py:2"),
    _raising("breakpoint", "breakpoint()", "exception", "waits for a debugger", "breakpoint()"),
    _raising("misspelt", "__import__('math').sqr(2)", "exception", "'sqr'. Did you mean: 'sqrt'?"),
    _raising("misspelt_builtin", "rang(3)", "exception", "Did you mean: 'range'?"),
    Broken(
        name="misspelt_local",
        source="def answer():\n    width = 3\n    return widht\n",
        kind="exception",
        says=("name 'widht' is not defined. Did you mean: 'width'?", "misspelt_local.py:3"),
    ),
    Broken(
        name="hostile_dir",
        source="class A:\n    def __dir__(self):\n        1 / 0\ndef answer():\n    A().b\n",
        kind="exception",
        says=("no attribute 'b'", "hostile_dir.py:5"),
    ),
    _raising("cuda", "__import__('torch').ones(1).cuda()", "exception", "no GPU"),
    _raising("system_exit", "__import__('sys').exit()", "exit", "SystemExit"),
    _raising("os_exit", "__import__('os')._exit(0)", "exit", "exit status 0"),
    _raising("segfault", "__import__('ctypes').string_at(0)", "crash", "SIGSEGV"),
    _raising("interrupt", "(_ for _ in ()).throw(KeyboardInterrupt)", "exception", "Interrupt"),
    _raising("memory", "bytearray(1 << 40)", "limit", "memory", "500 MB"),
    _raising("tensor_memory", "__import__('torch').ones(1 << 34)", "limit", "memory"),
    # The value cannot be used.
    _raising("none", "None", "unanswered", "returned None", "return", "none.py:1"),
    _raising("ellipsis", "...", "unanswered", "returned ...", "`return` is missing"),
    Broken(
        name="stub",
        source="def answer():\n    raise NotImplementedError\n",
        kind="unanswered",
        says=("It raises NotImplementedError", "in place of `raise", "stub.py:2"),
    ),
    _raising("object", "object()", "wrong-type", "an object"),
    _raising("a_set", "{1, 2}", "wrong-type", "a set"),
    _raising("generator", "(x for x in [1])", "wrong-type", "a generator"),
    _raising("complex_number", "1j", "wrong-type", "a complex"),
    _raising("module", "__import__('torch').nn.Linear(1, 1)", "wrong-type", "a Linear"),
    _raising("meta_tensor", "__import__('torch').ones(2, device='meta')", "wrong-type", "meta"),
    _raising("huge_tensor", "__import__('torch').ones(10**7)", "limit", "250,000 values"),
    _raising("huge_text", "'x' * 10**7", "limit", "250,000 characters"),
    _raising("huge_integer", "10 ** 5000", "limit", "digits"),
    Broken(
        name="own_ouroboros",
        source="def answer():\n    a = []\n    a.append(a)\n    return a\n",
        kind="limit",
        says=("16 levels", "itself"),
    ),
    # The model cannot be graded.
    _model("model_none", "None", "unanswered", "returned None"),
    _model("model_number", "3", "wrong-type", "int", "nn.Sequential"),
    _model("model_class", "nn.Sequential", "wrong-type", "the class Sequential"),
    Broken(
        name="model_two_paths",
        source=f"""
            {IMPORTS.replace(chr(10), chr(10) + 12 * " ")}
            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.one, self.two = nn.Linear(784, 9), nn.Linear(9, 9)
                def forward(self, x):
                    x = self.one(x.flatten(1))
                    return x + self.two(x)
            answer = Net
        """,
        kind="wrong-value",
        says=("adds two paths at line 11", "one chain", "model_two_paths.py:11"),
        asked="model",
    ),
    Broken(
        name="model_of_data",
        source=f"""
            {IMPORTS.replace(chr(10), chr(10) + 12 * " ")}
            class Net(nn.Module):
                def forward(self, x):
                    return -x if x.sum() > 0 else x
            answer = Net()
        """,
        kind="wrong-value",
        says=("branches on the images' values at line 7", "model_of_data.py:7"),
        asked="model",
    ),
    Broken(
        name="model_of_loops",
        source=f"""
            {IMPORTS.replace(chr(10), chr(10) + 12 * " ")}
            class Net(nn.Module):
                def forward(self, x):
                    return torch.stack([row.relu() for row in x])
            answer = Net()
        """,
        kind="wrong-value",
        says=("joins three paths", "line 7"),
        asked="model",
    ),
    Broken(
        name="model_of_unknown_operation",
        source=f"""
            {IMPORTS.replace(chr(10), chr(10) + 12 * " ")}
            class Net(nn.Module):
                def forward(self, x):
                    return torch.cumsum(x, 1)
            answer = Net()
        """,
        kind="wrong-value",
        says=("uses cumsum at line 7", "no layer"),
        asked="model",
    ),
    _model("model_functional", "nn.Sequential(torch.relu)", "exception", "Write nn.ReLU()"),
    _model("model_of_class", "nn.Sequential(nn.ReLU)", "exception", "Write nn.ReLU()"),
    _model("model_empty", "nn.Sequential()", "wrong-value", "without layers"),
    _model("model_many", "nn.Sequential(*[nn.ReLU() for _ in range(201)])", "limit", "200"),
    _model("model_large", "nn.Sequential(nn.Linear(10_000, 3_000))", "limit", "30,003,000"),
    _model("model_huge", "nn.Sequential(nn.Linear(10**6, 10**6))", "limit", "memory"),
    _model("model_kernel", "nn.Sequential(nn.MaxPool2d(5000))", "wrong-value", "5000", "4096"),
    Broken(
        name="model_ouroboros",
        source=f"{IMPORTS}def answer():\n    m = nn.Sequential()\n    m.append(m)\n    return m\n",
        kind="wrong-value",
        says=("contains itself",),
        asked="model",
    ),
    Broken(
        name="model_hook",
        source=f"""
{IMPORTS}
def answer():
    model = {MODEL}
    model.register_forward_hook(lambda *_: None)
    return model
""",
        kind="wrong-value",
        says=("a hook on the Sequential itself",),
        asked="model",
    ),
    # What belongs to the model cannot be used; the model can.
    _optimizer(
        "optimizer_none", "return None", "wrong-type", "None", "Adam", "optimizer_none.py:5"
    ),
    _optimizer("optimizer_lbfgs", "return torch.optim.LBFGS(model.parameters())", "wrong-type"),
    _optimizer(
        "optimizer_other",
        "return torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1)",
        "wrong-value",
        "2 parameters of another model",
        "model.parameters()",
    ),
    _optimizer(
        "optimizer_part",
        "return torch.optim.SGD(model[0].parameters(), lr=0.1)",
        "wrong-value",
        "leaves out 2",
        "2.weight, 2.bias",
    ),
    _optimizer(
        "optimizer_nan",
        "return torch.optim.SGD(model.parameters(), lr=float('nan'))",
        "wrong-value",
        "lr is nan",
    ),
    _optimizer(
        "optimizer_negative",
        "return torch.optim.Adam(model.parameters(), lr=-1.0)",
        "exception",
        "learning rate",
        "optimizer_negative.py:6",
    ),
    _optimizer(
        "optimizer_late_nan",
        "o = torch.optim.SGD(model.parameters(), lr=1.0)\n"
        "    o.param_groups[0]['lr'] = float('nan')\n"
        "    return o",
        "wrong-value",
        "lr is nan",
    ),
    _optimizer("optimizer_raises", "raise ValueError('no')", "exception", "ValueError: no"),
    Broken(
        name="scheduler_other",
        source=f"""
{IMPORTS}
def answer():
    return {MODEL}
def optimizer(model):
    return torch.optim.SGD(model.parameters(), lr=1.0)
def scheduler(optimizer):
    mine = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=1.0)
    return torch.optim.lr_scheduler.StepLR(mine, 3)
""",
        kind="wrong-value",
        says=("another optimiser",),
        asked="model",
        role="scheduler",
    ),
    _scheduler("scheduler_none_declared", "return 3", "wrong-type", "an int", "StepLR"),
    _scheduler(
        "scheduler_plateau",
        "return torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)",
        "wrong-type",
        "a ReduceLROnPlateau, which needs a validation loss",
        "StepLR, MultiStepLR, ExponentialLR, CosineAnnealingLR",
    ),
    _scheduler(
        "scheduler_of_batches",
        "return torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=9)",
        "wrong-type",
        "OneCycleLR, which is meant to step after every batch",
    ),
    _scheduler(
        "scheduler_lambda",
        "return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.9**epoch)",
        "wrong-type",
        "a LambdaLR, which the grader does not rebuild",
    ),
    Broken(
        name="training_none",
        source=f"{IMPORTS}def answer():\n    return {MODEL}\ndef training():\n    pass\n",
        kind="unanswered",
        says=("training() returned None; if it is answered, a `return` is missing",),
        asked="model",
        role="training",
    ),
    # It takes too much, or fights back.
    Broken(
        name="endless",
        source="""
            def answer():
                while True:
                    pass
            """,
        kind="limit",
        says=("within 3 s", "endless.py:", "call of answer()"),
    ),
    Broken(
        name="endless_import",
        source="""
            import signal
            for number in range(1, 32):
                if number not in (signal.SIGKILL, signal.SIGSTOP):
                    signal.signal(number, signal.SIG_IGN)
            while True:
                try:
                    while True:
                        pass
                except BaseException:
                    pass
            """,
        kind="limit",
        says=("within 3 s", "import of endless_import.py", "endless_import.py:"),
        violent=True,
    ),
    Broken(
        name="big_file",
        source="""
            def answer():
                with open("big", "wb") as file:
                    for _ in range(200):
                        file.write(bytes(10**6))
            """,
        kind="limit",
        says=("OSError", "64 MB of files"),
    ),
    Broken(
        name="many_files",
        source="""
            def answer():
                for number in range(10**6):
                    open(f"f{number}", "w").close()
            """,
        kind="limit",
        says=("more than 20,000 files",),
    ),
    Broken(
        name="forged_frames",
        source="""
            import os, struct
            def answer():
                forged = b'{"type":"answer","value":"forged","score":100}'
                for descriptor in range(3, 256):
                    try:
                        os.write(descriptor, struct.pack(">cI", b"R", len(forged)) + forged)
                        os.write(descriptor, struct.pack(">cI", b"E", 0))
                    except OSError:
                        pass
                return 1
            """,
        kind="protocol",
        says=("does not accept",),
    ),
    Broken(
        name="garbage",
        source="""
            import os
            def answer():
                for descriptor in range(3, 256):
                    try:
                        os.write(descriptor, b"garbage" * 100)
                    except OSError:
                        pass
                return 1
            """,
        kind="protocol",
        says=("does not accept",),
    ),
    Broken(
        name="closed_descriptors",
        source="import os\ndef answer():\n    os.closerange(0, 256)\n    return 1\n",
        kind="exit",
        says=("without an answer",),
    ),
    Broken(
        name="memory_bomb",
        source="""
            import os, time
            def answer():
                blocks = []
                for _ in range(7):
                    if os.fork() == 0:
                        break
                for _ in range(30):
                    blocks.append(b"x" * 10_000_000)
                time.sleep(60)
            """,
        kind="limit",
        says=("500 MB", "memory"),
        violent=True,
    ),
    Broken(
        name="fork_bomb",
        source="""
            import os
            def answer():
                while True:
                    try:
                        os.fork()
                    except OSError:
                        pass
            """,
        kind="limit",
        says=("3 s",),
        violent=True,
    ),
    Broken(
        name="kills_all",
        source="import os\ndef answer():\n    os.kill(-1, 9)\n    return 1\n",
        kind="crash",
        says=("was killed",),
        violent=True,
    ),
    Broken(
        name="kills_parent",
        source="import os\ndef answer():\n    os.kill(os.getppid(), 9)\n    return 1\n",
        kind="crash",
        says=("was killed",),
        violent=True,
    ),
    Broken(
        name="stops_parent",
        source="""
            import os, signal
            def answer():
                os.kill(os.getppid(), signal.SIGSTOP)
                return 1
            """,
        kind="limit",
        says=("3 s",),
        violent=True,
    ),
)
