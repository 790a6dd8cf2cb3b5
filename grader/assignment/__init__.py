"""grader/assignment."""
