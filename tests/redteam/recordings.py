"""The attacks on recordings: one program each, and what must come of it."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import dedent

HEAD = """
import builtins, ctypes, gc, json, os, signal, sys, threading, time
import torch
from torch import nn, optim
from torch.utils.data import DataLoader
from torchvision import datasets, transforms
loader = DataLoader(datasets.MNIST(".", transform=transforms.ToTensor()), batch_size=50)
model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
optimizer = optim.SGD(model.parameters(), lr=0.1)
def train(epochs, model=model, optimizer=optimizer):
    for epoch in range(epochs):
        for x, y in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
def recorder():
    frame = sys._getframe()
    while "watched" not in frame.f_locals:
        frame = frame.f_back
    return frame.f_locals["watched"].recorder
"""
HONEST = "Flatten Linear, 3 epochs of 50"
PLACE = '{"file":"x","cell":0,"line":1}'
LAYER = '{"kind":"%s","path":"0","arguments":{},"irregularity":null,"irregularity_detail":""}'
REPLY = (
    '{"type":"recording","notes":[],"recording":{"trainings":[{"place":'
    f'{PLACE},"statement":{PLACE},"layers":[%s],"epochs":%s}}]}}}}'
)
FORGE = """
import struct
def frame(kind, payload):
    return struct.pack(">cI", kind, len(payload)) + payload
for descriptor in range(3, 256):
    try:
        os.write(descriptor, {stream})
    except OSError:
        pass
time.sleep = lambda *_: None
while True:
    pass
