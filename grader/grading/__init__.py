"""grader/grading."""
