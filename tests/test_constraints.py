"""constraints.txt pins whatever `make` installs, and nothing in it belongs to one machine."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, requires

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.paths import ROOT

TEXT = (ROOT / "constraints.txt").read_text()
LINES = [line for line in TEXT.splitlines() if not line.startswith("#")]
PINNED = dict(line.split("==") for line in LINES)


def declared() -> list[Requirement]:
    """Return the requirements of pyproject.toml, those of all extras and of the build included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    texts = project["project"]["dependencies"] + project["build-system"]["requires"]
    for extra in project["project"]["optional-dependencies"].values():
        texts += extra
    requirements = [Requirement(text) for text in texts]
    return [found for found in requirements if found.name != "sequential-grader"]


@pytest.mark.parametrize("requirement", declared(), ids=lambda requirement: requirement.name)
def test_declared(requirement: Requirement) -> None:
    """Each dependency of pyproject.toml is pinned to a version within its range."""
    assert requirement.specifier.contains(PINNED[canonicalize_name(requirement.name)])


def test_indirect() -> None:
    """The dependencies of dependencies are pinned too, as far as they are installed here."""
    waiting = {(found.name, extra) for found in declared() for extra in ("", *found.extras)}
    seen: set[tuple[str, str]] = set()
    while waiting:
        name, extra = waiting.pop()
        seen.add((name, extra))
        try:
            further = [Requirement(text) for text in requires(name) or ()]
        except PackageNotFoundError:
            continue
        for found in further:
            if found.marker is None or found.marker.evaluate({"extra": extra}):
                assert canonicalize_name(found.name) in PINNED, f"{name} needs {found.name}"
                waiting |= {(found.name, of) for of in ("", *found.extras)} - seen


def test_portable() -> None:
    """Only names and versions: no address, no path, no option, in order."""
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", line) for line in LINES)
    assert sorted(LINES, key=lambda line: line.split("==")[0]) == LINES
