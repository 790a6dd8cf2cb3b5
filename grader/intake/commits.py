"""The commit that a clone has checked out, and its time.

A student owns `.git`, and its configuration can name programs for git to run. So git never reads
that configuration: it gets a directory of ours, whose objects are looked up in the student's.
"""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from tempfile import TemporaryDirectory

from grader.intake.files import kind_of, open_regular

GIT_SECONDS = 10.0
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
    store = directory / ".git"
    git = shutil.which("git")
    if git is None or kind_of(store) != stat.S_IFDIR or kind_of(store / "objects") != stat.S_IFDIR:
        return None
    sha = _head(store)
    if sha is None:
        return None
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
        try:
            found = subprocess.run(  # noqa: S603 - with a configuration of ours
                [git, f"--git-dir={ours}", "cat-file", "commit", sha],
                capture_output=True,
                timeout=GIT_SECONDS,
                check=True,
                env={"PATH": "", "HOME": own, "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C"},
            )
        except (OSError, subprocess.SubprocessError):
            return None
    match = _COMMITTER.search(found.stdout.partition(b"\n\n")[0])
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
    text = _read(store / "HEAD").strip()
    if _HASH.fullmatch(text):
        return text
    match = _BRANCH.fullmatch(text)
    if match is None or ".." in match[1].split("/"):
        return None
    loose = _read(store / match[1]).strip()
    if _HASH.fullmatch(loose):
        return loose
    packed = re.search(
        rf"^({_HASH.pattern}) {re.escape(match[1])}$", _read(store / "packed-refs"), re.MULTILINE
    )
    return packed[1] if packed else None


def _read(path: Path) -> str:
    try:
        with open_regular(path) as file:
            return file.read(_MAXIMUM_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
