"""Where downloads, converted data and training runs are kept."""

from __future__ import annotations

from pathlib import Path

import platformdirs


def default_cache_directory() -> Path:
    """The user's cache directory for the grader, unless something else is said."""
    return Path(platformdirs.user_cache_dir("sequential-grader"))
