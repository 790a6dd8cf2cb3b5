"""The paths of the machine that Landlock leaves open to student code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from grader.sandbox.isolation import exposed_paths
from grader.sandbox.supervisor.landlock import LIST, READ, USE_DEVICE, Access

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_DEVICES = {"/dev/null": USE_DEVICE} | dict.fromkeys(
    ("/dev/zero", "/dev/random", "/dev/urandom"), Access.READ_FILE
)


def open_paths(hidden: Iterable[Path]) -> list[tuple[Path, Access]]:
    """Return the system, Python and its packages to read, less what is hidden; and a few devices.

    A right on a directory holds for everything below it and cannot be taken back there. So the
    neighbours of a hidden path are opened one by one. The names, but not the contents, of hidden
    files can still be listed.
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
        # The target of a link has a rule of its own, or must stay closed.
        if not entry.is_symlink():
            yield from _open_below(entry, closed)
