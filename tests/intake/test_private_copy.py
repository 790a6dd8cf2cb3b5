"""Intake: only regular files come in, whatever lies in the directory."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from unittest.mock import ANY

import pytest

from grader.errors import UsageError
from grader.intake import private_copy as collect_module
from grader.intake.private_copy import collect
from grader.intake.submission import Submission
from grader.intake.written import WrittenAnswer
from grader.models.failures import Failure

FILES = ["problem_1.py", "written/1A.md"]


@pytest.fixture(params=["linux", "win32"])
def directory(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A submission with one file of the assignment, read as here and as Windows must."""
    monkeypatch.setattr(sys, "platform", request.param)
    directory = tmp_path / "alice"
    directory.mkdir()
    (directory / "problem_1.py").write_text("x = 1\n")
    return directory


def notes_of(submission: Submission) -> dict[str, str]:
    """Return the reasons for files that were left out, by file."""
    return {note.file: note.message for note in submission.notes}


def test_copied_read_only(directory: Path) -> None:
    """Helper modules come along, and closing deletes the copy."""
    (directory / "written").mkdir()
    (directory / "written" / "1A.md").write_text("because\n")
    (directory / "problem_1.py").write_text("from pieces.layers import y\n")
    (directory / "pieces").mkdir()
    (directory / "pieces" / "layers.py").write_text("y = 2\n")
    with collect(directory, FILES) as submission:
        assert submission.name == "alice"
        assert submission.files == ("pieces/layers.py", "problem_1.py", "written/1A.md")
        assert submission.notes == ()
        assert "pieces" in (submission.root / "problem_1.py").read_text()
        modes = {path.stat().st_mode & 0o777 for path in submission.root.rglob("*.*")}
        assert modes == {0o444}
        assert submission.root.parent.stat().st_mode & 0o777 == 0o700
        root = submission.root
    assert not root.parent.exists()
    assert (directory / "problem_1.py").exists()


def test_own_files_among_data(directory: Path) -> None:
    """A few small files in `data` are the student's own; many, or large ones, are a data set."""
    data = directory / "data"
    data.mkdir()
    (data / "layers.txt").write_text("2")
    (data / "train.bin").write_bytes(bytes(100_001))
    (data / "link.txt").symlink_to("/etc/hostname")
    (directory.parent / "secret").write_text("secret")
    os.link(directory.parent / "secret", data / "hard.txt")
    with collect(directory, FILES) as submission:
        assert submission.files == ("data/layers.txt", "problem_1.py")
        assert "data set" in notes_of(submission)["data"]
    for number in range(20):
        (data / f"{number}.png").write_bytes(b"0")
    with collect(directory, FILES) as submission:
        assert submission.files == ("problem_1.py",)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("link.py", "a symbolic link"),
        ("hard.py", "a hard link"),
        ("pipe.py", "a named pipe"),
        ("socket.py", "a socket"),
        ("hidden_elsewhere", "a symbolic link"),
        ("t10k-images-idx3-ubyte", "data set"),
        ("data", "data set"),
    ],
)
def test_special_files_left_out(directory: Path, tmp_path: Path, name: str, says: str) -> None:
    """Links, pipes, sockets and data sets do not come in, and a note says why."""
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (directory / "link.py").symlink_to(secret)
    os.link(secret, directory / "hard.py")
    os.mkfifo(directory / "pipe.py")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(directory / "socket.py"))
    (directory / "hidden_elsewhere").symlink_to(tmp_path)
    (directory / "t10k-images-idx3-ubyte").write_bytes(b"0")
    (directory / "data").mkdir()
    (directory / "data" / "x").write_bytes(bytes(100_001))
    with collect(directory, FILES) as submission:
        assert submission.files == ("problem_1.py",)
        assert says in notes_of(submission)[name]
        assert sorted(path.name for path in submission.root.rglob("*")) == ["problem_1.py"]


def test_clutter_skipped(directory: Path) -> None:
    """Repositories, environments and caches are no part of a submission."""
    for name in (".git", "__pycache__", ".venv", "venv"):
        (directory / name).mkdir()
        (directory / name / "x.py").write_text("")
    (directory / ".DS_Store").write_text("")
    with collect(directory, FILES) as submission:
        assert submission.files == ("problem_1.py",)
        assert submission.notes == ()


def test_expected_file_is_link(directory: Path) -> None:
    """The failure says what the file is instead of what it is not."""
    (directory / "written").mkdir()
    (directory / "written" / "1A.md").symlink_to("/etc/passwd")
    with collect(directory, FILES) as submission:
        answer = submission.read_written("written/1A.md")
        assert isinstance(answer, Failure)
        assert answer.kind == "unreadable-file"
        assert answer.message == "written/1A.md was left out: it is a symbolic link."


