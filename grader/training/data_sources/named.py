"""Every data source that an assignment can name, also by a plain string."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from grader.text import did_you_mean
from grader.training.data_places import Places
from grader.training.data_sources.embedded import EMBEDDED, EmbeddedDataset
from grader.training.data_sources.interface import DataSource
from grader.training.data_sources.vision import KNOWN, TorchvisionDataset

NAMES = ("mnist", *EMBEDDED)
"""The plain strings."""


def named_source(named: str | DataSource) -> DataSource:
    """Return the source that an assignment names; a string is one of `NAMES`."""
    if isinstance(named, DataSource):
        return named
    return TorchvisionDataset("MNIST") if named == "mnist" else EmbeddedDataset(named)


def source_mistakes(named: object) -> Iterator[str]:
    """Yield the mistakes of the author in naming a data set."""
    if isinstance(named, DataSource):
        yield from named.mistakes()
    elif not isinstance(named, str):
        yield f"must be a name or a data set, but is {named!r}"
    elif named not in NAMES:
        yield f"there is no data set {named!r}{_advise(named)}"


def _advise(name: str) -> str:
    if name in KNOWN:
        return f'; write TorchvisionDataset("{name}")'
    if name.endswith(".npz"):
        return f'; write FileDataset("{name}", sha256=…)'
    hint = did_you_mean(name, NAMES)
    return hint or f"; there are {', '.join(NAMES)}, TorchvisionDataset(…) and FileDataset(…)"


def label_paths(sources: Iterable[DataSource], data_directory: Path | None) -> list[Path]:
    """Return the files and directories with labels, which student code must not see."""
    places = Places.of(data_directory)
    return [path for source in sources for path in source.label_paths(places)]
