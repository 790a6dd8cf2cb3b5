"""The commit of a clone is read without anything that its owner configured."""

from __future__ import annotations

import os
import shutil
import subprocess
import zipfile
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from grader.intake import commits
from grader.intake.commits import last_commit, read_commit, write_archive

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(directory: Path, *arguments: str, when: str = "2026-03-10T23:58:59+01:00") -> str:
    environment = os.environ | {
        "GIT_AUTHOR_DATE": "2026-03-09T10:00:00+01:00",
        "GIT_COMMITTER_DATE": when,
        "GIT_CONFIG_GLOBAL": os.devnull,
    }
    who = ("-c", "user.name=Ann", "-c", "user.email=ann@b.org")
    command = ["git", "-C", str(directory), *who, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return done.stdout.strip()


@pytest.fixture(name="clone")
def make_clone(tmp_path: Path) -> Path:
    """A student's clone with one commit."""
    clone = tmp_path / "ann"
    clone.mkdir()
    git(clone, "init", "-q", "-b", "main")
    (clone / "problem_1.py").write_text("x = 1\n")
    git(clone, "add", ".")
    git(clone, "commit", "-q", "-m", "done")
    return clone


@pytest.mark.parametrize("packed", [False, True])
def test_commit(clone: Path, *, packed: bool) -> None:
    """The committer's time, with its zone, and the hash; from loose objects and from packs."""
    if packed:
        git(clone, "gc", "-q")
        assert not (clone / ".git" / "refs" / "heads" / "main").exists()
    commit = read_commit(clone)
    assert commit is not None
    assert commit.sha == git(clone, "rev-parse", "HEAD")
    berlin = timezone(timedelta(hours=1))
    assert commit.committed_at == datetime(2026, 3, 10, 23, 58, 59, tzinfo=berlin)


def test_detached(clone: Path) -> None:
    """A checked-out hash is read, too."""
    git(clone, "checkout", "-q", "--detach")
    commit = read_commit(clone)
    assert commit is not None
    assert commit.sha == git(clone, "rev-parse", "HEAD")


def test_no_configuration_runs(clone: Path, tmp_path: Path) -> None:
    """Nothing that a repository can name is run: no pager, hook, monitor, remote or filter."""
    witness = tmp_path / "ran"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {witness}\n")
    program.chmod(0o755)
    config = f"""
[core]
    repositoryformatversion = 1
    fsmonitor = {program}
    pager = {program}
    sshCommand = {program}
    hooksPath = {tmp_path}
[extensions]
    partialClone = origin
[remote "origin"]
    url = ext::{program}
    promisor = true
[protocol "ext"]
    allow = always
[log]
    showSignature = true
[gpg]
    program = {program}
[alias]
    cat-file = !{program}
"""
    (clone / ".git" / "config").write_text(config)
    assert read_commit(clone) is not None
    shutil.rmtree(clone / ".git" / "objects")
    (clone / ".git" / "objects").mkdir()
    assert read_commit(clone) is None
    assert not witness.exists()


@pytest.mark.parametrize(
    "head", ["", "ref: refs/heads/../../../secret", "ref: refs/heads/none", "0" * 39, "--help"]
)
def test_broken(clone: Path, head: str) -> None:
    """Whatever HEAD says, nothing is found, and nothing fails."""
    (clone / ".git" / "HEAD").write_text(head)
    assert read_commit(clone) is None


def test_links_not_followed(clone: Path, tmp_path: Path) -> None:
    """A link in place of the store or of HEAD leads nowhere."""
    other = tmp_path / "other"
    other.mkdir()
    (other / ".git").symlink_to(clone / ".git")
    assert read_commit(other) is None
    assert read_commit(tmp_path) is None


def test_last_commit(clone: Path, tmp_path: Path) -> None:
    """The newest commit up to a time, and its files; none before the first."""
    (clone / "problem_1.py").write_text("x = 2\n")
    git(clone, "commit", "-q", "-a", "-m", "late", when="2026-03-12T10:00:00+01:00")
    until = datetime(2026, 3, 11, tzinfo=timezone(timedelta(hours=1)))
    found = last_commit(clone, until)
    assert found is not None
    assert found.sha == git(clone, "rev-parse", "HEAD~")
    assert write_archive(clone, found, tmp_path / "then.zip")
    with zipfile.ZipFile(tmp_path / "then.zip") as archive:
        assert archive.read("problem_1.py") == b"x = 1\n"
    assert last_commit(clone, until - timedelta(days=30)) is None


def test_endless_tree(clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small repository whose files are large fills no disk, and is graded as it lies there."""
    monkeypatch.setattr(commits, "MAXIMUM_ARCHIVE_BYTES", 1_000_000)
    (clone / "noise").write_bytes(os.urandom(100_000))
    tree = f"100644 blob {git(clone, 'hash-object', '-w', 'noise')}\t0"
    for _ in range(2):
        entries = "".join(f"{tree[:-1]}{number}\n" for number in range(10))
        made = subprocess.run(
            ["git", "-C", clone, "mktree"],
            input=entries,
            capture_output=True,
            text=True,
            check=True,
        )
        tree = f"040000 tree {made.stdout.strip()}\t0"
    sha = git(clone, "commit-tree", made.stdout.strip(), "-m", "all of it")
    git(clone, "update-ref", "HEAD", sha)
    commit = read_commit(clone)
    assert commit is not None
    assert not write_archive(clone, commit, tmp_path / "all.zip")
    assert (tmp_path / "all.zip").stat().st_size == 0


def test_nothing_is_run_for_an_archive(clone: Path, tmp_path: Path) -> None:
    """Filters and hooks that the clone configures are not those of the archive."""
    ran = tmp_path / "ran"
    (clone / ".gitattributes").write_text("*.py filter=own\n")
    git(clone, "add", ".")
    git(clone, "commit", "-q", "-m", "attributes")
    for name in ("filter.own.smudge", "filter.own.process", "tar.zip.command", "core.fsmonitor"):
        git(clone, "config", name, f"touch {ran}")
    commit = read_commit(clone)
    assert commit is not None
    assert write_archive(clone, commit, tmp_path / "then.zip")
    assert not ran.exists()