def test_exact_names(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that ignores case finds no file that others would not."""
    (directory / "Written").mkdir()
    (directory / "Written" / "1a.md").write_text("because\n")
    real = collect_module.status_below
    names = {"written": "Written", "1A.md": "1a.md"}
    monkeypatch.setattr(
        collect_module,
        "status_below",
        lambda name, below: real(names.get(name, name), below),
    )
    with collect(directory, FILES) as submission:
        assert submission.files == ("Written/1a.md", "problem_1.py")


def test_linked_directory_not_entered(directory: Path, tmp_path: Path) -> None:
    """A symbolic link in place of written/ leads nowhere."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "1A.md").write_text("stolen")
    (directory / "written").symlink_to(outside)
    with collect(directory, FILES) as submission:
        answer = submission.read_written("written/1A.md")
        assert isinstance(answer, Failure)
        assert "written is a symbolic link" in answer.message


def test_unreadable_file(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that cannot be opened fails nothing but itself."""
    (directory / "helper.py").write_text("")
    original, original_of_path = os.open, Path.open

    def refuse(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if path == "helper.py":
            raise PermissionError(13, "Permission denied")
        return original(path, flags, mode, dir_fd=dir_fd)

    def refuse_path(path: Path, mode: str = "r", *arguments: object) -> object:
        if path.name == "helper.py":
            raise PermissionError(13, "Permission denied")
        return original_of_path(path, mode, *arguments)

    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr(Path, "open", refuse_path)
    with collect(directory, FILES) as submission:
        assert "Permission denied" in notes_of(submission)["helper.py"]


def test_sizes_capped(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too large, too many and too deep are left out, and the assignment's files come first."""
    monkeypatch.setattr(collect_module, "MAXIMUM_FILE_BYTES", 100)
    monkeypatch.setattr(collect_module, "MAXIMUM_TOTAL_BYTES", 150)
    monkeypatch.setattr(collect_module, "MAXIMUM_FILES", 4)
    monkeypatch.setattr(collect_module, "MAXIMUM_DEPTH", 2)
    (directory / "a_large").write_bytes(bytes(101))
    for name in ("b", "c", "d", "e"):
        (directory / name).write_bytes(bytes(60))
    for name in ("f", "g", "h"):
        (directory / name).write_bytes(b"")
    (directory / "x" / "y" / "z").mkdir(parents=True)
    with collect(directory, FILES) as submission:
        notes = notes_of(submission)
        assert submission.files[:3] == ("b", "c", "f")
        assert "problem_1.py" in submission.files
        assert "larger than 100 bytes" in notes["a_large"]
        assert "150 bytes in all" in notes["d"]
        assert "more than 4 files" in notes["h"]
        assert "directories deep" in notes["x/y/z"]


def test_many_entries(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory of countless files is not walked to its end."""
    monkeypatch.setattr(collect_module, "MAXIMUM_ENTRIES", 3)
    for number in range(10):
        (directory / f"a{number}").write_text("")
    with collect(directory, FILES) as submission:
        assert len(submission.files) == 4
        assert "only its first 3 files" in notes_of(submission)["."]


def test_odd_names(directory: Path) -> None:
    """Names with line breaks, escapes, other bytes or a leading dash become visible text."""
    names = [b"-rf", b"a\nb", b"\x1b[31mred", b"\xff\xfe", "é\u202e.py".encode()]
    for name in names:
        with open(os.fsencode(directory) + b"/" + name, "wb") as file:  # noqa: PTH123 - bytes
            file.write(b"x")
    with collect(directory, FILES) as submission:
        assert sorted(submission.files) == sorted(
            ["-rf", "a\\nb", "\\x1b[31mred", "\\xff\\xfe", "é\\u202e.py", "problem_1.py"]
        )
        copied = {os.fsencode(path.name) for path in submission.root.iterdir()}
        assert copied == {*names, b"problem_1.py"}


def test_digest(directory: Path) -> None:
    """The digest changes with a name or a byte, and with nothing else."""

    def digest() -> str:
        with collect(directory, FILES) as submission:
            return submission.sha256

    first = digest()
    os.utime(directory / "problem_1.py", (1, 1))
    (directory / ".hidden").write_text("")
    assert digest() == first
    (directory / "helper.py").write_text("a")
    second = digest()
    (directory / "helper.py").rename(directory / "helpers.py")
    third = digest()
    (directory / "helpers.py").write_text("b")
    assert len({first, second, third, digest()}) == 4


@pytest.mark.parametrize(
    ("content", "kind", "says"),
    [
        (b"caf\xe9\n", "encoding", "line 1 holds the byte 0xE9"),
        (b"x" * 200_001, "limit", "200,001 bytes"),
    ],
)
def test_unreadable_written_answer(directory: Path, content: bytes, kind: str, says: str) -> None:
    """Another encoding or a huge file is explained, with the next step."""
    (directory / "written").mkdir()
    (directory / "written" / "1A.md").write_bytes(content)
    with collect(directory, FILES) as submission:
        answer = submission.read_written("written/1A.md")
    assert isinstance(answer, Failure)
    assert answer.kind == kind
    assert says in answer.message
    assert answer.next_step


def test_written_answer(directory: Path) -> None:
    """UTF-8 is read, with or without a byte order mark; a missing file is explained."""
    (directory / "written").mkdir()
    (directory / "written" / "1A.md").write_bytes(b"\xef\xbb\xbf# \xc3\xa9\r\n")
    with collect(directory, [*FILES, "written/1B.md"]) as submission:
        answer = submission.read_written("written/1A.md")
        assert answer == WrittenAnswer(text="# é", place="written/1A.md", sha256=ANY)
        missing = submission.read_written("written/1B.md")
    assert isinstance(missing, Failure)
    assert missing.kind == "missing-file"


def test_wrong_directories(tmp_path: Path, directory: Path) -> None:
    """A missing directory, a file and a directory without expected files are wrong use."""
    (tmp_path / "empty").mkdir()
    (directory / "1A.md").write_text("because")
    for wrong, says in [
        (tmp_path / "absent", "there is no directory"),
        (directory / "1A.md", "is a file, not a directory"),
        (tmp_path / "empty", r"no file of the assignment found in .*problem_1.py"),
    ]:
        with pytest.raises(UsageError, match=says), collect(wrong, FILES):
            pass


def test_files_one_level_down(tmp_path: Path, directory: Path) -> None:
    """A file in the only directory that has it is read, and a note says so."""
    with collect(tmp_path, FILES) as submission:
        assert submission.sources == {"problem_1.py": ("alice/problem_1.py",)}
        assert notes_of(submission) == {"alice/problem_1.py": "read as problem_1.py"}


def test_files_in_several_directories(tmp_path: Path, directory: Path) -> None:
    """Naming a class's directory by mistake gets the right directory as advice."""
    (tmp_path / "bob").mkdir()
    (tmp_path / "bob" / "problem_1.py").write_text("x = 2\n")
    with pytest.raises(UsageError) as caught, collect(tmp_path, FILES):
        pass
    assert str(directory) in caught.value.next_step


def test_failed_copy_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left in the temporary directory after wrong use."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    with pytest.raises(UsageError), collect(tmp_path / "empty", FILES):
        pass
    assert list((tmp_path / "temporary").iterdir()) == []


COLLECTOR = """
import os, sys
from pathlib import Path
from grader.intake.private_copy import collect
with collect(Path(sys.argv[1]), ["problem_1.py"]) as submission:
    print(submission.root.parent, flush=True)
    sys.stdin.read()
"""


def test_copies_of_killed_graders(
    tmp_path: Path, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy outlives a SIGKILL until the next grader; copies of running graders stay."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    with (
        subprocess.Popen(
            [sys.executable, "-c", COLLECTOR, directory],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as other,
        collect(directory, FILES) as mine,
    ):
        assert other.stdout is not None
        theirs = Path(other.stdout.readline().strip())
        old = time.time() - 3600
        for path in (theirs, mine.root.parent):
            os.utime(path, (old, old))
        with collect(directory, FILES):
            pass
        assert {theirs, mine.root.parent} == set(temporary.iterdir())
        other.kill()
        other.wait()
        with collect(directory, FILES):
            pass
        assert list(temporary.iterdir()) == [mine.root.parent]
    assert list(temporary.iterdir()) == []


def test_foreign_directories_kept(
    tmp_path: Path, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a lock file, or with a link in its place, a directory is not ours to delete."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "target").write_text("")
    for name in ("grader-submission-plain", "grader-submission-link"):
        (tmp_path / name).mkdir()
    (tmp_path / "grader-submission-link" / "lock").symlink_to(tmp_path / "target")
    for path in tmp_path.iterdir():
        os.utime(path, (0, 0))
    with collect(directory, FILES):
        pass
    assert len(list(tmp_path.glob("grader-submission-*"))) == 2


def test_earlier_reports_skipped(tmp_path):
    """`grade .` writes below the directory that it grades, and the digest stays the same."""
    (tmp_path / "problem_1.py").write_text("x = 1\n")
    digests = []
    for _ in range(2):
        with collect(tmp_path, ["problem_1.py"]) as submission:
            digests.append(submission.sha256)
        (tmp_path / "reports" / "me").mkdir(parents=True, exist_ok=True)
        (tmp_path / "reports" / "me" / "report.html").write_text("<p>")
    assert digests[0] == digests[1]
