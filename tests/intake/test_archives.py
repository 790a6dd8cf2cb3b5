"""Unpacking: ordinary archives come out whole, hostile ones not at all."""

from __future__ import annotations

import contextlib
import io
import lzma
import stat
import struct
import tarfile
import tracemalloc
import unicodedata
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grader.errors import UnusableSubmissionError
from grader.intake.archives import (
    MAXIMUM_HEADER_BYTES,
    is_archive,
    unpack,
    unpack_class,
    without_ending,
)
from tests.support.archive_samples import (
    make_encrypted_zip,
    make_lying_zip,
    make_symlink_zip,
    make_tar,
    make_tar_of,
    make_zip,
    make_zip_with_kind,
    regular,
    special,
)

FILES = {"problem_1.py": "x = 1\n", "written/1A.md": "because\n"}


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Where archives are unpacked, with room around it to notice what leads out."""
    target = tmp_path / "around" / "target"
    target.mkdir(parents=True)
    return target


def unpacked(target: Path) -> dict[str, str]:
    """Every file below the target."""
    return {
        str(path.relative_to(target)): path.read_text()
        for path in target.rglob("*")
        if path.is_file()
    }


def refusal(archive: Path, target: Path) -> str:
    """Return the reason of the refusal; no file may have been written."""
    with pytest.raises(UnusableSubmissionError) as error:
        unpack(archive, target)
    assert error.value.next_step
    assert str(error.value).startswith(f"{archive.name} cannot be unpacked: ")
    assert unpacked(target.parent) == {}
    return str(error.value)


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("a.zip", ""),
        ("a.tar", "w"),
        ("a.tar.gz", "w:gz"),
        ("a.tgz", "w:gz"),
        ("a.tar.xz", "w:xz"),
        ("a.tar.bz2", "w:bz2"),
    ],
)
def test_every_format_unpacks(tmp_path: Path, target: Path, name: str, mode: str) -> None:
    """Contents and directories are the same, and no file is executable."""
    archive = make_tar(tmp_path / name, FILES, mode) if mode else make_zip(tmp_path / name, FILES)
    unpack(archive, target)
    assert unpacked(target) == FILES
    assert not any(path.stat().st_mode & 0o111 for path in target.rglob("*") if path.is_file())


def test_bytes_tell_format(tmp_path: Path, target: Path) -> None:
    """A zip archive that calls itself a tar is unpacked all the same."""
    unpack(make_zip(tmp_path / "a.tar.gz", FILES), target)
    assert unpacked(target) == FILES


def test_clutter_skipped(tmp_path: Path, target: Path) -> None:
    """Neither macOS's shadows nor an environment full of links keeps the answers out."""
    archive = make_tar_of(
        tmp_path / "a.tar.gz",
        [
            (regular("./problem_1.py", 6), "x = 1\n"),
            (regular("__MACOSX/._problem_1.py", 1), "?"),
            (special("venv/bin/python", tarfile.SYMTYPE, "/usr/bin/python"), ""),
            (regular(".git/config", 1), "?"),
        ],
    )
    unpack(archive, target)
    assert unpacked(target) == {"problem_1.py": "x = 1\n"}


def test_odd_names_kept(tmp_path: Path, target: Path) -> None:
    """A line break, an escape sequence, a dash and bytes that are no UTF-8 are only names."""
    names = ["two\nlines.py", "\x1b[31mred.py", "-rf.py", "caf\udce9.py"]
    unpack(make_tar(tmp_path / "a.tar.gz", dict.fromkeys(names, "x")), target)
    assert sorted(unpacked(target)) == sorted(names)


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("../out.py", "leads out of the archive"),
        ("a/../../out.py", "leads out of the archive"),
        ("venv/../../out.py", "leads out of the archive"),
        ("/etc/out.py", "absolute path"),
        ("C:/out.py", "absolute path"),
        ("..\\out.py", "leads out of the archive"),
        ("\\out.py", "absolute path"),
        ("x" * 300, "more than 255 bytes"),
        ("/".join("abcdefghijk"), "directories deep"),
    ],
)
@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_outside_paths_refused(
    tmp_path: Path, target: Path, make: Callable[..., Path], path: str, says: str
) -> None:
    """A path that leads outside is refused, and not even the honest member before it is written."""
    assert says in refusal(make(tmp_path / "a.zip", FILES | {path: "evil"}), target)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (tarfile.SYMTYPE, "a symbolic link"),
        (tarfile.LNKTYPE, "a hard link"),
        (tarfile.CHRTYPE, "a device"),
        (tarfile.BLKTYPE, "a device"),
        (tarfile.FIFOTYPE, "a named pipe"),
        (b"Z", "not a regular file"),
    ],
)
def test_tar_links_and_devices_left_out(
    tmp_path: Path, target: Path, kind: bytes, says: str
) -> None:
    """Links, devices and pipes are not made, and nothing is written through them."""
    entries = [
        (regular("problem_1.py", 1), "x"),
        (special("odd", kind, "/etc"), ""),
        (regular("odd/passwd", 1), "y"),
    ]
    left_out = unpack(make_tar_of(tmp_path / "a.tar.gz", entries), target)
    assert left_out == {"odd": f"left out: it is {says}"}
    assert unpacked(target) == {"problem_1.py": "x", "odd/passwd": "y"}


