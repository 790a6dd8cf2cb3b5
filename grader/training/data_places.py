"""The directories of the data sets on this machine. Imports no torch: the sandbox need not wait."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import platformdirs

from grader.errors import DatasetError

DATA_VARIABLE = "GRADER_DATA"
"""The environment variable that names the data directory when the command does not."""


def default_cache_directory() -> Path:
    """Return the user's cache directory for downloads, converted data and training runs."""
    return Path(platformdirs.user_cache_dir("sequential-grader"))


@dataclass(frozen=True, kw_only=True)
class Places:
    """The directories in which data sets are looked for.

    Attributes:
        named: the directory that the command or `DATA_VARIABLE` names, or None. It must hold the
            data: no other is searched.
        origin: who named it, for messages.
        cache: keeps downloads and converted files.
        everywhere: all directories that may hold data, to be hidden from student code.
    """

    named: Path | None = None
    origin: str = ""
    cache: Path
    everywhere: tuple[Path, ...]

    @classmethod
    def of(cls, data_directory: Path | None, cache_directory: Path | None = None) -> Self:
        """Return the places of a command, of which `data_directory` is the option --data."""
        cache = cache_directory or default_cache_directory()
        variable = os.environ.get(DATA_VARIABLE)
        from_variable = Path(variable) if variable else None
        return cls(
            named=data_directory or from_variable,
            origin="given with --data" if data_directory else f"named by {DATA_VARIABLE}",
            cache=cache,
            everywhere=tuple(filter(None, (data_directory, from_variable, cache))),
        )

    def require_root(self) -> Path:
        """Return the directory to look in.

        Raises:
            DatasetError: the directory that is named does not exist.
        """
        if self.named is None:
            return self.cache
        if not self.named.is_dir():
            raise DatasetError(
                f"the data directory {self.named} ({self.origin}) does not exist",
                next_step=NEXT_STEP,
            )
        return self.named


NEXT_STEP = (
    "Give the directory that holds the data set in torchvision's layout with --data DIR, or grade "
    "on the small practice set with --practice."
)
