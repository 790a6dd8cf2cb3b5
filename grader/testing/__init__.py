"""An author's pytest tests of a student's functions, which run in the sandbox.

`grader.testing.plugin` is a pytest plugin with the fixture `student`. The tests run on the trusted
side; each call of `student` goes into the sandbox and comes back as data.
"""

from grader.testing.errors import StudentError

__all__ = ["StudentError"]
