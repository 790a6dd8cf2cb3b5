"""What root does to give a program a user of its own: confine it, watch over it, end all of it.

Like `grader.sandbox.worker`, this package is started as a program of its own, in an interpreter
without site-packages, so that it starts within milliseconds. It imports nothing but the standard
library.
"""
