"""grader/grading/items."""
