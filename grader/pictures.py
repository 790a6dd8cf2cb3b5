"""The pictures that students hand in with written answers, made safe to look at.

Nothing of a student's own bytes is kept: what Pillow reads is written anew, as PNG, without
metadata, under a name that says what it was called and what is in it.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from PIL import Image, ImageOps

if TYPE_CHECKING:
    from grader.collect import Submission

PICTURES_NAME = "pictures"
MAXIMUM_PICTURES = 20
MAXIMUM_PIXELS = 40_000_000
"""Of one picture as handed in: 120 MB once decoded, and more than a phone's camera takes."""

LONGEST_SIDE = 2000
_ENDINGS = (".png", ".jpg", ".jpeg")
_KEPT_NAME = re.compile(r"[A-Za-z0-9_.-]{1,80}-[0-9a-f]{12}\.png")


def keep_pictures(submission: Submission, folder: Path) -> list[str]:
    """Keep a submission's PNG and JPEG files below `folder`, in place of earlier ones.

    Args:
        submission: the private copy of what was handed in.
        folder: of the student's reports.

    Returns:
        The names under which they were kept; what is no picture, or too large, is left out.
    """
    target = folder / PICTURES_NAME
    shutil.rmtree(target, ignore_errors=True)
    kept = []
    for file in submission.files:
        source = submission.root / file
        if not file.lower().endswith(_ENDINGS) or not source.is_file():
            continue
        content = source.read_bytes()
        picture = _decode(source)
        if picture is None:
            continue
        digest = hashlib.sha256(content).hexdigest()[:12]
        stem = re.sub(r"[^A-Za-z0-9_.-]+", "-", PurePosixPath(file).stem)[:80] or "picture"
        target.mkdir(parents=True, exist_ok=True)
        picture.save(target / f"{stem}-{digest}.png", format="PNG")
        kept.append(f"{stem}-{digest}.png")
        if len(kept) == MAXIMUM_PICTURES:
            break
    return kept


def list_pictures(folder: Path) -> list[str]:
    """The names of the pictures kept for a student, in order."""
    target = folder / PICTURES_NAME
    if not target.is_dir():
        return []
    return sorted(path.name for path in target.iterdir() if _KEPT_NAME.fullmatch(path.name))


def _decode(source: Path) -> Image.Image | None:
    """The pixels, upright and no larger than a screen needs, or None if there are none to see."""
    try:
        with Image.open(source, formats=("PNG", "JPEG")) as opened:
            if opened.width * opened.height > MAXIMUM_PIXELS:
                return None
            upright = ImageOps.exif_transpose(opened)
    # Pillow's decoders raise many kinds of errors on what is broken or hostile.
    except Exception:  # noqa: BLE001
        return None
    upright.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    drawn = upright.convert("RGBA")
    paper = Image.new("RGBA", drawn.size, "white")
    return Image.alpha_composite(paper, drawn).convert("RGB")