def test_zip_links_and_devices_left_out(tmp_path: Path, target: Path) -> None:
    """Links and devices are left out; an encrypted file is refused."""
    assert "a symbolic link" in "".join(
        unpack(make_symlink_zip(tmp_path / "a.zip"), target).values()
    )
    device = unpack(make_zip_with_kind(tmp_path / "b.zip", stat.S_IFBLK), target / "b")
    assert "a device" in "".join(device.values())
    assert not any(path.is_symlink() for path in target.rglob("*"))
    assert "encrypted" in refusal(make_encrypted_zip(tmp_path / "c.zip"), target)


def test_powershell_backslashes(tmp_path: Path, target: Path) -> None:
    """Windows PowerShell's archives have backslashes between directories."""
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        for name in ("hw\\", "hw\\problem_1.py", "hw\\written\\1A.md"):
            entry = zipfile.ZipInfo()
            entry.filename = name
            opened.writestr(entry, name)
    assert unpack(archive, target) == {}
    assert sorted(unpacked(target)) == ["hw/problem_1.py", "hw/written/1A.md"]


def test_environment_skipped(tmp_path: Path, target: Path) -> None:
    """The files of a virtual environment do not count among the student's."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("problem_1.py", "x")
        for number in range(20_100):
            archive.writestr(f"venv/{number}.py", "")
    assert unpack(tmp_path / "a.zip", target) == {}
    assert unpacked(target) == {"problem_1.py": "x"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("problem_1.py", "Problem_1.py"),
        ("written/1A.md", "Written/1B.md"),
        ("stra\u00dfe.py", "STRASSE.py"),
        (unicodedata.normalize("NFC", "é.py"), unicodedata.normalize("NFD", "é.py")),
    ],
)
@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_colliding_names_refused(
    tmp_path: Path, target: Path, make: Callable[..., Path], one: str, other: str
) -> None:
    """Twin names are refused, since the graded one would depend on the machine."""
    message = refusal(make(tmp_path / "a.zip", {one: "1", other: "2"}), target)
    assert "the same name on some file systems" in message


@pytest.mark.parametrize(
    "names", [["a.py", "a.py"], ["a", "a/b.py"], ["a/b.py", "a"], ["a.py", "./a.py"]]
)
def test_repeated_names_refused(tmp_path: Path, target: Path, names: list[str]) -> None:
    """A name may not be there twice, nor be both a file and a directory."""
    archive = make_tar_of(tmp_path / "a.tar", [(regular(name, 1), "x") for name in names], "w")
    assert "is in it twice" in refusal(archive, target)


def test_directory_before_files(tmp_path: Path, target: Path) -> None:
    """A directory may be named before its files, as most tools do."""
    entries = [(special("a", tarfile.DIRTYPE), ""), (regular("a/b.py", 1), "x")]
    unpack(make_tar_of(tmp_path / "a.tar", entries, "w"), target)
    assert unpacked(target) == {"a/b.py": "x"}


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_bombs_refused_by_declared_size(
    tmp_path: Path, target: Path, make: Callable[..., Path]
) -> None:
    """A ratio of a thousand is refused, although the size alone would do."""
    archive = make(tmp_path / "a.zip", {"a.py": bytes(20_000_000)})
    assert "as a bomb does" in refusal(archive, target)


def test_lying_sizes_refused(tmp_path: Path, target: Path) -> None:
    """A member gives at most its declared size, and its checksum tells the rest."""
    archive = make_lying_zip(tmp_path / "a.zip", really_bytes=100_000_000)
    assert archive.stat().st_size < 150_000
    with pytest.raises(UnusableSubmissionError, match="damaged"):
        unpack(archive, target)
    assert sum(path.stat().st_size for path in target.rglob("*")) <= 10


def test_many_members_refused(tmp_path: Path, target: Path) -> None:
    """Files and directories count, and so do skipped names."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for number in range(20_001):
            archive.writestr(f"{number}/", "")
    assert "members" in refusal(tmp_path / "a.zip", target)
    header = tarfile.TarInfo(".hidden").tobuf()
    (tmp_path / "a.tar").write_bytes(header * 100_000 + bytes(1024))
    assert "members" in refusal(tmp_path / "a.tar", target)


