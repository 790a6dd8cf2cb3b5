"""Keep a program from waiting, from ending its process, and from missing names of old releases."""

from __future__ import annotations

import builtins
import os
import signal
import time
from typing import Any, NoReturn

import numpy as np

# Since NumPy 1.24 and 2.0; `best = np.Inf` stands in many courses' training loops.
_DROPPED_BY_NUMPY: dict[str, Any] = {
    "Inf": np.inf,
    "infty": np.inf,
    "NaN": np.nan,
    "float": float,
    "int": int,
    "object": object,
    "str": str,
    "float_": np.float64,
    "product": np.prod,
    "in1d": np.isin,
    "trapz": np.trapezoid,
}


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
    for name, value in _DROPPED_BY_NUMPY.items():
        if name not in vars(np):
            setattr(np, name, value)
    signal_: Any = signal
    signal_.raise_signal = leave
