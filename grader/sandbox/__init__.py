"""grader/sandbox."""
