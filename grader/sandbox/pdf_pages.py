"""Draw the pages of students' PDFs as pictures, inside a sandbox.

A PDF is a program of a kind, and its reader is written in C. So pdfium runs where student code
does, and only pixels come out.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec

from grader.sandbox.isolation.interface import Sandbox, SandboxedProcess

SECONDS = 60.0
MAXIMUM_PAGES = 10
MAXIMUM_BYTES = 100_000_000
"""Of all pages of one student together."""

_HEADER = struct.Struct(">II")
_CHUNK_BYTES = 1 << 16
_SCRATCH_BYTES = 1_000_000

_PROGRAM = f"""
import io, json, os, struct, sys
import pypdfium2
submission = sys.argv[2]
sys.stdout.buffer.write(b"!")  # it has started
for number, name in enumerate(json.loads(sys.stdin.buffer.readline())):
    try:
        with open(os.path.join(submission, name), "rb") as file:
            document = pypdfium2.PdfDocument(file.read())
        for page_number in range(min(len(document), {MAXIMUM_PAGES})):
            page = document[page_number]
            scale = min(2.0, 2000 / max(*page.get_size(), 1))
            content = io.BytesIO()
            page.render(scale=scale).to_pil().convert("RGB").save(content, "PNG")
            sys.stdout.buffer.write(struct.pack(">II", number, content.tell()) + content.getvalue())
            sys.stdout.buffer.flush()
    except Exception:
        continue  # damaged, encrypted, or none: the note about the file says that it is there
"""


def draw_pages(sandbox: Sandbox, directory: Path, files: Sequence[str]) -> dict[str, list[bytes]]:
    """Return the first pages of PDFs as encoded pictures, by file; nothing for a damaged one.

    Args:
        sandbox: in which they are drawn.
        directory: of the submission's private copy.
        files: relative to it.
    """
    pages: dict[str, list[bytes]] = {}
    if not files:
        return pages
    with sandbox.launch(_PROGRAM, submission=directory, scratch_bytes=_SCRATCH_BYTES) as process:
        # Its end closes the pipe, which ends the reading.
        timer = threading.Timer(SECONDS, process.tree.kill)
        timer.start()
        try:
            process.commands.write(msgspec.json.encode(list(files)) + b"\n")
            content = _read(process)
        except OSError:
            content = b""
        finally:
            timer.cancel()
    position = 1
    while position + _HEADER.size <= len(content):
        number, size = _HEADER.unpack_from(content, position)
        position += _HEADER.size
        if number >= len(files) or position + size > len(content):
            break
        pages.setdefault(files[number], []).append(content[position : position + size])
        position += size
    return {file: found[:MAXIMUM_PAGES] for file, found in pages.items()}


def _read(process: SandboxedProcess) -> bytes:
    content = bytearray()
    while chunk := process.replies.read(_CHUNK_BYTES):
        content += chunk
        if len(content) > MAXIMUM_BYTES:
            break
    return bytes(content)