def test_large_zip_directory_refused(tmp_path: Path, target: Path) -> None:
    """A directory is held in memory whole, so its size is limited before it is read."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for number in range(250):
            entry = zipfile.ZipInfo(f"{number}.py")
            entry.comment = bytes(60_000)
            archive.writestr(entry, "")
    assert "too many members" in refusal(tmp_path / "a.zip", target)


@pytest.mark.parametrize("misplaced", [0, 1])
def test_zip64_hides_no_directory(tmp_path: Path, target: Path, misplaced: int) -> None:
    """A size of a tebibyte in the second end record costs no memory, wherever it points."""
    archive = make_zip(tmp_path / "a.zip", FILES)
    whole = archive.read_bytes()
    end = whole.index(b"PK\x05\x06")
    record = b"PK\x06\x06" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, 2, 2, 1 << 40, 0)
    locator = b"PK\x06\x07" + struct.pack("<IQI", 0, end - misplaced, 1)
    archive.write_bytes(whole[:end] + record + locator + whole[end:])
    tracemalloc.start()
    assert "damaged" in refusal(archive, target)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 1_000_000


def test_bzip2_in_zip_refused(tmp_path: Path, target: Path) -> None:
    """Zipfile would unpack a chunk of it whole: 50 bytes to 45 MB."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("a.py", bytes(1_000_000))
    assert "packed by method 12" in refusal(tmp_path / "a.zip", target)


def test_sparse_map_refused(tmp_path: Path, target: Path) -> None:
    """A map of gigabytes in memory, from zeros and ones that pack to nothing."""
    entry = special("sparse", tarfile.GNUTYPE_SPARSE)
    header = bytearray(entry.tobuf(tarfile.GNU_FORMAT))
    header[482] = 1  # the map goes on in the next block
    header[148:156] = b"%06o\0 " % (256 + sum(header[:148]) + sum(header[156:512]))
    block = b"00000000001\0" * 42 + b"\1" + bytes(7)
    (tmp_path / "a.tar").write_bytes(bytes(header) + block * 10_000)
    assert "headers" in refusal(tmp_path / "a.tar", target)


def test_negative_size_refused(tmp_path: Path, target: Path) -> None:
    """It would make room for a bomb, and take some readers back to where they were."""
    header = bytearray(special("a.py", tarfile.REGTYPE).tobuf(tarfile.GNU_FORMAT))
    header[124:136] = (-1024).to_bytes(12, "big", signed=True)
    header[148:156] = b"%06o\0 " % (256 + sum(header[:148]) + sum(header[156:512]))
    (tmp_path / "a.tar").write_bytes(bytes(header) * 3 + bytes(1024))
    assert refusal(tmp_path / "a.tar", target)


def test_global_headers_forgotten(tmp_path: Path, target: Path) -> None:
    """Otherwise each member would hold a copy of all that came before it."""
    path = tmp_path / "a.tar"
    with path.open("wb") as file:
        for number in range(300):
            keys = {f"comment{number}x{key}": "x" for key in range(300)}
            file.write(tarfile.TarInfo.create_pax_global_header(keys))
            file.write(regular(f"{number}.py", 0).tobuf())
        file.write(bytes(1024))
    tracemalloc.start()
    unpack(path, target)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(unpacked(target)) == 300
    assert peak_bytes < 10_000_000


def test_large_extended_header_refused(tmp_path: Path, target: Path) -> None:
    """A long header is refused unread: Python would search it for hours."""
    header = special("x", tarfile.XHDTYPE)
    header.size = MAXIMUM_HEADER_BYTES + 1
    archive = make_tar_of(tmp_path / "a.tar", [(header, "1" * header.size)], "w")
    assert "headers" in refusal(archive, target)


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz", "a.tar.xz", "a.tar.bz2", "a.tar"])
def test_truncated_refused(tmp_path: Path, target: Path, name: str) -> None:
    """An archive that ends early is refused."""
    mode = {"a.tar": "w"}.get(name, "w:" + name.rpartition(".")[2])
    content = {"a.py": bytes(range(256)) * 100}
    make = make_zip(tmp_path / name, content)
    if name != "a.zip":
        make = make_tar(tmp_path / name, content, mode)
    whole = make.read_bytes()
    make.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UnusableSubmissionError):
        unpack(make, target)


@pytest.mark.parametrize("content", [b"", b"Rar!\x1a\x07\x01\x00", b"7z\xbc\xaf\x27\x1c", b"PK"])
def test_other_formats_refused(tmp_path: Path, target: Path, content: bytes) -> None:
    """RAR and 7z need programs of their own."""
    (tmp_path / "a.rar").write_bytes(content)
    assert "not a zip or tar archive" in refusal(tmp_path / "a.rar", target)


