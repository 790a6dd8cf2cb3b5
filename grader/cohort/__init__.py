"""grader/cohort."""
