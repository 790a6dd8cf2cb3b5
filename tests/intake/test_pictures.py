"""Pictures from students: what is kept of them, and what is not."""

import io
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from grader.intake.pictures import (
    MAXIMUM_PICTURES,
    MAXIMUM_SCANS,
    PICTURES_NAME,
    is_mentioned,
    keep_pictures,
    list_pictures,
)
from grader.intake.private_copy import collect


def png_that_claims(width, height):
    """A PNG of a few bytes whose header promises that many pixels."""

    def chunk(kind, content):
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", pixels), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def encoded(image, kind, **options: object):
    """An image file's bytes."""
    written = io.BytesIO()
    image.save(written, format=kind, **options)
    return written.getvalue()


@pytest.fixture
def keep(tmp_path):
    """Hands files in and keeps their pictures; returns the names and the folder of the report."""

    def kept(files):
        directory, folder = tmp_path / "handed-in", tmp_path / "report"
        for name, content in ({"answer.md": b"x"} | files).items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        with collect(directory, ["answer.md"]) as submission:
            return keep_pictures(submission, folder), folder

    return kept


@pytest.mark.parametrize(("name", "kind"), [("1E.png", "PNG"), ("written/1E.JPG", "JPEG")])
def test_picture_encoded_again(name, kind, keep):
    """Pictures become PNG without metadata, no larger than a screen, made of pixels only."""
    image = Image.new("RGB", (4000, 1000), "orange")
    names, folder = keep({name: encoded(image, kind, comment="secret") + b"<script>"})
    assert names == list_pictures(folder)
    written = (folder / PICTURES_NAME / names[0]).read_bytes()
    assert b"secret" not in written
    assert b"<script>" not in written
    with Image.open(io.BytesIO(written)) as opened:
        assert (opened.format, opened.size, opened.info) == ("PNG", (2000, 500), {})


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no picture",
        b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
        encoded(Image.new("RGB", (16, 16)), "ICO"),
        encoded(Image.new("RGB", (99, 99)), "PNG")[:-40],
        png_that_claims(100_000, 100_000),
        png_that_claims(7_000, 7_000),
    ],
    ids=["empty", "text", "svg", "icon", "cut off", "bomb", "too many pixels"],
)
def test_unusable_pictures_left_out(content, keep):
    """A file's name does not make it a picture."""
    assert keep({"1E.png": content})[0] == []


def test_transparent_on_white(keep):
    """A drawing with a transparent background does not become black on black."""
    drawing = Image.new("RGBA", (9, 9), (0, 0, 0, 0))
    names, folder = keep({"1E.png": encoded(drawing, "PNG")})
    with Image.open(folder / PICTURES_NAME / names[0]) as opened:
        assert opened.getpixel((4, 4)) == (255, 255, 255)


def test_harmless_names(keep):
    """Odd characters become dashes, and the same picture has the same name again."""
    content = encoded(Image.new("RGB", (9, 9)), "PNG")
    first, _ = keep({"1E <b>….png": content})
    again, folder = keep({"1E <b>….png": content})
    assert first == again == list_pictures(folder)
    assert first[0].startswith("1E-b-")


def test_slow_picture_left_out(keep):
    """Thousands of scans of a few bytes each would each take time for every pixel."""
    picture = encoded(Image.new("L", (100, 100), 7), "JPEG", progressive=True)
    start = picture.rindex(b"\xff\xda")
    scan, end = picture[start:-2], picture[-2:]
    names, _ = keep({"1E.jpg": picture, "2B.jpg": picture[:-2] + scan * MAXIMUM_SCANS + end})
    assert [name.partition("-")[0] for name in names] == ["1E"]


def test_twenty_pictures(keep):
    """At most twenty are kept, and those of an earlier grading are deleted."""
    keep({"old.png": encoded(Image.new("RGB", (9, 9), "red"), "PNG")})
    files = {
        f"{number:03}.png": encoded(Image.new("RGB", (9, 9), (number, 0, 0)), "PNG")
        for number in range(MAXIMUM_PICTURES + 5)
    }
    names, folder = keep(files)
    assert len(names) == MAXIMUM_PICTURES
    assert sorted(names) == list_pictures(folder)


@pytest.mark.parametrize(
    "text",
    [
        "![](my proof.png)",
        "![a](<my proof.png>)",
        "![a](written/my%20proof.png)",
        '<img src="my proof.png">',
        "[[My proof.PNG]]",
        "see [the proof](my%20proof.png)",
        "It is in my proof.png.",
    ],
)
def test_mentioned(text: str) -> None:
    """A picture is found however the text names it."""
    assert is_mentioned("my-proof-0123456789ab.png", text)
    assert not is_mentioned("my-proof-2-0123456789ab.png", text)
    assert not is_mentioned("proof-0123456789ab.png", "my_proof.png")


def test_pages_are_kept(tmp_path: Path) -> None:
    """Pages of a PDF are pictures of the part in whose name the file is."""
    page = io.BytesIO()
    Image.new("RGB", (20, 10)).save(page, "PNG")
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "problem_1.py").touch()
    with collect(tmp_path / "work", ["problem_1.py"]) as submission:
        kept = keep_pictures(
            submission, tmp_path / "ann", {"written/1A.pdf": [page.getvalue()] * 2}
        )
    assert [name.rpartition("-")[0] for name in kept] == ["1A-p01", "1A-p02"]
    assert is_mentioned(kept[0], "See 1A.pdf")
