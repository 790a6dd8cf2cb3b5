"""A process that the grader starts ends with it, even if the grader ends before it can say so."""

import subprocess
import sys

import pytest

from tests.support.processes import alive

CHILD = """
import os, sys, time
time.sleep(float(sys.argv[2]))
from grader.kernel import die_with_parent
die_with_parent(int(sys.argv[1]))
print("it lives", flush=True)
time.sleep(600)
"""
PARENT = """
import os, subprocess, sys
child = subprocess.Popen(
    [sys.executable, "-c", sys.argv[1], str(os.getpid()), sys.argv[2]], stdout=subprocess.PIPE
)
if sys.argv[2] == "0":
    assert child.stdout.readline() == b"it lives\\n"
print(child.pid)
sys.stdout.flush()
os._exit(0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a pipe's end is noticed")
@pytest.mark.parametrize("delay_seconds", ["0", "1"], ids=["after", "before"])
def test_the_parent_may_end_at_any_time(delay_seconds):
    """After the child has said that it will end too, and before."""
    ended = subprocess.run(
        [sys.executable, "-c", PARENT, CHILD, delay_seconds],
        stdout=subprocess.PIPE,
        check=True,
        timeout=60,
    )
    assert alive([int(ended.stdout)]) == []
