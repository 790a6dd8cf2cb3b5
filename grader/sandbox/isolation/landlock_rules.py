"""Which paths of the machine Landlock leaves open to student code."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from grader.errors import SandboxError
from grader.sandbox.isolation import exposed_paths
from grader.sandbox.isolation.user_ids import find_closed
from grader.sandbox.supervisor.landlock import LIST, READ, USE_DEVICE, Access

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_DEVICES = {"/dev/null": USE_DEVICE} | dict.fromkeys(
    ("/dev/zero", "/dev/random", "/dev/urandom"), Access.READ_FILE
)


def open_paths(hidden: Iterable[Path]) -> list[tuple[Path, Access]]:
    """The system, Python and its packages to read, less what is hidden; and a few devices.

    A right on a directory holds for all below it and cannot be taken back there. So where
    something is to be hidden, its directory's other entries are opened one by one. What stays is
    that the names, but not the contents, of hidden files can be listed.
    """
    closed = {
        path.resolve()
        for path in (exposed_paths.PACKAGE, *exposed_paths.embedded_data_sets(), *hidden)
    }
    if not exposed_paths.is_installed():
        closed.add(exposed_paths.PACKAGE.parent)
    tops = [*exposed_paths.SYSTEM, *(Path("/", name) for name in exposed_paths.ENTRY_POINTS)]
    tops += exposed_paths.python_directories()
    rules: dict[Path, Access] = {}
    for top in dict.fromkeys(path.resolve() for path in tops if path.exists()):
        rules.update(_open_below(top, closed))
    rules.update(
        (path, READ) for path in (*exposed_paths.LINKER, *exposed_paths.MACHINE) if path.exists()
    )
    rules.update((Path(name), access) for name, access in _DEVICES.items() if Path(name).exists())
    return list(rules.items())


def _open_below(top: Path, closed: set[Path]) -> Iterator[tuple[Path, Access]]:
    if top in closed:
        return
    if not any(path.is_relative_to(top) for path in closed):
        yield top, READ
        return
    yield top, LIST
    for entry in top.iterdir():
        # What a link leads to has a rule of its own, or is not to be opened.
        if not entry.is_symlink():
            yield from _open_below(entry, closed)


def require_access() -> None:
    """Check that Python and PyTorch can be read by a user who is neither root nor in its groups.

    Raises:
        SandboxError: they cannot; says what would help.
    """
    torch = importlib.util.find_spec("torch")
    needed = [Path(sys.executable), *exposed_paths.python_directories()]
    if torch is not None and torch.origin is not None:
        needed.append(Path(torch.origin))
    for path in dict.fromkeys([*needed, *(path.resolve() for path in needed)]):
        closed = find_closed(path)
        if closed is not None:
            raise SandboxError(
                f"Python lies in {closed}, which only root may enter: chmod o+x {closed}"
            )
        if path.is_file() and not path.stat().st_mode & 0o004:
            raise SandboxError(f"only root may read {path}: chmod -R o+rX {path.parent}")