@settings(max_examples=60)
@given(
    content=st.binary(max_size=2_000),
    magic=st.sampled_from([b"PK\x03\x04", b"\x1f\x8b\x08", b"BZh9", b"\xfd7zXZ\x00", b""]),
)
def test_random_bytes(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, magic: bytes
) -> None:
    """Random bytes raise only the student's own error."""
    directory = tmp_path_factory.mktemp("random")
    archive = directory / "a.zip"
    archive.write_bytes(magic + content)
    (directory / "target").mkdir()
    with pytest.raises(UnusableSubmissionError):
        unpack(archive, directory / "target")


@settings(max_examples=60)
@given(data=st.data())
def test_changed_bytes_stay_inside(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """If a byte is changed, nothing is written beside the target."""
    directory = tmp_path_factory.mktemp("changed")
    mode = data.draw(st.sampled_from(["", "w", "w:gz"]))
    archive = directory / "a.zip"
    whole = bytearray(
        (make_tar(archive, FILES, mode) if mode else make_zip(archive, FILES)).read_bytes()
    )
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, min(len(whole), 1_600) - 1))] = data.draw(
            st.integers(0, 255)
        )
    archive.write_bytes(whole)
    (directory / "target").mkdir()
    with contextlib.suppress(UnusableSubmissionError):
        unpack(archive, directory / "target")
    assert {path.name for path in directory.iterdir()} == {"a.zip", "target"}
    assert all(path.is_file() or path.is_dir() for path in directory.rglob("*"))
    assert not any(path.is_symlink() for path in directory.rglob("*"))


def test_bad_part_harms_no_other(tmp_path: Path, target: Path) -> None:
    """In a class's download, only the student with a bad part is refused."""
    archive = make_zip(
        tmp_path / "class.zip",
        {
            "alice/problem_1.py": "a",
            "bob/Problem_1.py": "b",
            "bob/problem_1.py": "b",
            "carol/../../problem_1.py": "c",
            "dora/problem_1.py": "d",
        },
    )
    found = unpack_class(archive, target)
    assert found.root == target
    assert found.refusals.keys() == {"bob", "carol"}
    assert "the same name" in found.refusals["bob"]
    assert unpacked(target) == {
        "alice/problem_1.py": "a",
        "dora/problem_1.py": "d",
    }


def test_damaged_member_harms_no_other(tmp_path: Path, target: Path) -> None:
    """A wrong checksum, found while writing, refuses that student alone."""
    archive = tmp_path / "class.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("alice/problem_1.py", "here it is")
        opened.writestr("bob/problem_1.py", "undamaged")
    archive.write_bytes(archive.read_bytes().replace(b"here", b"HERE"))
    found = unpack_class(archive, target)
    assert found.refusals.keys() == {"alice"}
    assert (target / "bob/problem_1.py").read_text() == "undamaged"


@pytest.mark.parametrize(
    ("names", "root"),
    [
        (["export/a/1.py", "export/b/1.py"], "export"),
        (["export/a.zip", "export/b.zip"], "export"),
        (["export/submission_metadata.yml", "export/a/1.py"], "export"),
        (["__MACOSX/._x", "export/a/1.py", "export/b/1.py"], "export"),
        (["alice/problem_1.py", "alice/written/1A.md"], "."),
        (["alice/1.py", "bob/1.py"], "."),
    ],
)
def test_wrapping_directory(tmp_path: Path, target: Path, names: list[str], root: str) -> None:
    """A student's own directory holds files."""
    archive = make_zip(tmp_path / "class.zip", dict.fromkeys(names, "x"))
    assert unpack_class(archive, target).root == target / root


def test_archive_names() -> None:
    """Endings in capitals count; the longest ending is removed."""
    assert is_archive("Homework.ZIP")
    assert is_archive("a.tar.gz")
    assert not is_archive("a.py")
    assert without_ending("jane.doe.tar.gz") == "jane.doe"
    assert without_ending("jane.doe") == "jane.doe"


def test_xz_memory_limited(tmp_path: Path, target: Path) -> None:
    """A dictionary of 1.5 GiB is refused before it is allocated."""
    packed = io.BytesIO()
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 12}]
    with lzma.LZMAFile(packed, "w", filters=filters) as file:
        file.write(bytes(10_240))
    content = bytearray(packed.getvalue())
    # The block header's last property byte is the dictionary's size, before a CRC-32.
    header = content[12:24]
    assert header[2:4] == bytes([0x21, 1])
    header[4] = 39
    header[8:12] = zlib.crc32(bytes(header[:8])).to_bytes(4, "little")
    content[12:24] = header
    (tmp_path / "a.tar.xz").write_bytes(content)
    assert "damaged (Memory usage limit" in refusal(tmp_path / "a.tar.xz", target)
