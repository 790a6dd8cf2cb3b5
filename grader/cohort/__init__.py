"""The grading of a class: the run, the store, statistics, similarity, gradebooks."""
