"""Tests that look at the report in a real browser; skipped where there is none."""
