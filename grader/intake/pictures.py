"""Pictures that students submit with written answers, made safe to look at.

None of the student's bytes are kept: Pillow's pixels are written again as PNG, without metadata,
under a name made of the old name and the content's digest.
"""

from __future__ import annotations

import hashlib
import io
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from urllib.parse import unquote

from PIL import Image, ImageOps

from grader.intake.submission import Submission

PICTURES_NAME = "pictures"
MAXIMUM_PICTURES = 20
MAXIMUM_PIXELS = 40_000_000
"""Of one submitted picture: 120 MB decoded, and more than a phone's camera takes."""

MAXIMUM_SCANS = 100
"""Of one JPEG: a progressive one has about ten, and each takes time for every pixel."""

LONGEST_SIDE = 2000
_START_OF_SCAN = b"\xff\xda"
_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
PDF = ".pdf"
_NOT_KEPT = re.compile(r"[^A-Za-z0-9_.-]+")
_KEPT_NAME = re.compile(r"[A-Za-z0-9_.-]{1,80}-[0-9a-f]{12}\.png")


def keep_pictures(
    submission: Submission,
    folder: Path,
    pages: Mapping[str, Sequence[bytes]] = MappingProxyType({}),
) -> list[str]:
    """Keep a submission's pictures below `folder`, in place of earlier ones; return their names.

    Files that are not pictures, or too large, are left out.

    Args:
        submission: the private copy.
        folder: of the student's reports.
        pages: of PDFs, as encoded pictures, by file.
    """
    target = folder / PICTURES_NAME
    shutil.rmtree(target, ignore_errors=True)
    kept = []
    named = [file for file in submission.files if file.lower().endswith(_ENDINGS)]
    contents = [
        (file, submission.root.joinpath(file).read_bytes()) for file in named[:MAXIMUM_PICTURES]
    ]
    contents += [
        (f"{file.removesuffix(PurePosixPath(file).suffix)}-p{number:02}", page)
        for file, found in pages.items()
        for number, page in enumerate(found, start=1)
    ]
    for file, content in contents[:MAXIMUM_PICTURES]:
        picture = _decode(content)
        if picture is None:
            continue
        digest = hashlib.sha256(content).hexdigest()[:12]
        name = f"{picture_stem(PurePosixPath(file).name)[:80] or 'picture'}-{digest}.png"
        target.mkdir(parents=True, exist_ok=True)
        picture.save(target / name, format="PNG")
        kept.append(name)
    return kept


def picture_stem(name: str) -> str:
    """Return a file's name without its ending, of plain characters only: "my-proof"."""
    return _NOT_KEPT.sub("-", name.removesuffix(PurePosixPath(name).suffix))


def is_mentioned(picture: str, text: str) -> bool:
    """Return True if a text names a kept picture: as Markdown, HTML, a link, or in plain words."""
    stem = picture.rpartition("-")[0].lower()
    plain = _NOT_KEPT.sub("-", unquote(text)).lower()
    endings = "|".join(ending.removeprefix(".") for ending in (*_ENDINGS, PDF))
    stem = re.sub(r"-p\d\d\Z", "", stem)
    return re.search(rf"(?<![a-z0-9_.]){re.escape(stem)}\.(?:{endings})\b", plain) is not None


def list_pictures(folder: Path) -> list[str]:
    """Return the names of the pictures kept for a student, in order."""
    target = folder / PICTURES_NAME
    if not target.is_dir():
        return []
    return sorted(path.name for path in target.iterdir() if _KEPT_NAME.fullmatch(path.name))


def _decode(content: bytes) -> Image.Image | None:
    """Return the pixels, upright and no larger than a screen needs, or None if unusable."""
    if content.count(_START_OF_SCAN) > MAXIMUM_SCANS:
        return None
    try:
        with Image.open(io.BytesIO(content), formats=_FORMATS) as opened:
            if opened.width * opened.height > MAXIMUM_PIXELS:
                return None
            upright = ImageOps.exif_transpose(opened)
    # Pillow's decoders raise many kinds of errors for broken or hostile files.
    except Exception:  # noqa: BLE001
        return None
    upright.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    drawn = upright.convert("RGBA")
    paper = Image.new("RGBA", drawn.size, "white")
    return Image.alpha_composite(paper, drawn).convert("RGB")
