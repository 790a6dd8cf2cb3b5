"""Unpack archives that students made; `docs/decisions/014` says which parts are not the library's.

Every member is checked before the first is written. The caps are wider than those of
`grader.intake.private_copy`: a film beside the answers is not an attack, and is left out there.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import os
import re
import shutil
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, BinaryIO, cast

from grader.errors import MachineError, UnusableSubmissionError
from grader.intake.files import is_skipped, kind_name
from grader.intake.names import CODE, suffix_of
from grader.intake.private_copy import MAXIMUM_DEPTH, MAXIMUM_ENTRIES, MAXIMUM_TOTAL_BYTES
from grader.intake.students import name_keys
from grader.intake.submission import LEFT_OUT
from grader.text import display_name

_ENDING = re.compile(r"\.(?:zip|tar(?:\.(?:gz|xz|bz2))?|tgz|txz|tbz2|rar|7z)\Z", re.IGNORECASE)
"""rar and 7z are recognised only to refuse them with a reason."""

MAXIMUM_UNPACKED_BYTES = 4 * MAXIMUM_TOTAL_BYTES
MAXIMUM_SKIPPED_MEMBERS = 3 * MAXIMUM_ENTRIES
"""Of environments and caches in one student's archive, none of which is written. One that holds
torch has 30,000 files."""

MAXIMUM_CLASS_MEMBERS = 1_000_000
MAXIMUM_CLASS_BYTES = 100_000_000_000
"""Of a whole class's download, in which each student's part keeps to the student's limits."""

MAXIMUM_PATH_DEPTH = MAXIMUM_DEPTH + 2
"""Directories above a file; one or two of them usually wrap the submission."""

MAXIMUM_RATIO = 200
"""Text and weights are packed to about a tenth; a zip bomb to a thousandth."""

RATIO_FREE_BYTES = 10_000_000
"""Up to here any ratio is accepted: a small file of zeros is not a bomb."""

MAXIMUM_HEADER_BYTES = 16_384
"""The headers of one tar member. Python before 3.11.10 can search a long one for hours
(CVE-2024-6232), and a sparse file's map has no limit of its own."""

_MAXIMUM_PART_BYTES = 255
_WORK = CODE | {".md", ".pdf"}
"""Endings of files that are a student's; a roster or an index may lie beside the students."""

_DIRECTORY_ENTRY_BYTES = 400
"""A zip's directory takes 46 bytes for a member, its name, and a few fields more."""

_XZ_MEMORY_BYTES = 200_000_000
"""`xz -9` needs 65 MiB to unpack; an archive may ask for 4 GiB."""

_CHUNK_BYTES = 1 << 18
_ENCRYPTED_FLAGS = 0x1 | 0x40
_ZIP_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
"""zipfile unpacks other methods without a bound on memory: 50 bytes of bzip2 make 45 MB."""

_TAR_KINDS = {
    tarfile.SYMTYPE: kind_name(stat.S_IFLNK),
    tarfile.LNKTYPE: "a hard link",
    tarfile.CHRTYPE: kind_name(stat.S_IFCHR),
    tarfile.BLKTYPE: kind_name(stat.S_IFBLK),
    tarfile.FIFOTYPE: kind_name(stat.S_IFIFO),
    tarfile.GNUTYPE_SPARSE: "a sparse file",
}
_DRIVE = re.compile(r"[A-Za-z]:")
_DAMAGE = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, LookupError, OverflowError, RuntimeError, ValueError),
)
"""Raised by `zipfile` and `tarfile` for damaged archives; `test_random_bytes` looks for more."""

Parts = tuple[str, ...]
Opener = Callable[[], IO[bytes]]
_Read = Callable[[int], bytes]


@dataclass(frozen=True, kw_only=True)
class UnpackedClass:
    """A whole class's download.

    Attributes:
        root: the directory with an entry for each student, or for each file of one.
        refusals: reasons by entry; nothing of a refused entry is used.
    """

    root: Path
    refusals: dict[str, str]


def is_archive(name: str) -> bool:
    """Return True if the ending of `name` is an archive's."""
    return _ENDING.search(name) is not None


