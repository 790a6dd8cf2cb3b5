"""The grading of one submission, stage by stage."""
