"""Keep a program from waiting, and from ending the process that writes down what it does."""

from __future__ import annotations

import builtins
import os
import signal
import time
from typing import Any, NoReturn


def install() -> None:
    """Change Python's own functions in this process."""
    builtins_: Any = builtins
    os_: Any = os
    time_: Any = time
    kill, own = os_.kill, os.getpid()

    def leave(status: int = 0) -> NoReturn:
        raise SystemExit(status)

    def kill_another(pid: int, number: int) -> None:
        # Notebooks kill themselves to restart after an installation.
        if pid == own:
            leave(number)
        kill(pid, number)

    os_._exit = os_.abort = leave  # noqa: SLF001 - a public function despite its name
    os_.kill = kill_another
    time_.sleep = lambda _seconds: None
    builtins_.input = lambda _prompt="": ""
    builtins_.exit = builtins_.quit = leave
    signal_: Any = signal
    signal_.raise_signal = leave
