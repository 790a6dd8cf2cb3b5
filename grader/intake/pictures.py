"""Pictures that students submit with written answers, made safe to look at.

None of the student's bytes are kept: Pillow's pixels are written again as PNG, without metadata,
under a name made of the old name and the content's digest.
"""

from __future__ import annotations

import hashlib
import io
import re
import shutil
from pathlib import Path, PurePosixPath

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
_ENDINGS = (".png", ".jpg", ".jpeg")
_KEPT_NAME = re.compile(r"[A-Za-z0-9_.-]{1,80}-[0-9a-f]{12}\.png")


def keep_pictures(submission: Submission, folder: Path) -> list[str]:
    """Keep a submission's PNG and JPEG files below `folder`, in place of earlier ones.

    Return their names. Files that are not pictures, or too large, are left out.
    """
    target = folder / PICTURES_NAME
    shutil.rmtree(target, ignore_errors=True)
    kept = []
    named = [file for file in submission.files if file.lower().endswith(_ENDINGS)]
    for file in named[:MAXIMUM_PICTURES]:
        content = submission.root.joinpath(file).read_bytes()
        picture = _decode(content)
        if picture is None:
            continue
        digest = hashlib.sha256(content).hexdigest()[:12]
        stem = re.sub(r"[^A-Za-z0-9_.-]+", "-", PurePosixPath(file).stem)[:80] or "picture"
        target.mkdir(parents=True, exist_ok=True)
        picture.save(target / f"{stem}-{digest}.png", format="PNG")
        kept.append(f"{stem}-{digest}.png")
    return kept


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
        with Image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as opened:
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
