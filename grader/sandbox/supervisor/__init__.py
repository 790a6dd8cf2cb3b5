"""The supervisor of a program without namespaces: confine it, watch it, kill all of it.

Like `grader.sandbox.worker`, it runs in an interpreter without site-packages, so that it starts
within milliseconds. It imports nothing but the standard library and `grader.kernel`.
"""