"""


@dataclass(frozen=True, kw_only=True)
class Attack:
    """One hostile program.

    Attributes:
        kind: of the failure that must come of it, or empty if it is recorded after all.
        trainings: of each: the kinds of its layers, its epochs and batch size.
        failed: kinds of the failures that the recording must list.
        any_end: nothing is promised but that no harm is done.
    """

    name: str
    source: str
    kind: str = ""
    trainings: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    any_end: bool = False


def _attack(name: str, body: str, **expected: object) -> Attack:
    return Attack(name=name, source=HEAD + dedent(body), **expected)


def _forge(name: str, reply: str, **expected: object) -> Attack:
    stream = f"frame(b'R', {reply.encode()!r}) + frame(b'E', b'')"
    return _attack(name, FORGE.replace("{stream}", stream), **expected)


ATTACKS = (
    # A forged recording that is well-formed is no more than a program that trains this.
    _forge("forged", REPLY % (LAYER % "ReLU" + ",", 7), kind="protocol"),
    _forge(
        "forged_layer",
        REPLY % (LAYER.replace('{"kind":"%s"', '{"kind":"Tanh"'), 7),
        trainings=("Tanh, 7 epochs of 0",),
    ),
    _forge("forged_kind", REPLY % (LAYER % "Perfect", 7), kind="protocol"),
    _forge("forged_epochs", REPLY % (LAYER % "Tanh", 10**12), kind="protocol"),
    _forge("forged_answer", '{"type":"answer","value":1,"location":"","notes":[]}', kind="protocol"),
    _forge("forged_depth", "[" * 100_000, kind="protocol"),
    _attack("many_epochs", "train(10**9)", trainings=("Flatten Linear, 1000000000 epochs of 50",)),
    _attack(
        "more_epochs",
        "train(10**18)",
        trainings=("Flatten Linear, 1000000000 epochs of 50",),
    ),
    _attack("endless", "train(3)\nwhile True: pass", trainings=(HONEST,), failed=("limit",)),
    _attack(
        "endless_and_deaf",
        """
        if train(3) is None:
            signal.signal(signal.SIGALRM, signal.SIG_IGN)
            for _ in iter(int, 1):
                pass
        """,
        trainings=(HONEST,),
    ),
    _attack(
        "endless_and_catching",
        """
        train(3)
        while True:
            try:
                while True:
                    pass
            except BaseException:
                pass
        """,
        trainings=(HONEST,),
    ),
    _attack("endless_in_c", "train(3)\nsum(range(10**13))", kind="limit"),
    _attack("exit", "train(3)\nos._exit(0)", trainings=(HONEST,), failed=("exit",)),
    _attack("exit_in_c", "train(3)\nctypes.CDLL(None)._exit(0)", kind="exit"),
    _attack("exit_in_thread", "import posix\nposix._exit(0)", any_end=True),
    _attack(
        "printed_frames",
        """
        import struct
        payload = b'{"type":"missing","notes":[]}'
        for _ in range(1000):
            os.write(1, struct.pack(">cI", b"R", len(payload)) + payload)
        train(3)
        """,
        trainings=(HONEST,),
    ),
    _attack(
        "patched_stand_ins",
        """
        type(loader).counts.steps = 10**9
        type(loader).__len__ = lambda self: -1
        train(3)
        datasets.MNIST.__len__ = lambda self: 2**70
        train(4)
        """,
        trainings=(HONEST,),
        failed=("exception",),
    ),
    _attack(
        "patched_recorder",
        """
        train(3)
        record = recorder()
        record.trainings[0].fields["layers"] = 500 * record.trainings[0].fields["layers"]
        """,
        kind="protocol",
    ),
    _attack(
        "perfect_recorder",
        """
        train(3)
        recorder().trainings[0].fields["layers"][1]["kind"] = "Perfect"
        """,
        kind="protocol",
    ),
    _attack(
        "broken_recorder",
        "train(3)\nrecorder().trainings[0].by_loop = {1: float('nan')}",
        any_end=True,
    ),
    _attack(
        "recorder_of_objects",
        "train(3)\nrecorder().trainings.append(object())",
        kind="exception",
    ),
    _attack("patched_json", "json.dumps = lambda *a, **k: '{}'", kind="protocol"),
    _attack("no_loops", "del builtins.__grader_each__\ntrain(3)", failed=("exception",)),
    _attack(
        "patched_builtins",
        """
        train(3)
        builtins.isinstance = lambda *a: True
        builtins.len = lambda *a: 0
        """,
        any_end=True,
    ),
    _attack("no_imports", "sys.meta_path.clear()\nsys.modules.clear()\ntrain(3)", any_end=True),
    _attack(
        "hostile_neighbours",
        """
        class Hostile:
            def _raise(self, *a): raise KeyboardInterrupt
            __eq__ = __repr__ = __str__ = __len__ = __iter__ = __bool__ = __getitem__ = _raise
            __hash__ = __del__ = __call__ = __instancecheck__ = __getattr__ = _raise
            shape = property(_raise)
            __class__ = property(_raise)
        neighbour = Hostile()
        globals()["\\x1b[31mred"] = model
        globals()["x" * 10**6] = model
        globals()[7] = Hostile()
        train(3)
        del neighbour
        """,
        any_end=True,
    ),
    _attack(
        "many_trainings",
        """
        for _ in range(300):
            net = nn.Sequential(nn.Linear(1, 1))
            step = optim.SGD(net.parameters(), 0.1).step()
        """,
        trainings=100 * ("Linear, 1 epochs of 0",),
    ),
    _attack("many_names", "globals().update({f'n{i}': i for i in range(10**5)})\ntrain(3)",
            trainings=(HONEST,)),
    _attack("many_failures", "\n".join(500 * ["1 / 0"]) + "\ntrain(3)", trainings=(HONEST,),
            failed=tuple(30 * ["exception"])),
    _attack("many_layers", """
        net = nn.Sequential(*[nn.Tanh() for _ in range(5000)], nn.Linear(1, 1))
        optim.SGD(net.parameters(), 0.1).step()
        """, trainings=("limit, 1 epochs of 0",)),
    _attack("deep_source", "train(3)\nx = " + 5000 * "(" + 5000 * ")", kind="",
            failed=("syntax",)),
    _attack("lying_model", """
        class Lying(nn.Module):
            calls = 0
            def __init__(self):
                super().__init__()
                self.one, self.two = nn.Linear(784, 10), nn.Linear(784, 10)
            def forward(self, x):
                Lying.calls += 1
                return (self.one if Lying.calls % 2 else self.two)(x.flatten(1))
            def parameters(self, recurse=True):
                yield from super().parameters()
            def named_modules(self, *a, **k):
                return iter(())
        net = Lying()
        train(3, net, optim.SGD(net.parameters(), 0.1))
        """, any_end=True),
    _attack("raising_model", """
        class Raising(nn.Sequential):
            def parameters(self, recurse=True): raise KeyboardInterrupt
            def modules(self): raise SystemExit
            __class__ = property(lambda self: nn.Sequential)
        net = Raising(nn.Flatten(), nn.Linear(784, 10))
        train(3, net, optim.SGD(net[1].parameters(), 0.1))
        train(3)
        """, any_end=True),
    _attack("growing_forward", """
        class Growing(nn.Module):
            def __init__(self):
                super().__init__()
                self.one = nn.Linear(784, 10)
            def forward(self, x):
                x = self.one(x.flatten(1))
                for _ in range(5000):
                    x = x.relu()
                return x
        net = Growing()
        train(1, net, optim.SGD(net.parameters(), 0.1))
        """, trainings=("limit, 1 epochs of 50",)),
    _attack("endless_forward", """
        train(3)
        class Endless(nn.Module):
            def __init__(self):
                super().__init__()
                self.one = nn.Linear(784, 10)
                self.calls = 0
            def forward(self, x):
                self.calls += 1
                while self.calls > 1:
                    pass
                return self.one(x.flatten(1))
        net = Endless()
        train(1, net, optim.SGD(net.parameters(), 0.1))
        """, trainings=(HONEST,), failed=("limit",)),
    _attack("flood", "train(3)\nwhile True: os.write(1, 10**6 * b'x')", trainings=(HONEST,),
            failed=("limit",)),
    _attack("threads", """
        train(3)
        def spin():
            while True: pass
        for _ in range(10): threading.Thread(target=spin).start()
        """, any_end=True),
    _attack("thread_bomb", """
        train(3)
        for _ in range(1000): threading.Thread(target=time.localtime().__class__, daemon=True).start()
        event = threading.Event()
        for _ in range(1000): threading.Thread(target=event.wait).start()
        """, any_end=True),
    _attack("memory", "train(3)\nkept = [bytearray(10**8) for _ in range(100)]", any_end=True),
    _attack("kept_files", """
        train(3)
        for number in range(100):
            with open(f"/content/drive/{number}", "wb") as file:
                file.write(bytearray(10**8))
        """, any_end=True),
    _attack("kept_names", """
        for name in ("/submission/canary.py", "/code/grader/__init__.py", "/etc/passwd", "/proc/1/mem"):
            with open(name, "w") as file:
                file.write("def answer(): return 'forged'")
            torch.save(model, name)
            assert type(torch.load(name, weights_only=False)) is nn.Sequential
        train(3)
        """, trainings=(HONEST,)),
    _attack("never_initialised", """
        lazy = nn.Sequential(nn.Flatten(), nn.LazyLinear(10))
        optim.SGD(lazy.parameters(), lr=0.1).step()
        train(3)
        """, trainings=("Flatten LazyLinear, 1 epochs of 0", HONEST)),
    _attack("async_exceptions", """
        train(3)
        main = threading.main_thread().ident
        def shoot():
            while True:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(main), ctypes.py_object(KeyboardInterrupt))
                time.monotonic()
        threading.Thread(target=shoot, daemon=True).start()
        """, any_end=True),
    _attack("stopped", "train(3)\nos.kill(os.getppid(), signal.SIGSTOP)", any_end=True),
    _attack("killed", "ctypes.CDLL(None).raise_(9)\nctypes.CDLL(None).kill(0, 9)", kind="crash"),
    _attack("traced", """
        sys.settrace(lambda *a: None)
        sys.setprofile(lambda *a: None)
        sys.setrecursionlimit(60)
        train(3)
        """, any_end=True),
    _attack("odd_numbers", """
        class Odd(float):
            def __round__(self, n=0): return self
            def __lt__(self, other): return False
            __gt__ = __le__ = __ge__ = __lt__
            def __float__(self): return float("nan")
        class Normalize:
            mean, std = (Odd("nan"),), (Odd("inf"),)
            def __call__(self, x): return x * float("inf")
        tf = transforms.Compose([transforms.ToTensor(), Normalize()])
        loader = DataLoader(datasets.MNIST(".", transform=tf), batch_size=50)
        net = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
        train(3, net, optim.SGD(net.parameters(), lr=1e300))
        """, any_end=True),
)  # fmt: skip
