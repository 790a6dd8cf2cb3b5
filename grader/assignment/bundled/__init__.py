"""The assignments that come with the grader: data only."""
