"""What runs inside the sandbox: it imports a student's files, asks them, and describes the answers.

Nothing of the grader but `layer_kinds` is imported here, since nothing else is in the sandbox.
"""
