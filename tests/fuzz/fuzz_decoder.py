"""Fuzz the decoder of the sandbox's messages, guided by coverage: `python -m tests.fuzz.fuzz_decoder`.

Each input is one byte that chooses what was asked, and a message. Whatever it is, the decoder may
only accept it or raise `MessageError`: any other exception, more than `HANG_SECONDS`, or memory
past `MEMORY_CAP_BYTES` ends the run with the input that did it.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import atheris

with atheris.instrument_imports(include=["grader"]):
    from grader.errors import MessageError
    from grader.messages import HARMLESS_IRREGULARITIES, decode_end, decode_reply

from tests.fuzz.mutate import mutate_json
from tests.fuzz.seeds import LIMITS, QUESTIONS, make_endings, make_seeds

if TYPE_CHECKING:
    from grader.questions import Extraction

MEMORY_CAP_BYTES = 64_000_000
"""What one message of at most 50 kB, and the fuzzer's own notes, may take beyond the start."""
HANG_SECONDS = 2
WANTED_RATE = 1000
"""Messages a second."""
FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def main() -> int:
    """Run for a time in a process of its own, and report; 1 if something was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--seed", type=int, default=1, help="of libFuzzer's random numbers")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        fuzz(arguments.child, arguments.seconds, arguments.seed)
    with tempfile.TemporaryDirectory(prefix="fuzz-decoder-") as directory:
        write_corpus(Path(directory))
        command = [sys.executable, "-m", "tests.fuzz.fuzz_decoder", "--child", directory]
        command += ["--seconds", str(arguments.seconds), "--seed", str(arguments.seed)]
        start = time.monotonic()
        ended = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
        seconds = time.monotonic() - start
        return report(ended, seconds, Path(directory))


def write_corpus(directory: Path) -> None:
    """The seeds, one file each."""
    inputs = [bytes([question]) + payload for question, payload in make_seeds()]
    inputs += [bytes([len(QUESTIONS)]) + payload for payload in make_endings()]
    for number, content in enumerate(inputs):
        (directory / f"seed-{number}").write_bytes(content)


def fuzz(corpus: Path, seconds: int, seed: int) -> None:
    """Fuzz until the time is over; libFuzzer ends the process."""
    options = {
        "max_total_time": seconds,
        "max_len": LIMITS.message_bytes + 100,
        "timeout": HANG_SECONDS,
        "seed": seed,
        "print_final_stats": 1,
        "artifact_prefix": f"{corpus}/found-",
    }
    argv = [sys.argv[0], *(f"-{name}={value}" for name, value in options.items()), str(corpus)]
    atheris.Setup(argv, run_one, custom_mutator=mutate)
    pages = int(Path("/proc/self/statm").read_text().split()[5])
    cap = pages * resource.getpagesize() + MEMORY_CAP_BYTES
    resource.setrlimit(resource.RLIMIT_DATA, (cap, cap))
    atheris.Fuzz()


def run_one(data: bytes) -> None:
    """Decode one message; what is accepted must keep the decoder's promises."""
    which, payload = data[:1], data[1:]
    index = which[0] % (len(QUESTIONS) + 1) if which else 0
    with contextlib.suppress(MessageError):
        if index == len(QUESTIONS):
            decode_end(payload)
        else:
            check(decode_reply(QUESTIONS[index], payload, LIMITS))


def check(extraction: Extraction) -> None:
    """What was accepted is within the limits, and its texts are harmless."""
    texts = [extraction.value_type, extraction.location]
    if extraction.failure is not None:
        failure = extraction.failure
        texts += [failure.phase, failure.message, failure.next_step, failure.location]
        texts += [failure.traceback]
    if extraction.model is not None:
        layers = extraction.model.model.layers
        assert len(layers) <= LIMITS.layers
        if all(layer.irregularity in HARMLESS_IRREGULARITIES for layer in layers):
            assert extraction.model.model.count_parameters() <= LIMITS.parameters
        texts += [text for layer in layers for text in (layer.kind, layer.path)]
        texts += [layer.irregularity_detail for layer in layers]
    states = [extraction.answered, extraction.model is not None, extraction.failure is not None]
    assert sum(states) == 1 or (extraction.question.optional and not any(states))
    for text in texts:
        assert not FORBIDDEN.search(text), text


def mutate(data: bytes, maximum_size: int, seed: int) -> bytes:
    """One change to the structure, or libFuzzer's own changes to the bytes."""
    changed = mutate_json(data[1:], seed) if seed % 3 else None
    if changed is not None and len(changed) < maximum_size:
        return data[:1] + changed
    return bytes(atheris.Mutate(data, maximum_size))


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
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
