"""The commit that a clone has checked out, its time, and the last one before a deadline.

A student owns `.git`, and its configuration can name programs for git to run. So git never reads
that configuration: it gets a directory of ours, whose objects are looked up in the student's.
"""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

if sys.platform == "linux":
    import resource

from grader.intake.files import kind_of, open_regular

GIT_SECONDS = 10.0
MAXIMUM_ARCHIVE_BYTES = 200_000_000
_MAXIMUM_BYTES = 5_000_000
_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_BRANCH = re.compile(r"ref: (refs/heads/[\w./+@-]{1,200})")
_COMMITTER = re.compile(rb"^committer [^\n]*> (\d{1,12}) ([+-])(\d\d)(\d\d)$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Commit:
    """A commit; `committed_at` is what the clock of the committer's machine said."""

    sha: str
    committed_at: datetime


def read_commit(directory: Path) -> Commit | None:
    """Return the commit that a clone has checked out, or None if there is none or no git."""
    with _opened(directory) as clone:
        return _read(clone, clone.head) if clone is not None else None


def last_commit(directory: Path, until: datetime) -> Commit | None:
    """Return the newest commit of a clone up to a time, by the committers' clocks, or None."""
    with _opened(directory) as clone:
        if clone is None:
            return None
        moment = until.astimezone(UTC).strftime("--before=%Y-%m-%dT%H:%M:%SZ")
        found = clone.run("rev-list", "--max-count=1", moment, clone.head).decode().strip()
        return _read(clone, found) if _HASH.fullmatch(found) else None


def write_archive(directory: Path, commit: Commit, path: Path) -> bool:
    """Write the files of a commit to a zip archive; return False if that fails."""
    with _opened(directory) as clone:
        content = clone.run("archive", "--format=zip", commit.sha) if clone else b""
    path.write_bytes(content)
    return bool(content)


@dataclass(frozen=True, kw_only=True)
class _Clone:
    """A clone whose objects are read through a directory of ours."""

    git: str
    own: Path
    head: str

    def run(self, *arguments: str) -> bytes:
        """Return what git prints, b"" if it fails, takes too long or prints too much."""
        # Into a file, whose size the kernel limits, as a small repository can hold large trees.
        with TemporaryFile() as printed:
            try:
                subprocess.run(  # noqa: S603 - with a configuration of ours
                    [self.git, f"--git-dir={self.own}", *arguments],
                    stdout=printed,
                    stderr=subprocess.DEVNULL,
                    timeout=GIT_SECONDS,
                    check=True,
                    env={
                        "PATH": "",
                        "HOME": str(self.own),
                        "GIT_CONFIG_NOSYSTEM": "1",
                        "LC_ALL": "C",
                    },
                    preexec_fn=_limit_size if sys.platform == "linux" else None,
                )
            except (OSError, subprocess.SubprocessError):
                return b""
            printed.seek(0)
            return printed.read()


def _limit_size() -> None:
    # Between fork and exec: nothing may be imported here.
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAXIMUM_ARCHIVE_BYTES, MAXIMUM_ARCHIVE_BYTES))


@contextmanager
def _opened(directory: Path) -> Iterator[_Clone | None]:
    store = directory / ".git"
    git = shutil.which("git")
    is_clone = kind_of(store) == stat.S_IFDIR and kind_of(store / "objects") == stat.S_IFDIR
    sha = _head(store) if git and is_clone else None
    if git is None or sha is None:
        yield None
        return
    with TemporaryDirectory() as own:
        ours = Path(own)
        (ours / "objects" / "info").mkdir(parents=True)
        (ours / "refs").mkdir()
        (ours / "HEAD").write_text("ref: refs/heads/none\n")
        (ours / "objects" / "info" / "alternates").write_text(f"{store.resolve() / 'objects'}\n")
        form = "" if len(sha) == 40 else "[extensions]\nobjectFormat = sha256\n"
        version = 0 if len(sha) == 40 else 1
        (ours / "config").write_text(
            f"[core]\nrepositoryformatversion = {version}\nbare = true\n{form}"
        )
        yield _Clone(git=git, own=ours, head=sha)


def _read(clone: _Clone, sha: str) -> Commit | None:
    found = clone.run("cat-file", "commit", sha)
    match = _COMMITTER.search(found.partition(b"\n\n")[0])
    if match is None:
        return None
    seconds, sign, hours, minutes = match.groups()
    offset = timedelta(hours=int(hours), minutes=int(minutes)) * (1 if sign == b"+" else -1)
    try:
        committed_at = datetime.fromtimestamp(int(seconds), timezone(offset))
    except (ValueError, OverflowError, OSError):
        return None
    return Commit(sha=sha, committed_at=committed_at)


def _head(store: Path) -> str | None:
    """Return the hash that HEAD leads to."""
    text = _read_text(store / "HEAD").strip()
    if _HASH.fullmatch(text):
        return text
    match = _BRANCH.fullmatch(text)
    if match is None or ".." in match[1].split("/"):
        return None
    loose = _read_text(store / match[1]).strip()
    if _HASH.fullmatch(loose):
        return loose
    packed = re.search(
        rf"^({_HASH.pattern}) {re.escape(match[1])}$",
        _read_text(store / "packed-refs"),
        re.MULTILINE,
    )
    return packed[1] if packed else None


def _read_text(path: Path) -> str:
    try:
        with open_regular(path) as file:
            return file.read(_MAXIMUM_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
