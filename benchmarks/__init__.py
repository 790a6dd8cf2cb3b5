"""How fast the grader is, measured beside what a course uses today."""