def without_ending(name: str) -> str:
    """Return `name` without the ending that makes it an archive's."""
    return _ENDING.sub("", name)


def unpack(archive: Path, target: Path) -> dict[str, str]:
    """Write a student's archive below `target`; return the members left out, with the reasons.

    Args:
        archive: a regular file.
        target: an empty directory that no other user can enter. After an error it may hold files.

    Raises:
        UnusableSubmissionError: the archive is damaged, hostile, or too large.
        MachineError: the disk is full.
    """
    with (
        _refusing_damage(f"{display_name(archive.name)} cannot be unpacked: "),
        _Archive(archive, members=MAXIMUM_ENTRIES + MAXIMUM_ENTRIES // 2) as file,
    ):
        by_ratio = max(RATIO_FREE_BYTES, MAXIMUM_RATIO * os.fstat(file.fileno()).st_size)
        total_bytes = min(MAXIMUM_UNPACKED_BYTES, by_ratio)
        plan = _Plan(total_bytes=total_bytes)
        for index, (member, _) in enumerate(_read_members(file, total_bytes)):
            plan.add(index, member)
        for index, (_, opener) in enumerate(_read_members(file, total_bytes)):
            if index in plan.files:
                _write(opener, target.joinpath(*plan.files[index]))
    return plan.left_out


def unpack_class(archive: Path, target: Path, known_names: Collection[str] = ()) -> UnpackedClass:
    """Write a learning platform's download; one student's bad part harms no other.

    Args:
        archive: the download.
        target: an empty directory.
        known_names: names of students, by which the encoding of old archives' names is found.

    Raises:
        UnusableSubmissionError: the archive as a whole cannot be read.
        MachineError: the disk is full.
    """
    with (
        _refusing_damage(f"{display_name(archive.name)} cannot be unpacked: "),
        _Archive(archive, members=MAXIMUM_CLASS_MEMBERS) as file,
    ):
        members = [member for member, _ in _read_members(file, MAXIMUM_CLASS_BYTES, known_names)]
        wrapping = _find_wrapping(members)
        plans: dict[str, _Plan] = {}
        refusals: dict[str, str] = {}
        for index, member in enumerate(members):
            if entry := _entry_of(member, wrapping):
                plan = plans.setdefault(entry, _Plan())
                try:
                    plan.add(index, member)
                except UnusableSubmissionError as error:
                    refusals.setdefault(entry, str(error))
        for index, (member, opener) in enumerate(
            _read_members(file, MAXIMUM_CLASS_BYTES, known_names)
        ):
            entry = _entry_of(member, wrapping)
            if entry not in refusals and entry in plans and index in plans[entry].files:
                try:
                    with _refusing_damage():
                        _write(opener, target.joinpath(*plans[entry].files[index]))
                except UnusableSubmissionError as error:
                    refusals[entry] = str(error)
    root = target.joinpath(*wrapping)
    root.mkdir(parents=True, exist_ok=True)
    return UnpackedClass(root=root, refusals=refusals)


def _entry_of(member: _Member, wrapping: Parts) -> str:
    """Return the class entry that a member belongs to, or "" if none."""
    parts = _split(member.path)
    entry = parts[len(wrapping)] if len(parts) > len(wrapping) else ""
    return "" if entry == ".." else entry


def _find_wrapping(members: list[_Member]) -> Parts:
    """Return the directory that wraps all students' entries, or () if none.

    A directory wraps them if everything lies in it, and it holds either a list of submissions or
    several entries that are directories or archives, beside no code or text of its own. Otherwise
    it is one student's own.
    """
    paths = [_split(member.path) for member in members]
    paths = [path for path in paths if path and not is_skipped(path[0])]
    if len({path[0] for path in paths}) != 1:
        return ()
    inner = {path[1] for path in paths if len(path) > 1 and not is_skipped(path[1])}
    directories = {path[1] for path in paths if len(path) > 2}
    loose = {name for name in inner - directories if not is_archive(name)}
    if "submission_metadata.yml" in inner or (len(inner) > 1 and not loose):
        return paths[0][:1]
    archives = set(filter(is_archive, inner - directories))
    having_code = {path[1] for path in paths if len(path) > 2 and suffix_of(path[-1]) in CODE}
    own_work = {name for name in loose if suffix_of(name) in _WORK}
    if len(archives | having_code) > 1 and not own_work:
        return paths[0][:1]
    return ()


@dataclass(frozen=True, kw_only=True)
class _Member:
    """One member, as the archive's headers describe it."""

    path: str
    is_directory: bool
    size_bytes: int  # as declared; `zipfile` and `tarfile` never give more
    flaw: str = ""  # the reason for which such a member is refused
    kind: str = ""  # of a member that is neither file nor directory, and left out


@dataclass(kw_only=True)
class _Plan:
    """The files to write of one student's members, below the target, by the member's index."""

    total_bytes: int = MAXIMUM_UNPACKED_BYTES
    files: dict[int, Parts] = field(default_factory=dict)
    # Every path and the directories above it, with True for files, by the spelling that some file
    # systems take for the same.
    names: dict[Parts, tuple[Parts, bool]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    members: int = 0
    skipped_members: int = 0
    declared_bytes: int = 0

    def add(self, index: int, member: _Member) -> None:
        """Check one member, and plan to write it if it is a student's work.

        Raises:
            UnusableSubmissionError: the member must not be written.
        """
        parts = _require_safe(member.path)
        is_work = bool(parts) and not any(map(is_skipped, parts))
        self.members += is_work
        self.skipped_members += not is_work
        if self.members > MAXIMUM_ENTRIES or self.skipped_members > MAXIMUM_SKIPPED_MEMBERS:
            raise _refusal(f"it has more than {MAXIMUM_ENTRIES:,} members")
        if not is_work:
            return
        shown = display_name(member.path)
        if member.kind:
            # Nothing is written, so that no later member can lead through a link.
            self.left_out["/".join(parts)] = f"{LEFT_OUT}it is {member.kind}"
            return
        if member.flaw:
            raise _refusal(f"{shown} in it is {member.flaw}")
        if len(parts) > MAXIMUM_PATH_DEPTH + 1:
            raise _refusal(f"{shown} in it is more than {MAXIMUM_PATH_DEPTH} directories deep")
        for length in range(1, len(parts) + 1):
            is_file = length == len(parts) and not member.is_directory
            self._add_name(parts[:length], is_file=is_file)
        if member.is_directory:
            return
        self.declared_bytes += member.size_bytes
        if self.declared_bytes > self.total_bytes:
            raise _too_large(self.total_bytes)
        self.files[index] = parts

    def _add_name(self, path: Parts, *, is_file: bool) -> None:
        spelling = _without_case(path)
        if spelling not in self.names:
            self.names[spelling] = path, is_file
            return
        earlier, was_file = self.names[spelling]
        if earlier != path:
            raise _refusal(
                f"{display_name('/'.join(earlier))} and {display_name('/'.join(path))} in it are "
                "the same name on some file systems"
            )
        if is_file or was_file:
            raise _refusal(f"{display_name('/'.join(path))} is in it twice")


def _require_safe(path: str) -> Parts:
    """Return a member's path below the target.

    Raises:
        UnusableSubmissionError: the path leads elsewhere, or no file can have it.
    """
    shown = display_name(path)
    if path.startswith(("/", "\\")) or _DRIVE.match(path):
        raise _refusal(f"{shown} in it is an absolute path")
    if "\0" in path:
        raise _refusal(f"{shown} in it has a NUL")
    parts = _split(path)
    if ".." in parts:
        raise _refusal(f"{shown} in it leads out of the archive")
    if any(len(os.fsencode(part)) > _MAXIMUM_PART_BYTES for part in parts):
        raise _refusal(f"a name in it has more than {_MAXIMUM_PART_BYTES} bytes: {shown[:60]}…")
    return parts


def _split(path: str) -> Parts:
    # Windows PowerShell writes "written\\1A.md" for a file in a directory.
    return tuple(part for part in path.replace("\\", "/").split("/") if part not in {"", "."})


def _without_case(path: Parts) -> Parts:
    """Return the spelling that macOS and Windows may see (Unicode's canonical caseless match)."""
    return tuple(
        unicodedata.normalize("NFD", unicodedata.normalize("NFD", part).casefold()) for part in path
    )


def _write(opener: Opener, destination: Path) -> None:
    destination.parent.mkdir(parents=True, exist_ok=True)
    with opener() as source, destination.open("xb") as copy:
        shutil.copyfileobj(source, copy, _CHUNK_BYTES)


class _Archive(io.BufferedReader):
    """An archive's file. A read larger than a directory of `members` entries is refused.

    `zipfile` reads the directory in one call, and the size in the file may be a lie.
    """

    def __init__(self, path: Path, *, members: int) -> None:
        super().__init__(io.FileIO(path))
        self._maximum_read_bytes = members * _DIRECTORY_ENTRY_BYTES

    def read(self, size: int | None = -1, /) -> bytes:
        """Read `size` bytes, or all for -1."""
        if size is not None and size > self._maximum_read_bytes:
            raise _refusal("it has too many members")
        return super().read(size)


def _read_members(
    file: BinaryIO, total_bytes: int, known_names: Collection[str] = ()
) -> Iterator[tuple[_Member, Opener]]:
    """Go through an archive once; read each member before asking for the next.

    The first bytes tell the format, not the name.

    Raises:
        UnusableSubmissionError: the format is not supported, or a tar has more than `total_bytes`.
    """
    file.seek(0)
    start = file.read(512)
    file.seek(0)
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _read_zip(file, known_names)
    if start.startswith(b"\x1f\x8b"):
        return _read_tar(gzip.GzipFile(fileobj=file).read, total_bytes)
    if start.startswith(b"BZh"):
        return _read_tar(bz2.BZ2File(file).read, total_bytes)
    if start.startswith(b"\xfd7zXZ\x00"):
        return _read_tar(_unxz(file), total_bytes)
    if start[257:262] == b"ustar":
        return _read_tar(file.read, total_bytes)
    raise _refusal("it is not a zip or tar archive, despite its name")


def _read_zip(
    file: BinaryIO, known_names: Collection[str] = ()
) -> Iterator[tuple[_Member, Opener]]:
    with zipfile.ZipFile(file) as archive:
        encoding = _name_encoding(archive.infolist(), known_names)
        for entry in archive.infolist():
            mode = entry.external_attr >> 16
            flaw = ""
            is_special = stat.S_IFMT(mode) not in {0, stat.S_IFREG, stat.S_IFDIR}
            if entry.flag_bits & _ENCRYPTED_FLAGS:
                flaw = "encrypted"
            elif entry.compress_type not in _ZIP_METHODS:
                flaw = f"packed by method {entry.compress_type}, which is not read here"
            member = _Member(
                path=_name_of(entry, encoding),
                is_directory=entry.is_dir() or entry.orig_filename.endswith("\\"),
                size_bytes=entry.file_size,
                flaw=flaw,
                kind=kind_name(mode) if is_special else "",
            )
            yield member, partial(archive.open, entry)


_ZIPFILE_ENCODING = "cp437"
_UTF8_FLAG = 0x800
_LEGACY_ENCODINGS = (_ZIPFILE_ENCODING, "cp850", "cp1252")
"""Of names without the flag for UTF-8 (APPNOTE.TXT, appendix D); Windows writes its own ones."""


def _name_encoding(entries: Sequence[zipfile.ZipInfo], known_names: Collection[str]) -> str:
    """Return the encoding of the names that have no flag for UTF-8: the one that fits the class."""
    names = {
        entry.orig_filename.encode(_ZIPFILE_ENCODING)
        for entry in entries
        if not entry.flag_bits & _UTF8_FLAG and not entry.orig_filename.isascii()
    }
    try:
        for name in names:
            name.decode("utf-8")
    except UnicodeDecodeError:
        pass
    else:
        return "utf-8"
    known = set().union(*map(name_keys, known_names))

    def known_in(encoding: str) -> int:
        parts = {part for name in names for part in name.decode(encoding, "replace").split("/")}
        return sum(not known.isdisjoint(name_keys(part)) for part in parts)

    return max(_LEGACY_ENCODINGS, key=known_in)


def _name_of(entry: zipfile.ZipInfo, encoding: str) -> str:
    if entry.flag_bits & _UTF8_FLAG:
        return entry.orig_filename
    return entry.orig_filename.encode(_ZIPFILE_ENCODING).decode(encoding, "replace")


def _read_tar(read: _Read, total_bytes: int) -> Iterator[tuple[_Member, Opener]]:
    stream = _TarStream(read, total_bytes)
    with tarfile.open(fileobj=cast("IO[bytes]", stream), mode="r:") as archive:
        while (entry := archive.next()) is not None:
            stream.header_end = archive.offset + MAXIMUM_HEADER_BYTES
            # Otherwise all headers stay in memory, and each with a copy of the global ones. The
            # documentation does not name `members`; Python 3.11 to 3.14 have it.
            archive.members = []  # type: ignore[attr-defined]
            archive.pax_headers = {}
            is_broken = entry.size < 0 or entry.issparse()
            is_special = not (is_broken or entry.isreg() or entry.isdir())
            kind = _TAR_KINDS.get(entry.type, "not a regular file")
            member = _Member(
                path=entry.name,
                is_directory=entry.isdir(),
                size_bytes=entry.size,
                flaw=kind if is_broken else "",
                kind=kind if is_special else "",
            )
            yield member, cast("Opener", partial(archive.extractfile, entry))


class _TarStream:
    """The unpacked bytes of a tar archive, in order, up to a limit."""

    def __init__(self, read: _Read, total_bytes: int) -> None:
        self._read = read
        self._total_bytes = total_bytes
        self._position = 0
        self.header_end = MAXIMUM_HEADER_BYTES  # of the next member

    def read(self, size: int) -> bytes:
        """Read at most `size` bytes, unless they are beyond a limit."""
        if self._position + size > self._total_bytes:
            raise _too_large(self._total_bytes)
        if self._position + size > self.header_end:
            raise _refusal(f"the headers of a member have more than {MAXIMUM_HEADER_BYTES:,} bytes")
        content = self._read(size)
        self._position += len(content)
        return content

    def tell(self) -> int:
        """Return the number of bytes read."""
        return self._position

    def seek(self, position: int) -> None:
        """Skip to a later position."""
        while self._position < position and self.read(min(_CHUNK_BYTES, position - self._position)):
            pass


def _unxz(file: BinaryIO) -> _Read:
    """Return the reader of an xz stream; `lzma.LZMAFile` cannot limit the memory it takes."""
    decompressor = lzma.LZMADecompressor(memlimit=_XZ_MEMORY_BYTES)

    def read(size: int) -> bytes:
        content = bytearray()
        while len(content) < size and not decompressor.eof:
            packed = file.read(_CHUNK_BYTES) if decompressor.needs_input else b""
            if decompressor.needs_input and not packed:
                raise EOFError
            content += decompressor.decompress(packed, size - len(content))
        return bytes(content)

    return read


def _refusal(message: str) -> UnusableSubmissionError:
    return UnusableSubmissionError(
        message, next_step="Make a new zip archive of the ordinary files and hand that in."
    )


def _too_large(limit_bytes: int) -> UnusableSubmissionError:
    return _refusal(f"it unpacks to more than {limit_bytes:,} bytes, as a bomb does")


@contextmanager
def _refusing_damage(prefix: str = "") -> Iterator[None]:
    """Turn the libraries' errors into refusals, and a full disk into a `MachineError`."""
    try:
        yield
    except UnusableSubmissionError as error:
        raise _refusal(f"{prefix}{error}") from error
    except _DAMAGE as error:
        found = display_name(str(error)) or "it ends early"
        raise _refusal(f"{prefix}it is damaged ({found})") from error
    except OSError as error:
        # gzip and bz2 raise an OSError without a number for damage; EINVAL is a wrong offset.
        if error.errno in {None, errno.EINVAL}:
            raise _refusal(f"{prefix}it is damaged ({display_name(str(error))})") from error
        raise MachineError(
            f"an archive could not be unpacked: {error.strerror}",
            next_step="make room in the temporary directory (TMPDIR), then start again",
        ) from error
