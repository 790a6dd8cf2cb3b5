"""The bundled assignment `numpy_layers`: layers in NumPy, tested by pytest and hypothesis.

The tests lie in `tests/`, the starter for students in `template/`. Nothing is trained, so the
assignment needs no data set.
"""

from grader.assignment.records import Assignment, FunctionsItem, Part, Problem


def _part(part_id: str, title: str, points: float, file: str, tests: str) -> Part:
    item = FunctionsItem(title=title, points=points, file=file, tests=f"tests/{tests}")
    return Part(id=part_id, title=title, items=(("", item),))


ASSIGNMENT = Assignment(
    id="numpy_layers",
    title="Layers in NumPy",
    points=50,
    seeds=(1,),
    problems=(
        Problem(
            id="1",
            title="Activations and losses",
            parts=(
                _part("1A", "ReLU", 4, "activations.py", "test_relu.py"),
                _part("1B", "Softmax", 6, "activations.py", "test_softmax.py"),
                _part("1C", "Cross entropy", 6, "activations.py", "test_cross_entropy.py"),
            ),
        ),
        Problem(
            id="2",
            title="Convolution and pooling",
            parts=(
                _part("2A", "Output size", 4, "convolution.py", "test_output_size.py"),
                _part("2B", "Convolution, forward", 8, "convolution.py", "test_conv2d.py"),
                _part("2C", "Max and average pooling", 8, "convolution.py", "test_pooling.py"),
            ),
        ),
        Problem(
            id="3",
            title="Learning",
            parts=(
                _part("3A", "Linear layer, backward", 6, "learning.py", "test_linear_backward.py"),
                _part("3B", "Perceptron", 8, "learning.py", "test_perceptron.py"),
            ),
        ),
    ),
)
