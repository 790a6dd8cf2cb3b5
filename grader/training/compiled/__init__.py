"""Compiled training steps, for the networks of most assignments. Optional: see `engine`."""
