"""The exact versions of all packages that the grader runs with here, as pip reads them."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from grader.errors import MachineError
from grader.platforms.gradescope.wheel import DISTRIBUTION

TORCH = ("torch", "torchvision")
"""They come from an index of their own."""
_GPU_PREFIXES = ("nvidia-", "cuda-", "triton", "pytorch-triton")
"""What builds of torch for a GPU need, and those for a processor do not."""


def lock() -> dict[str, str]:
    """The version of every package that the grader needs, by name; its own is left out.

    Raises:
        MachineError: one of them is not installed.
    """
    versions: dict[str, str] = {}
    waiting = [DISTRIBUTION]
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in versions or name.startswith(_GPU_PREFIXES):
            continue
        try:
            installed = distribution(name)
        except PackageNotFoundError as error:
            raise MachineError(
                f"the package {name}, which the grader needs, is not installed",
                next_step="Install the grader afresh: pip install -e .",
            ) from error
        # A local version ("+cpu") names a build, and the other index may have another one.
        versions[name] = Version(installed.version).public
        requirements = map(Requirement, installed.requires or ())
        waiting += [
            requirement.name
            for requirement in requirements
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        ]
    del versions[canonicalize_name(DISTRIBUTION)]
    return dict(sorted(versions.items()))


def requirement_files(torch_index: str) -> dict[str, bytes]:
    """The files by their names, for `pip install --no-deps --requirement`.

    Args:
        torch_index: the URL of the package index that torch and torchvision come from.
    """
    versions = lock()
    torch = [f"{name}=={versions.pop(name)}" for name in TORCH]
    others = [f"{name}=={version}" for name, version in versions.items()]
    return {
        "requirements-torch.txt": "\n".join([f"--index-url {torch_index}", *torch, ""]).encode(),
        "requirements.txt": "\n".join([*others, ""]).encode(),
    }
