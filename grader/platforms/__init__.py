"""grader/platforms."""
