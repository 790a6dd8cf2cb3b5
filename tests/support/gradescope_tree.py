"""A machine laid out like Gradescope's container, with the upload in it and a submission.

`python -m tests.support.gradescope_tree DIRECTORY` runs `/autograder/run_autograder` as Gradescope
does, in a root directory of its own below DIRECTORY, and prints its `results.json`. The files of
`/autograder` and the temporary ones share a small disk. As root, under Docker's default profile
(`docker_profile.py`). This environment stands in for the one that `setup.sh` installs.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from grader.platforms.gradescope.settings import Settings
from grader.platforms.gradescope.upload import CPU_INDEX, build_upload
from tests.support.docker_profile import (
    CLONE_NEWNS,
    MS_BIND,
    MS_PRIVATE,
    MS_REC,
    check,
    libc,
    mount,
)
from tests.support.paths import ROOT

DISK_MEGABYTES = 48
"""Less than a submission may write to its scratch directory."""
RUN = "cd /autograder && exec ./run_autograder"
LEFT_OVER = '{"score": 1000, "tests": []}'


def settings(**changes: Any) -> Settings:
    """As `grade gradescope build --practice` writes them."""
    fields: dict[str, Any] = {
        "assignment": "set4",
        "practice": True,
        "leaderboard": False,
        "data_directory": None,
        "question_memory_bytes": 118_000_000,
        "time_limit_seconds": 540.0,
    }
    return Settings(**(fields | changes))


def lay_out(autograder: Path, submission: Path, chosen: Settings) -> None:
    """Write the files that Gradescope has in `/autograder` when it starts `run_autograder`."""
    upload = build_upload(chosen, author_files={}, torch_index=CPU_INDEX)
    with zipfile.ZipFile(io.BytesIO(upload)) as archive:
        archive.extractall(autograder / "source")
    shutil.copy(autograder / "source" / "run_autograder", autograder)
    (autograder / "run_autograder").chmod(0o755)
    shutil.copytree(submission, autograder / "submission")
    (autograder / "results").mkdir()
    (autograder / "results" / "results.json").write_text(LEFT_OVER)


def grade_in_tree(directory: Path, submission: Path, **changes: Any) -> dict[str, Any]:
    """The results of a submission in such a container."""
    if os.geteuid() != 0:
        pytest.skip("only root can lay out a container")
    lay_out(directory / "autograder", submission, settings(**changes))
    finished = subprocess.run(
        [sys.executable, "-m", "tests.support.gradescope_tree", directory],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=900,
        check=False,
    )
    sys.stderr.write(finished.stderr)  # shown where a test fails
    assert finished.returncode == 0
    return json.loads(finished.stdout)


def bind(source: Path, target: Path) -> None:
    """Show a directory or a file at another place too."""
    if source.is_symlink():
        target.symlink_to(source.readlink())
        return
    if source.is_dir():
        target.mkdir()
    else:
        target.touch()
    mount(str(source), str(target), "none", MS_BIND | MS_REC)


def make_root(root: Path) -> None:
    """The system as it is, this environment where `setup.sh` would install one, and the disk."""
    root.mkdir(mode=0o755)
    mount(str(root), str(root), "none", MS_BIND)
    for entry in Path("/").iterdir():
        if entry.name not in {"opt", "autograder", "disk"}:
            bind(entry, root / entry.name)
    (root / "opt").mkdir()
    for entry in Path("/opt").iterdir():
        bind(entry, root / "opt" / entry.name)
    home = root / "opt" / "sequential-grader"
    home.mkdir()
    bind(Path(sys.prefix), home / "venv")
    (root / "disk").mkdir()
    mount("none", str(root / "disk"), "tmpfs", 0, f"mode=0755,size={DISK_MEGABYTES}m")
    (root / "disk" / "temporary").mkdir()


def main(directory: Path) -> None:
    """Make the tree, which lasts as long as this process, grade in it, and print the results."""
    os.umask(0o022)
    check(libc.unshare(CLONE_NEWNS))
    mount("none", "/", "none", MS_REC | MS_PRIVATE)
    root = directory / "root"
    make_root(root)
    shutil.copytree(directory / "autograder", root / "disk" / "autograder")
    bind(root / "disk" / "autograder", root / "autograder")
    python = "/opt/sequential-grader/venv/bin/python"
    subprocess.run(
        [python, ROOT / "tests" / "support" / "docker_profile.py", *("sh", "-c", RUN)],
        preexec_fn=lambda: os.chroot(root),
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        env={"PATH": os.environ["PATH"], "TMPDIR": "/disk/temporary"},
        check=True,
    )
    sys.stdout.write((root / "autograder" / "results" / "results.json").read_text())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
