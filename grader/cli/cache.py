"""`grade cache`: the cached training runs."""

from __future__ import annotations

import click

from grader.cli.options import json_option, print_json
from grader.training.data_places import default_cache_directory
from grader.training.run_cache import CacheInfo, cache_info, clear_cache

EXAMPLES = """
\b
Examples:
  grade cache info         number, place and size of the runs
  grade cache info --json  the same for another program
  grade cache clear        delete them; data sets stay
"""


@click.group(epilog=EXAMPLES)
def cache() -> None:
    """Show or clear the cached training runs."""


@cache.command("info", epilog=EXAMPLES)
@json_option
def show_cache(*, as_json: bool) -> None:
    """Print the number, the place and the size of the cached runs."""
    _say(cache_info(default_cache_directory()), as_json=as_json)


@cache.command("clear", epilog=EXAMPLES)
@json_option
def empty_cache(*, as_json: bool) -> None:
    """Delete every cached run; data sets stay."""
    _say(clear_cache(default_cache_directory()), "deleted: ", as_json=as_json)


def _say(info: CacheInfo, prefix: str = "", *, as_json: bool) -> None:
    if as_json:
        print_json(info)
    else:
        click.echo(f"{prefix}{info.entries} runs, {info.size_bytes / 1e6:.1f} MB, {info.directory}")
