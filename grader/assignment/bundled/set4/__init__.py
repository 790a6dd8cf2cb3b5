"""The bundled assignment `set4`: its public half, with its key where that is installed."""

from importlib.util import find_spec

from grader.assignment.bundled.set4.assignment import ASSIGNMENT

if find_spec(f"{__name__}.key"):
    from grader.assignment.bundled.set4.key import KEY

    ASSIGNMENT = ASSIGNMENT.with_key(KEY)
