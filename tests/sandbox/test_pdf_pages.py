"""Pages of PDFs are drawn inside a sandbox; a damaged one costs no other."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from grader.errors import SandboxError
from grader.sandbox import pdf_pages
from grader.sandbox.isolation.choice import Sandbox, choose_sandbox


@pytest.fixture(name="sandbox", scope="module")
def find_sandbox() -> Sandbox:
    try:
        return choose_sandbox()
    except SandboxError as error:
        pytest.skip(f"no sandbox works here: {error}")


def make_pdf(path: Path, pages: int) -> None:
    """Write a PDF with pages of another size each."""
    drawn = [Image.new("RGB", (200 + 10 * page, 100), "white") for page in range(pages)]
    drawn[0].save(path, save_all=True, append_images=drawn[1:])


def test_pages(sandbox: Sandbox, tmp_path: Path) -> None:
    """Every page of each readable file, at most ten; none of a damaged one."""
    tmp_path.chmod(0o755)
    make_pdf(tmp_path / "two.pdf", 2)
    make_pdf(tmp_path / "long.pdf", 12)
    (tmp_path / "damaged.pdf").write_bytes(b"%PDF-1.7 and nothing else")
    found = pdf_pages.draw_pages(
        sandbox, tmp_path, ["damaged.pdf", "two.pdf", "long.pdf", "no.pdf"]
    )
    assert {file: len(pages) for file, pages in found.items()} == {"two.pdf": 2, "long.pdf": 10}
    widths = [Image.open(io.BytesIO(page)).width for page in found["two.pdf"]]
    assert widths[0] < widths[1]
    assert pdf_pages.draw_pages(sandbox, tmp_path, []) == {}


@pytest.mark.parametrize(
    "program",
    [
        "raise SystemExit(3)",
        "import os; os.kill(os.getpid(), 9)",
        "import sys; sys.stdout.buffer.write(b'!' + bytes(4) + bytes([255] * 4) + b'x')",
        "import sys; sys.stdout.buffer.write(b'!' + bytes([9, 9, 9, 9, 0, 0, 0, 1]) + b'x')",
        "import sys\nwhile True: sys.stdout.buffer.write(bytes(1 << 16))",
        "import time; time.sleep(60)",
    ],
)
def test_taken_over(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    """Whatever a hostile file makes of its reader, no page comes out, and nothing waits."""
    tmp_path.chmod(0o755)
    monkeypatch.setattr(pdf_pages, "_PROGRAM", program)
    monkeypatch.setattr(pdf_pages, "SECONDS", 2.0)
    monkeypatch.setattr(pdf_pages, "MAXIMUM_BYTES", 1_000_000)
    found = pdf_pages.draw_pages(sandbox, tmp_path, ["a.pdf"])
    assert all(not page.startswith(b"\x89PNG") for pages in found.values() for page in pages)
