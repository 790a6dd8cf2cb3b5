"""The speed of the grader, beside the loop that courses use today."""
