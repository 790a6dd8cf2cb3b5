"""`grade review` as its own process, for tests that need a real server."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Self

COMMAND = (sys.executable, "-c", "from grader.cli import main; main()", "review")


class ReviewServer:
    """A running `grade review`; a context manager.

    Attributes:
        link: the invitation that it printed.
        address: without a path.
    """

    def __init__(self, output: Path, *options: str, grader: str = "grace") -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"
        self.output = output
        own = ("--output", output, "--port", str(port), "--as", grader, "--no-browser")
        self.process = subprocess.Popen(
            [*COMMAND, *own, *options], stderr=subprocess.PIPE, text=True
        )
        self.link = self._read_link()
        self._wait_until_it_listens(port)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End it as Ctrl-C does, and wait."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End it as a power cut does."""
        self._end(signal.SIGKILL)

    def invite(self, name: str) -> str:
        """A link for another grader, by the command."""
        port = self.address.rpartition(":")[2]
        command = [*COMMAND, "invite", name, "--output", self.output, "--port", port]
        return subprocess.check_output(command, text=True).strip()

    def _end(self, number: signal.Signals) -> None:
        if self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(timeout=60)
        self.process.stderr.close()

    def _read_link(self) -> str:
        read = ""
        for line in self.process.stderr:
            read += line
            found = re.search(r"http\S+/join\?token=\S+", read)
            if found:
                return found[0]
        raise AssertionError(f"grade review ended: {read}")

    def _wait_until_it_listens(self, port: int) -> None:
        while self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError:
                continue
            return
        raise AssertionError(f"grade review ended: {self.process.stderr.read()}")
