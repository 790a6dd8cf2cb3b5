"""grader/sandbox/isolation."""
