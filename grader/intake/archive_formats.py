"""Read zip and tar archives member by member, without believing their headers.

Python's own `zipfile` and `tarfile` do the parsing. What they would do without bounds is bounded
here: the size of a directory or of an extended header, and what a decompressor may give or hold.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial
from typing import IO, BinaryIO, Protocol, cast

from grader.errors import UnusableSubmissionError

REMEDY = "Make a new zip archive of the ordinary files and hand that in."
MAXIMUM_EXTENDED_HEADER_BYTES = 16_384
"""Longer ones hold nothing that a submission needs; Python 3.11 before 3.11.10 can take hours to
search them (CVE-2024-6232)."""

XZ_MEMORY_BYTES = 200_000_000
"""`xz -9` needs 65 MiB to unpack; an archive may ask for 4 GiB."""

CHUNK_BYTES = 1 << 18

_END = b"PK\x05\x06"
_END_BYTES = 22
_ZIP64_LOCATOR = b"PK\x06\x07"
_ZIP64_LOCATOR_BYTES = 20
_ZIP64_END_BYTES = 56
_END_REACH_BYTES = 65_535 + _END_BYTES + _ZIP64_LOCATOR_BYTES + _ZIP64_END_BYTES
_ENCRYPTED_FLAGS = 0x1 | 0x40
_ZIP_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2})
_EXTENDED_HEADERS = frozenset(
    {
        tarfile.XHDTYPE,
        tarfile.XGLTYPE,
        tarfile.SOLARIS_XHDTYPE,
        tarfile.GNUTYPE_LONGNAME,
        tarfile.GNUTYPE_LONGLINK,
    }
)
_TAR_KINDS = {
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.LNKTYPE: "a hard link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a named pipe",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
}
_ZIP_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
}


@dataclass(frozen=True, kw_only=True)
class Member:
    """What an archive says of one of its members.

    Attributes:
        index: its position among the members, counted from 0.
        path: as the archive has it.
        is_directory: such a member holds nothing.
        size_bytes: as declared.
        flaw: why no such member is written, or nothing.
    """

    index: int
    path: str
    is_directory: bool
    size_bytes: int
    flaw: str = ""


Opener = Callable[[], IO[bytes]]


class ArchiveReader(Protocol):
    """An archive that is open."""

    def members(self) -> Iterator[Member]:
        """Every member, in order."""

    def contents(self, indices: Collection[int]) -> Iterator[tuple[int, Opener]]:
        """The members with these indices, in order; each is to be read before the next is asked."""


def open_archive(file: BinaryIO, *, unpacked_bytes: int, directory_bytes: int) -> ArchiveReader:
    """A reader for the format that the first bytes show, whatever the name says.

    Args:
        file: an archive, opened for reading and seeking.
        unpacked_bytes: a compressed tar that gives more is refused while it is read.
        directory_bytes: a zip whose directory is larger is refused unread.

    Raises:
        UnusableSubmissionError: it is none of the formats, or breaks one of the bounds.
    """
    start = file.read(512)
    file.seek(0)
    if start.startswith((b"PK\x03\x04", _END)):
        return _ZipReader(file, directory_bytes)
    for magic, decompress in _DECOMPRESSORS.items():
        if start.startswith(magic):
            return _TarReader(file, decompress, unpacked_bytes)
    if start[257:262] == b"ustar":
        return _TarReader(file, _as_it_is, unpacked_bytes)
    raise UnusableSubmissionError(
        "it is no zip or tar archive, whatever its name says", next_step=REMEDY
    )


class _ZipReader:
    def __init__(self, file: BinaryIO, directory_bytes: int) -> None:
        _require_small_directory(file, directory_bytes)
        self._archive = zipfile.ZipFile(file)

    def members(self) -> Iterator[Member]:
        for index, entry in enumerate(self._archive.infolist()):
            yield Member(
                index=index,
                path=entry.orig_filename,
                is_directory=entry.is_dir(),
                size_bytes=entry.file_size,
                flaw=_zip_flaw(entry),
            )

    def contents(self, indices: Collection[int]) -> Iterator[tuple[int, Opener]]:
        for index, entry in enumerate(self._archive.infolist()):
            if index in indices:
                yield index, partial(self._archive.open, entry)


def _require_small_directory(file: BinaryIO, limit_bytes: int) -> None:
    """Refuse a directory that would fill memory; `zipfile` reads it whole.

    Its size is in the end record (APPNOTE.TXT 4.3.16), or in the one that Zip64 puts before it
    (4.3.14 and 4.3.15). They are looked for where `zipfile` does.
    """
    size = file.seek(0, io.SEEK_END)
    start = max(0, size - _END_REACH_BYTES)
    file.seek(start)
    tail = file.read()
    file.seek(0)
    end = len(tail) - _END_BYTES
    if not (tail[end:].startswith(_END) and tail.endswith(b"\0\0")):
        end = tail.rfind(_END)
    if end < 0 or len(tail) < end + _END_BYTES:
        raise UnusableSubmissionError("it is damaged: its end is missing", next_step=REMEDY)
    (directory_bytes,) = struct.unpack_from("<I", tail, end + 12)
    locator = end - _ZIP64_LOCATOR_BYTES
    if locator >= 0 and tail.startswith(_ZIP64_LOCATOR, locator):
        record = locator - _ZIP64_END_BYTES
        (place,) = struct.unpack_from("<Q", tail, locator + 8)
        if record < 0 or place != start + record:
            raise UnusableSubmissionError("it is damaged: its end is unclear", next_step=REMEDY)
        (directory_bytes,) = struct.unpack_from("<Q", tail, record + 40)
    if directory_bytes > limit_bytes:
        raise UnusableSubmissionError("it has too many members", next_step=REMEDY)


def _zip_flaw(entry: zipfile.ZipInfo) -> str:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
        return _ZIP_KINDS.get(kind, "not a regular file")
    if entry.flag_bits & _ENCRYPTED_FLAGS:
        return "encrypted"
    if entry.compress_type not in _ZIP_METHODS:
        return f"packed by method {entry.compress_type}, which is not read here"
    return ""


class _TarReader:
    def __init__(
        self, file: BinaryIO, decompress: Callable[[BinaryIO], IO[bytes]], unpacked_bytes: int
    ) -> None:
        self._file = file
        self._decompress = decompress
        self._unpacked_bytes = unpacked_bytes

    def _passage(self) -> Iterator[tuple[int, tarfile.TarFile, tarfile.TarInfo]]:
        """One way through the archive; a compressed tar can only be read from its start."""
        self._file.seek(0)
        stream = _BoundedStream(self._decompress(self._file), self._unpacked_bytes)
        with tarfile.open(
            fileobj=cast("IO[bytes]", stream), mode="r|", tarinfo=_CarefulTarInfo
        ) as archive:
            for index, entry in enumerate(archive):
                yield index, archive, entry

    def members(self) -> Iterator[Member]:
        for index, _, entry in self._passage():
            regular = entry.isreg() and not entry.issparse()
            kind = tarfile.GNUTYPE_SPARSE if entry.issparse() else entry.type
            yield Member(
                index=index,
                path=entry.name,
                is_directory=entry.isdir(),
                size_bytes=entry.size,
                flaw="" if regular or entry.isdir() else _TAR_KINDS.get(kind, "not a regular file"),
            )

    def contents(self, indices: Collection[int]) -> Iterator[tuple[int, Opener]]:
        for index, archive, entry in self._passage():
            if index in indices:
                yield index, partial(_open_tar_member, archive, entry)


def _open_tar_member(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> IO[bytes]:
    opened = archive.extractfile(entry)
    if opened is None:
        raise tarfile.ReadError(entry.name)
    return opened


class _CarefulTarInfo(tarfile.TarInfo):
    """A header that is refused before an extended header's contents are read into memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _CarefulTarInfo:
        """Parse one block of 512 bytes."""
        header = super().frombuf(buf, encoding, errors)
        if header.type in _EXTENDED_HEADERS and header.size > MAXIMUM_EXTENDED_HEADER_BYTES:
            raise UnusableSubmissionError(
                f"one of its headers has {header.size:,} bytes", next_step=REMEDY
            )
        return header


