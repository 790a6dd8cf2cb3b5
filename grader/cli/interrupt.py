"""Ctrl-C: it ends every command in time, whatever runs.

The first Ctrl-C raises KeyboardInterrupt, and the command cleans up and says what is finished. That
may take long, or not happen at all: a library that is being loaded may swallow the exception.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import suppress
from types import FrameType

from grader.cli.exit_codes import EXIT_INTERRUPTED

SECONDS = 1.5
"""Time for the command to end by itself."""


def end_commands_in_time() -> None:
    """Have Ctrl-C end this process within `SECONDS`, unless the caller ignores Ctrl-C."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    watchdog = threading.Timer(SECONDS, _end_now)
    watchdog.daemon = True
    watchdog.start()
    signal.default_int_handler(number, frame)


def _end_now() -> None:
    """End the processes that this one started, delete its temporary directories, and exit."""
    import psutil  # noqa: PLC0415  # no command waits for it

    from grader.intake.private_directory import delete_all  # noqa: PLC0415

    with suppress(psutil.Error):
        children = psutil.Process().children(recursive=True)
        for child in children:
            with suppress(psutil.Error):
                child.kill()
        psutil.wait_procs(children, timeout=0.2)
    delete_all()
    sys.stderr.write("stopped at once; run the same command to continue\n")
    os._exit(EXIT_INTERRUPTED)
