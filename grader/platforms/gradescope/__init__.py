"""Grading on Gradescope: the upload, and what runs in its container."""