class _BoundedStream:
    """What a decompressor gives, up to a limit."""

    def __init__(self, source: IO[bytes], limit_bytes: int) -> None:
        self._source = source
        self._limit_bytes = limit_bytes
        self._left_bytes = limit_bytes

    def read(self, size: int) -> bytes:
        """At most `size` bytes."""
        content = self._source.read(size)
        self._left_bytes -= len(content)
        if self._left_bytes < 0:
            raise UnusableSubmissionError(
                f"it unpacks to more than {self._limit_bytes:,} bytes, as a bomb does",
                next_step=REMEDY,
            )
        return content


class _XzStream(io.RawIOBase):
    """As `lzma.LZMAFile` for reading, which cannot limit the memory of the decompressor."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._decompressor = lzma.LZMADecompressor(memlimit=XZ_MEMORY_BYTES)

    def read(self, size: int = -1) -> bytes:
        """Exactly `size` bytes, fewer only at the end."""
        parts = bytearray()
        while len(parts) < size and not self._decompressor.eof:
            packed = self._source.read(CHUNK_BYTES) if self._decompressor.needs_input else b""
            if self._decompressor.needs_input and not packed:
                raise EOFError
            parts += self._decompressor.decompress(packed, size - len(parts))
        return bytes(parts)


def _gunzip(file: BinaryIO) -> IO[bytes]:
    return cast("IO[bytes]", gzip.GzipFile(fileobj=file))


def _bunzip(file: BinaryIO) -> IO[bytes]:
    return bz2.BZ2File(file)


def _unxz(file: BinaryIO) -> IO[bytes]:
    return cast("IO[bytes]", _XzStream(file))


def _as_it_is(file: BinaryIO) -> IO[bytes]:
    return file


_DECOMPRESSORS: dict[bytes, Callable[[BinaryIO], IO[bytes]]] = {
    b"\x1f\x8b": _gunzip,
    b"BZh": _bunzip,
    b"\xfd7zXZ\x00": _unxz,
}
