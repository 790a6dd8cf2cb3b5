"""grader/intake."""
