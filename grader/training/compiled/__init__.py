"""Compiled training steps, for the networks of most assignments. Optional: see `engine`."""

import os

from grader.training.data_places import default_cache_directory

os.environ.setdefault("NUMBA_CACHE_DIR", str(default_cache_directory() / "kernels"))
