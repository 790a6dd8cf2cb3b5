"""Archives for the tests, honest and hostile, each made by one call."""

from __future__ import annotations

import io
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

Files = Mapping[str, str | bytes]


def make_zip(path: Path, files: Files) -> Path:
    """An ordinary zip archive."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def make_tar(path: Path, files: Files, mode: str = "w:gz") -> Path:
    """An ordinary tar archive, packed as `mode` says."""
    return make_tar_of(
        path,
        ((regular(name, len(_encoded(content))), content) for name, content in files.items()),
        mode,
    )


def make_tar_of(
    path: Path, entries: Iterable[tuple[tarfile.TarInfo, str | bytes]], mode: str = "w:gz"
) -> Path:
    """A tar archive of any headers."""
    with tarfile.open(path, mode) as archive:
        for entry, content in entries:
            archive.addfile(entry, io.BytesIO(_encoded(content)))
    return path


def regular(name: str, size: int) -> tarfile.TarInfo:
    """The header of a regular file."""
    entry = tarfile.TarInfo(name)
    entry.size = size
    return entry


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    """The header of a link, device or pipe."""
    entry = tarfile.TarInfo(name)
    entry.type = kind
    entry.linkname = target
    return entry


def make_zip_with_kind(path: Path, kind: int) -> Path:
    """A zip archive with a member that Unix takes for something else than a file."""
    entry = zipfile.ZipInfo("problem_1.py")
    entry.create_system = 3
    entry.external_attr = (kind | 0o777) << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(entry, "/etc/passwd")
    return path


def make_symlink_zip(path: Path) -> Path:
    """A zip archive with a symbolic link."""
    return make_zip_with_kind(path, stat.S_IFLNK)


def make_encrypted_zip(path: Path) -> Path:
    """A zip archive whose member is marked as encrypted, in both of its headers."""
    make_zip(path, {"problem_1.py": "x = 1\n"})
    content = bytearray(path.read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    return path


def make_lying_zip(path: Path, really_bytes: int) -> Path:
    """A zip bomb whose headers promise ten bytes."""
    packed = zlib.compressobj(9, zlib.DEFLATED, -15)
    zeros = bytes(1_000_000)
    data = b"".join(packed.compress(zeros) for _ in range(really_bytes // len(zeros)))
    data += packed.flush()
    make_zip(path, {"problem_1.py": bytes(10)})
    name = b"problem_1.py"
    fields = struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 33, 0, len(data), 10, len(name), 0)
    local = b"PK\x03\x04" + fields + name + data
    central = (
        b"PK\x01\x02" + struct.pack("<H", 20) + fields + struct.pack("<HHHII", 0, 0, 0, 0, 0) + name
    )
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(central), len(local), 0)
    path.write_bytes(local + central + end)
    return path


def _encoded(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else content
