"""A Python that lacks, for the grader, what Windows or macOS lack; children that it starts too.

`become("win32")` at the start of a process. The grader's modules then see another `sys.platform`,
and `os`, `signal`, `socket` and `select` without the names that are missing there. Whoever calls,
the process cannot fork, read procfs, load the C library or set limits. Libraries are loaded
before, since each has its own code for each system, and paths stay those of this system.
"""

from __future__ import annotations

import builtins
import importlib
import inspect
import os
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
GRADER = f"{ROOT / 'grader'}{os.sep}"
BLOCKED = frozenset({"fcntl", "grp", "pwd", "resource", "syslog", "termios", "tty", "pty", "posix"})
MISSING = {
    "os": """
        O_CLOEXEC O_DIRECTORY O_NOFOLLOW O_NONBLOCK O_PATH WNOHANG chown chroot fchdir fchmod
        fchown fork forkpty fwalk getegid geteuid getgid getgroups getloadavg getpgid getpriority
        getuid getxattr killpg lchown listxattr major memfd_create minor mkfifo mknod nice openpty
        pidfd_open pipe2 posix_fallocate posix_spawn pread preadv pwrite sched_getaffinity
        sched_setaffinity sendfile set_blocking setegid seteuid setgid setgroups setns setpgid
        setpriority setregid setresgid setresuid setreuid setsid setuid setxattr statvfs sync
        sysconf ttyname uname wait wait3 wait4
    """,
    "signal": """
        ITIMER_REAL SIGALRM SIGCHLD SIGHUP SIGKILL SIGPIPE SIGSTOP SIGUSR1 SIGXCPU SIGXFSZ alarm
        pause pthread_sigmask setitimer sigwait
    """,
    "socket": "AF_UNIX SCM_RIGHTS sendmsg socketpair",
    "select": "epoll kqueue poll",
}
"""Names of the documentation's "Availability: Unix"."""
ON_MACOS = "O_CLOEXEC O_DIRECTORY O_NOFOLLOW O_NONBLOCK geteuid"
"""The few of them that grading on macOS uses, and directory descriptors."""
LOADED_BEFORE = (
    *("asyncio", "multiprocessing", "platform", "tempfile"),
    *("click", "filelock", "numpy.random", "platformdirs", "psutil", "rich.progress", "torch"),
)
REFUSED_EVENTS = (
    *("os.fork", "os.forkpty", "os.killpg", "os.posix_spawn", "os.chown", "os.listxattr"),
    *("resource.setrlimit", "resource.prlimit", "fcntl.flock", "fcntl.lockf", "fcntl.fcntl"),
)
ALLOWED_CALLERS = ("/psutil/", "/filelock/", "/torch/", "/multiprocessing/")
"""Libraries that do with them here what they do otherwise on the other system."""
BOOT = (
    f"import sys; sys.path.insert(0, {str(ROOT)!r}); "
    "from tests.support.other_system import become; "
    f"sys.path.remove({str(ROOT)!r}); become({{platform!r}}); "
)
RUN_MODULE = "import runpy; runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"


def become(platform: str) -> None:
    """Take away what `platform` lacks; it cannot be given back."""
    for name in LOADED_BEFORE:
        importlib.import_module(name)
    importlib.import_module("platform").uname()
    importlib.import_module("shutil")._use_fd_functions = False
    proxies = {name: _proxy(name, platform) for name in MISSING}
    original_import = builtins.__import__

    def restricted(name: str, globals_: Any = None, *rest: Any, **options: Any) -> Any:
        if str((globals_ or {}).get("__file__", "")).startswith(GRADER):
            if name in BLOCKED:
                raise ImportError(f"{platform} has no module {name}")
            if name in proxies:
                return proxies[name]
        return original_import(name, globals_, *rest, **options)

    builtins.__import__ = restricted
    _start_children_alike(platform)
    sys.addaudithook(_refuse)
    sys.platform = platform


def _proxy(name: str, platform: str) -> types.ModuleType:
    """A module without the names that are missing, and on Windows without `dir_fd`."""
    real = importlib.import_module(name)
    proxy = types.ModuleType(name)
    kept = ON_MACOS.split() if platform == "darwin" else []
    missing = set(MISSING[name].split()) - set(kept)
    vars(proxy).update({key: value for key, value in vars(real).items() if key not in missing})
    if name == "os" and platform == "win32":
        vars(proxy).update(supports_dir_fd=set(), O_BINARY=0, O_NOINHERIT=0)
        for function in ("open", "stat", "unlink", "mkdir", "rename", "link", "symlink", "access"):
            setattr(proxy, function, _without_dir_fd(getattr(real, function)))
    return proxy


def _without_dir_fd(function: Any) -> Any:
    def call(*arguments: Any, dir_fd: int | None = None, **options: Any) -> Any:
        if dir_fd is not None:
            raise NotImplementedError("dir_fd unavailable on this platform")
        return function(*arguments, **options)

    return call


def _start_children_alike(platform: str) -> None:
    """Have every Python that is started become the same, and nothing be inherited."""
    original = subprocess.Popen.__init__
    subprocess.CREATE_NEW_PROCESS_GROUP = 0x200

    def start(self: Any, arguments: Any, *rest: Any, **options: Any) -> None:
        for name in ("pass_fds", "preexec_fn", "user", "group", "umask"):
            if options.pop(name, None):
                raise ValueError(f"{name} is not supported on Windows platforms")
        options.pop("creationflags", None)
        command = list(arguments)
        boot = BOOT.format(platform=platform)
        if command[0] == sys.executable and "-c" in command:
            command[command.index("-c") + 1] = boot + command[command.index("-c") + 1]
        elif command[0] == sys.executable and "-m" in command:
            at = command.index("-m")
            command[at : at + 2] = ["-c", boot + RUN_MODULE.format(module=command[at + 1])]
        original(self, command, *rest, **options)

    subprocess.Popen.__init__ = start


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    refused = event in REFUSED_EVENTS
    if event in {"open", "os.listdir", "os.scandir"} and isinstance(arguments[0], (str, bytes)):
        refused = os.fsdecode(arguments[0]).startswith(("/proc/", "/sys/", "/dev/fd", "/dev/shm"))
    elif event == "ctypes.dlopen":
        refused = arguments[0] is None
    elif event == "socket.__new__":
        refused = arguments[1] == importlib.import_module("socket").AF_UNIX
    if not refused:
        return
    frame = inspect.currentframe()
    while frame is not None:
        if any(library in frame.f_code.co_filename for library in ALLOWED_CALLERS):
            return
        frame = frame.f_back
    raise OSError(f"{event} is refused: {arguments[:1]}")
