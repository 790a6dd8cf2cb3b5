"""Memory that ran out is told from every other mishap."""

import pytest
import torch

from grader.errors import memory_shortage
from grader.kernel import count_memory_kills, memory_cap_bytes


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """Writes the files of a kernel by their path, and counts in them."""
    monkeypatch.setattr("grader.kernel.CONTROL_GROUPS", tmp_path / "cgroup")
    monkeypatch.setattr("grader.kernel.PROCESSES", tmp_path / "proc")

    def ask(files: dict[str, str], question=count_memory_kills) -> int | None:
        for path, content in files.items():
            file = tmp_path / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
        return question()

    return ask


EVENTS = "low 0\nhigh 12\nmax 7\noom 5\noom_kill 3\noom_group_kill 2\n"
MACHINE = "nr_free_pages 100\noom_kill 41\n"


@pytest.mark.parametrize(
    ("group", "events"), [("/", "memory.events"), ("/a/b", "a/b/memory.events")]
)
def test_own_control_group(group, events, kernel):
    """The group's own counter is the one that counts."""
    files = {
        "proc/self/cgroup": f"4:memory:/old\n0::{group}\n",
        "proc/vmstat": MACHINE,
        f"cgroup/{events}": EVENTS,
    }
    assert kernel(files) == 3


def test_group_that_does_not_count(kernel):
    """Without a counter of the group, the machine's is used."""
    assert kernel({"proc/self/cgroup": "0::/\n", "proc/vmstat": MACHINE}) == 41


def test_machine_that_does_not_count(kernel):
    """Where there is no counter, no death is ever put down to memory."""
    assert kernel({"proc/vmstat": "nr_free_pages 100\n"}) == 0


def test_this_machine():
    """A real kernel's files can be read, or are missing."""
    assert count_memory_kills() >= 0


def test_the_tightest_cap_counts(kernel):
    """A group may take no more than any group above it."""
    files = {
        "proc/self/cgroup": "0::/a/b\n",
        "cgroup/memory.max": "900\n",
        "cgroup/a/memory.max": "700\n",
        "cgroup/a/b/memory.max": "max\n",
    }
    assert kernel(files, memory_cap_bytes) == 700


def test_no_cap(kernel):
    """Where nothing is capped, or there are no groups, that is said."""
    assert kernel({}, memory_cap_bytes) is None
    assert (
        kernel({"proc/self/cgroup": "0::/\n", "cgroup/memory.max": "max\n"}, memory_cap_bytes)
        is None
    )


def test_memory_that_cannot_be_had():
    """PyTorch says so in its own way, and that is no fault of a model."""
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert "memory ran out" in str(memory_shortage(caught.value))
    assert memory_shortage(MemoryError()) is not None


def test_other_mishaps():
    """An error about anything else stays what it is."""
    with pytest.raises(RuntimeError) as caught:
        torch.ones(2) @ torch.ones(3)
    assert memory_shortage(caught.value) is None
    assert memory_shortage(ValueError("you tried to allocate")) is None
