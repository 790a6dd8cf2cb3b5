"""grader/platforms/github."""
