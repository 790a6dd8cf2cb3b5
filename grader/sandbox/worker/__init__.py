"""The code inside the sandbox: it imports a student's files and describes their answers.

Of the grader, only the modules in `isolation.exposed_paths.WORKER_PARTS` exist in the sandbox.
"""
