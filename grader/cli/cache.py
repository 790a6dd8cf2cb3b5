"""`grade cache`: the kept training runs."""

from __future__ import annotations

import click

from grader.cache_directory import default_cache_directory
from grader.run_cache import CacheInfo, cache_info, clear_cache


@click.group()
def cache() -> None:
    """Look at or clear the kept training runs."""


@cache.command("info")
def show_cache() -> None:
    """Say where the runs are kept, how many, and how large they are."""
    _say(cache_info(default_cache_directory()))


@cache.command("clear")
def empty_cache() -> None:
    """Remove every kept run; data sets stay."""
    _say(clear_cache(default_cache_directory()), "removed: ")


def _say(info: CacheInfo, prefix: str = "") -> None:
    click.echo(f"{prefix}{info.entries} runs, {info.size_bytes / 1e6:.1f} MB, {info.directory}")
