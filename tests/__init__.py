"""Tests of the grader, a module for each of its modules."""
