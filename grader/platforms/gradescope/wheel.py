"""A wheel of the grader that is running, so that the upload grades as this machine does.

It is packed from the package's own files and its installed metadata. That works for a source tree
and for an installed package alike, offline; `pip wheel` would need the sources and a registry.
The format: https://packaging.python.org/en/latest/specifications/binary-distribution-format/.
"""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import grader
from grader.errors import MachineError

DISTRIBUTION = "sequential-grader"
_WHEEL = (
    "Wheel-Version: 1.0\nGenerator: sequential-grader\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
)


def build_wheel() -> tuple[str, bytes]:
    """The wheel's file name and content.

    Raises:
        MachineError: the grader is not installed, or its metadata are of another version.
    """
    files = _package_files() | _metadata_files()
    information = _information_directory()
    record = f"{information}/RECORD"
    lines = [f"{name},sha256={_digest(content)},{len(content)}" for name, content in files.items()]
    files[record] = "\n".join([*lines, f"{record},,", ""]).encode()
    return f"{information.removesuffix('.dist-info')}-py3-none-any.whl", pack(files)


def pack(files: dict[str, bytes], *, executable: frozenset[str] = frozenset()) -> bytes:
    """A zip archive of files by their paths; the same files give the same bytes."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name)
            mode = 0o755 if name in executable else 0o644
            entry.external_attr = (0o100000 | mode) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return packed.getvalue()


def _information_directory() -> str:
    return f"{DISTRIBUTION.replace('-', '_')}-{grader.__version__}.dist-info"


def _package_files() -> dict[str, bytes]:
    package = Path(grader.__file__).parent
    return {
        str(path.relative_to(package.parent)): path.read_bytes()
        for path in sorted(package.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def _metadata_files() -> dict[str, bytes]:
    next_step = "Install the grader afresh: pip install -e ."
    try:
        installed = distribution(DISTRIBUTION)
    except PackageNotFoundError as error:
        raise MachineError("the grader is not installed here", next_step=next_step) from error
    if installed.version != grader.__version__:
        raise MachineError(
            f"the grader is {grader.__version__}, but was installed as {installed.version}",
            next_step=next_step,
        )
    information = _information_directory()
    files = {
        f"{information}/{name}": (installed.read_text(name) or "").encode()
        for name in ("METADATA", "entry_points.txt", "licenses/LICENSE")
    }
    return files | {f"{information}/WHEEL": _WHEEL.encode()}


def _digest(content: bytes) -> str:
    """SHA-256 in URL-safe base64 without padding, as RECORD wants it."""
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
