"""The zip file that an instructor uploads to Gradescope."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, distribution, distributions
from pathlib import Path

from packaging.utils import canonicalize_name
from packaging.version import Version

import grader
from grader.assignment.loading import PUBLIC_HALF
from grader.errors import MachineError
from grader.platforms.gradescope.settings import FILE_NAME, Settings, write_settings

CPU_INDEX = "https://download.pytorch.org/whl/cpu"
"""PyTorch's index of builds without CUDA: 200 MB instead of PyPI's 5 GB."""
SCRIPTS = ("setup.sh", "run_autograder")
SOURCE = "grader-source"
_DISTRIBUTION = "sequential-grader"
_PYPROJECT = """\
[build-system]
requires = ["hatchling>=1.26"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "{version}"
dependencies = {dependencies}
license-files = ["LICENSE"]

[project.scripts]
grade = "grader.__main__:main"

[tool.hatch.build.targets.wheel]
packages = ["grader"]
"""


def build_upload(
    settings: Settings,
    *,
    author_files: Mapping[str, Path],
    torch_index: str,
) -> bytes:
    """Return the zip file.

    Args:
        settings: how to grade.
        author_files: an author's assignment, key, tests and data; empty for a bundled assignment.
        torch_index: URL of the package index for torch and torchvision.

    Raises:
        MachineError: the grader is not installed as a package.
    """
    package = Path(grader.__file__).parent
    contents = {
        name: (package / "platforms" / "gradescope" / "files" / name).read_bytes()
        for name in SCRIPTS
    }
    contents["python-version"] = "{}.{}\n".format(*sys.version_info[:2]).encode()
    contents["constraints.txt"] = _constraints().encode()
    contents["torch.txt"] = f"--index-url {torch_index}\ntorch\ntorchvision\n".encode()
    contents |= {f"{SOURCE}/{name}": content for name, content in _source_files(package).items()}
    if author_files:
        settings = replace(settings, assignment=PUBLIC_HALF)
        contents |= {name: path.read_bytes() for name, path in author_files.items()}
    contents[FILE_NAME] = write_settings(settings)
    return _pack(contents)


def _source_files(package: Path) -> dict[str, bytes]:
    """Return the package's files, its licence and a `pyproject.toml`, by their paths.

    `pyproject.toml` is made from the installed metadata, because site-packages holds none.
    """
    try:
        installed = distribution(_DISTRIBUTION)
    except PackageNotFoundError as error:
        raise MachineError(
            "the grader is not installed as a package", next_step="Run pip install -e . first."
        ) from error
    project = _PYPROJECT.format(
        name=_DISTRIBUTION,
        version=grader.__version__,
        # A JSON list of strings is a TOML array too. pip skips the requirements of extras.
        dependencies=json.dumps(installed.requires, indent=4),
    )
    files = {
        str(path.relative_to(package.parent)): path.read_bytes()
        for path in sorted(package.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
    licence = installed.read_text("licenses/LICENSE") or ""
    return files | {"LICENSE": licence.encode(), "pyproject.toml": project.encode()}


def _constraints() -> str:
    """Pin every package that is installed here; pip installs only the needed ones."""
    versions: dict[str, str] = {}
    for installed in distributions():
        # The first of several is the one that Python imports. A local version ("+cpu") names a
        # build, and another index may have another build.
        name = canonicalize_name(installed.name)
        versions.setdefault(name, Version(installed.version).public)
    del versions[_DISTRIBUTION]
    return "".join(f"{name}=={version}\n" for name, version in sorted(versions.items()))


def _pack(files: dict[str, bytes]) -> bytes:
    """Return a zip archive; equal files give equal bytes."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (0o100755 if name in SCRIPTS else 0o100644) << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return packed.getvalue()
