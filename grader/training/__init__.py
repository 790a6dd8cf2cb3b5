"""grader/training."""
