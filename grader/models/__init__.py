"""grader/models."""
