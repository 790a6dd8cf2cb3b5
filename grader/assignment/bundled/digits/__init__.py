"""The bundled assignment `digits`, on scikit-learn's 8 by 8 images, which an installation has.

`grade assignment new` copies it as a start for an author, so its key is no secret.
"""

from grader.assignment.bundled.digits.assignment import ASSIGNMENT
from grader.assignment.bundled.digits.key import KEY

ASSIGNMENT = ASSIGNMENT.with_key(KEY)

__all__ = ["ASSIGNMENT", "KEY"]
