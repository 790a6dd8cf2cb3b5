"""Run a student's whole program with stand-ins for data and training, and write down what it did.

The records are those of `grader.models.recording`.
"""
