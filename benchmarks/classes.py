"""The cost of `grade batch` for classes of growing size: time and the parent's peak memory.

The students of a class differ in the hidden layers of 2C and 2D, which are so trained for each of
them; what they have in common is trained once. All is on the practice set.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.measuring import GRADE, REFERENCE, Outcome, Settings, command_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

SIZES = (1, 10, 100)
STORED_STUDENTS = 1000
GRADED = (0, 1)
WRITTEN = "1A,1B,1C,1E.text,2B.text,3A,3F,3G.text"
"""Parts without sandbox or training, so that a thousand students are stored quickly."""


def measure_classes(settings: Settings) -> Outcome:
    """Grade classes, then run the same commands again with nothing changed."""
    sizes = SIZES[:2] if settings.small else SIZES
    stored = 100 if settings.small else STORED_STUDENTS
    rows: list[tuple[str, ...]] = [
        ("students", "time", "time a student", "peak memory of the parent", "again")
    ]
    record: dict[str, object] = {}
    for students in sizes:
        row, record[str(students)] = _measure(students, ())
        rows.append(row)
    row, record[f"{stored} written"] = _measure(stored, ("--only", WRITTEN))
    rows.append((f"{row[0]}, written answers only", *row[1:]))
    torch_seconds = median(
        command_seconds([sys.executable, "-c", "import torch"]) for _ in range(3)
    )
    record["import_torch_seconds"] = torch_seconds
    remark = f"`import torch` alone took {torch_seconds:.1f} s (median of 3) in the same run."
    return Outcome(table=rows, record=record, remarks=(remark,))


def _measure(students: int, options: Sequence[str]) -> tuple[tuple[str, ...], dict[str, float]]:
    with tempfile.TemporaryDirectory() as directory:
        submissions, reports = Path(directory, "submissions"), Path(directory, "reports")
        for number in range(students):
            _hand_in(submissions / f"student-{number:04}", number)
        command: list[str | Path] = [
            GRADE,
            "batch",
            submissions,
            "--practice",
            "--output",
            reports,
            *options,
        ]
        environment = {**os.environ, "XDG_CACHE_HOME": str(Path(directory, "cache"))}
        seconds, peak_bytes = _run(command, environment)
        again_seconds, _ = _run(command, environment)
    row = (
        f"{students:,}",
        f"{seconds:.0f} s",
        f"{seconds / students:.1f} s",
        f"{peak_bytes / 1e6:.0f} MB",
        f"{again_seconds:.1f} s",
    )
    record = {"seconds": seconds, "peak_bytes": peak_bytes, "again_seconds": again_seconds}
    return row, record


def _hand_in(folder: Path, number: int) -> None:
    shutil.copytree(REFERENCE, folder)
    file = folder / "problem_2.py"
    widths = {"100)": f"{100 - number % 60})", "(100,": f"({100 - number % 60},"}
    text = file.read_text()
    network_c, rest = text.split("def optimizer_c", maxsplit=1)
    for old, new in widths.items():
        network_c = network_c.replace(old, new)
    second = 60 - number // 60
    rest = rest.replace("140, 60)", f"140, {second})").replace("(60, 10)", f"({second}, 10)")
    file.write_text(f"{network_c}def optimizer_c{rest}")


def _run(command: Sequence[str | Path], environment: dict[str, str]) -> tuple[float, int]:
    """Wall time in seconds, and the most memory that the process itself had resident, in bytes."""
    started = time.monotonic()
    peak_bytes = 0
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        while process.poll() is None:
            with suppress(OSError, StopIteration):
                status = Path(f"/proc/{process.pid}/status").read_text()
                line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
                peak_bytes = int(line.split()[1]) * 1024
            time.sleep(0.05)
    if process.returncode not in GRADED:
        raise SystemExit(f"{command} ended with exit code {process.returncode}")
    return time.monotonic() - started, peak_bytes
