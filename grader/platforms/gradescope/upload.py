"""The zip file that an instructor uploads to Gradescope."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

from grader.assignment.records import Assignment, WrittenItem
from grader.platforms.gradescope.lock import requirement_files
from grader.platforms.gradescope.settings import FILE_NAME, Settings, write_settings
from grader.platforms.gradescope.wheel import build_wheel, pack

CPU_INDEX = "https://download.pytorch.org/whl/cpu"
"""PyTorch's own index of builds without CUDA: 200 MB where the ordinary one's take 5 GB."""
ASSIGNMENT_FILE = "assignment.py"
SCRIPTS = ("setup.sh", "run_autograder")


@dataclass(frozen=True, kw_only=True)
class Upload:
    """An upload and what must be set on Gradescope's side.

    Attributes:
        content: the zip file.
        automatic_points: what the autograder gives at most.
        manual_points: what people give.
    """

    content: bytes
    automatic_points: float
    manual_points: float


def build_upload(
    assignment: Assignment, settings: Settings, *, assignment_file: Path | None, torch_index: str
) -> Upload:
    """Build the upload.

    Args:
        assignment: already loaded, and so without mistakes.
        settings: how to grade; the name of an author's file is replaced by that in the upload.
        assignment_file: the author's file, or None for a bundled assignment.
        torch_index: the URL of the package index that torch and torchvision come from.

    Raises:
        MachineError: the grader that is running here cannot be packed.
    """
    wheel_name, wheel = build_wheel()
    contents = {name: (files(__package__) / "files" / name).read_bytes() for name in SCRIPTS}
    contents |= requirement_files(torch_index)
    contents["python-version"] = "{}.{}\n".format(*sys.version_info[:2]).encode()
    contents[wheel_name] = wheel
    if assignment_file is not None:
        contents[ASSIGNMENT_FILE] = assignment_file.read_bytes()
        settings = replace(settings, assignment=ASSIGNMENT_FILE)
    contents[FILE_NAME] = write_settings(settings)
    manual = sum(item.points for _, item in assignment.item_ids() if isinstance(item, WrittenItem))
    return Upload(
        content=pack(contents, executable=frozenset(SCRIPTS)),
        automatic_points=assignment.points - manual,
        manual_points=manual,
    )
