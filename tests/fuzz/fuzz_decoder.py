"""Fuzz the decoder of the sandbox's messages, guided by coverage, for a given time.

    python -m tests.fuzz.fuzz_decoder --seconds 120

The exit code is 1 if something was found. It needs atheris (Linux).
"""

# ruff: noqa: T201 - a command prints
from __future__ import annotations

import argparse
import importlib.util
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.asked import QUESTIONS

MEMORY_CAP_BYTES = 64_000_000
"""Memory for messages of at most 50 kB, and the fuzzer's own notes, beyond the start."""
HANG_SECONDS = 2
WANTED_RATE = 1000
"""Messages a second."""


def main() -> int:
    """Run the fuzzer in a process of its own, and report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--seed", type=int, default=1, help="of libFuzzer's random numbers")
    arguments = parser.parse_args()
    if importlib.util.find_spec("atheris") is None:
        print("atheris is not installed; it is in the extra named fuzz: pip install '.[fuzz]'")
        return 2
    with tempfile.TemporaryDirectory(prefix="fuzz-decoder-") as directory:
        write_corpus(Path(directory))
        command = [sys.executable, "-m", "tests.fuzz.target", directory]
        command += [str(arguments.seconds), str(arguments.seed)]
        start = time.monotonic()
        ended = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
        return report(ended, time.monotonic() - start, Path(directory))


def write_corpus(directory: Path) -> None:
    """The seeds, one file each."""
    from tests.fuzz.seeds import make_endings, make_seeds

    inputs = [bytes([question]) + payload for question, payload in make_seeds()]
    inputs += [bytes([len(QUESTIONS)]) + payload for payload in make_endings()]
    for number, content in enumerate(inputs):
        (directory / f"seed-{number}").write_bytes(content)


def report(ended: subprocess.CompletedProcess[str], seconds: float, corpus: Path) -> int:
    """Print how it went."""
    figures = dict(re.findall(r"stat::(\w+):\s+(\d+)", ended.stderr))
    found = sorted(path for path in corpus.iterdir() if path.name.startswith("found-"))
    if ended.returncode or found or "number_of_executed_units" not in figures:
        print(ended.stderr[-6000:])
        for path in found:
            print(f"input: {path.read_bytes()!r}")
        print(f"FOUND something after {seconds:.0f} s (exit code {ended.returncode})")
        return 1
    executions = int(figures["number_of_executed_units"])
    rate = int(figures["average_exec_per_sec"])
    coverage = re.findall(r"cov: (\d+)", ended.stderr)
    print(
        f"{executions:,} messages in {seconds:.0f} s, {rate:,} a second; {coverage[-1]} places "
        f"covered; peak memory {figures['peak_rss_mb']} MB; slowest message "
        f"{figures['slowest_unit_time_sec']} s; no crash, no hang, no allocation past "
        f"{MEMORY_CAP_BYTES / 1e6:g} MB"
    )
    if rate < WANTED_RATE:
        print(f"that is slower than {WANTED_RATE:,} messages a second")
    return 0


if __name__ == "__main__":
    sys.exit(main())
