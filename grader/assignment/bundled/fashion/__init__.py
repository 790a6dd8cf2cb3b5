"""The bundled assignment `fashion`: its public half, with its key where that is installed."""

from importlib.util import find_spec

from grader.assignment.bundled.fashion.assignment import ASSIGNMENT

if find_spec(f"{__name__}.key"):
    from grader.assignment.bundled.fashion.key import KEY

    ASSIGNMENT = ASSIGNMENT.with_key(KEY)
