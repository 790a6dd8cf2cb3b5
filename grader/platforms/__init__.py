"""Platforms on which grading runs by itself: Gradescope and GitHub."""
