"""The bundled assignment: deep learning on MNIST, 100 points, 61 of them graded automatically.

The parts and the names of the students' functions are a contract with the starter in
`student_template/`. How the thresholds for practice were measured is written in
`docs/decisions/`.
"""

from grader.assignment.constraints import (
    AllowedLayers,
    Constraint,
    ExactLinearLayers,
    FewerParametersThan,
    MaxHiddenUnits,
    MinHiddenLayers,
    RequiredLayer,
)
from grader.assignment.records import (
    AnswerItem,
    Assignment,
    Item,
    ModelItem,
    Part,
    Practice,
    Problem,
    Recipe,
    SweepItem,
    Threshold,
    TruthTableItem,
    TruthTableRow,
    VersionsItem,
    WrittenItem,
)

_FULLY_CONNECTED = AllowedLayers(kinds=("Linear", "ReLU", "Softmax", "Dropout", "Flatten"))
"""Flatten has neither weights nor units; the course's own sample model starts with it."""

_CONVOLUTIONAL = AllowedLayers(
    kinds=("Linear", "Conv2d", "MaxPool2d", "BatchNorm2d", "Dropout", "ReLU", "Softmax", "Flatten")
)
_LOGIC = AllowedLayers(kinds=("Linear", "ReLU"))


def _part(part_id: str, title: str, only_item: Item | None = None, /, **items: Item) -> Part:
    """Return a part with one nameless item, or with several named items."""
    named = (("", only_item),) if only_item else tuple(items.items())
    return Part(id=part_id, title=title, items=named)


def _written(part_id: str, points: float, question: str) -> WrittenItem:
    return WrittenItem(
        title="Written answer",
        points=points,
        file=f"written/{part_id}.md",
        question=question,
    )


def _network(
    function: str, operation: str, points: float, *outputs: float, constraint: Constraint
) -> TruthTableItem:
    """Return a network of two binary inputs; `outputs` for 00, 01, 10, 11; 1 means at least 1."""
    inputs = ((0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0))
    rows = tuple(
        TruthTableRow(inputs=pair, at_least=1.0)
        if output
        else TruthTableRow(inputs=pair, equals=0.0)
        for pair, output in zip(inputs, outputs, strict=True)
    )
    return TruthTableItem(
        title=f"{function}() computes {operation}",
        points=points,
        file="problem_1.py",
        function=function,
        constraints=(_LOGIC, constraint),
        rows=rows,
    )


def _fully_connected(
    letter: str, points: float, threshold: float, *constraints: Constraint
) -> ModelItem:
    return ModelItem(
        title=f"Test accuracy of model_{letter}() in its best epoch",
        points=points,
        file="problem_2.py",
        model=f"model_{letter}",
        optimizer=f"optimizer_{letter}",
        scheduler=f"scheduler_{letter}",
        training=f"training_{letter}",
        reported=f"reported_accuracy_{letter}",
        constraints=(_FULLY_CONNECTED, *constraints),
        recipe=Recipe(epochs=10, maximum_epochs=60, cut_epochs=True, normalization=True),
        threshold=Threshold(accuracy=threshold, epoch="best"),
    )


_PROBLEM_1 = Problem(
    id="1",
    title="Deep learning principles",
    parts=(
        _part(
            "1A",
            "A ReLU network that starts at zero",
            _written(
                "1A",
                5,
                "Every weight of a ReLU network starts at 0. Show by backpropagation why it never "
                "learns.",
            ),
        ),
        _part(
            "1B",
            "The same with sigmoid units",
            _written(
                "1B",
                5,
                "The same pair of networks with sigmoid units: what is learned, how fast, and why?",
            ),
        ),
        _part(
            "1C",
            "Dying ReLU",
            _written(
                "1C",
                10,
                "SGD sees all 500 negative examples before the 500 positive ones. What can happen "
                "to a ReLU network, and why?",
            ),
        ),
        _part(
            "1D",
            "OR with one hidden unit",
            _network("or_network", "OR", 7, 0, 1, 1, 1, constraint=MaxHiddenUnits(units=1)),
        ),
        _part(
            "1E",
            "XOR with the fewest layers",
            layers=AnswerItem(
                title="The least number of fully-connected layers",
                points=2,
                file="problem_1.py",
                function="xor_min_layers",
            ),
            network=_network(
                "xor_network", "XOR", 3, 0, 1, 1, 0, constraint=ExactLinearLayers(layers=2)
            ),
            text=_written("1E", 3, "Why can fewer layers not compute XOR?"),
        ),
    ),
)

_PROBLEM_2 = Problem(
    id="2",
    title="Fully-connected networks on MNIST",
    parts=(
        _part(
            "2A",
            "Versions",
            VersionsItem(
                title="The installed versions of torch and torchvision",
                points=2,
                file="problem_2.py",
                function="versions",
            ),
        ),
        _part(
            "2B",
            "The data",
            image_size=AnswerItem(
                title="Height and width of an image",
                points=1,
                file="problem_2.py",
                function="image_size",
            ),
            dataset_sizes=AnswerItem(
                title="Numbers of training and test images",
                points=1,
                file="problem_2.py",
                function="dataset_sizes",
            ),
            text=_written("2B", 1, "What does the value of a pixel mean?"),
        ),
        _part(
            "2C",
            "At most 100 hidden units",
            _fully_connected("c", 8, 0.975, MaxHiddenUnits(units=100)),
        ),
        _part(
            "2D",
            "At most 200 hidden units in two or more layers",
            _fully_connected("d", 6, 0.98, MaxHiddenUnits(units=200), MinHiddenLayers(layers=2)),
        ),
        _part(
            "2E",
            "At most 1000 hidden units in three or more layers",
            _fully_connected("e", 6, 0.983, MaxHiddenUnits(units=1000), MinHiddenLayers(layers=3)),
        ),
    ),
)

_PROBLEM_3 = Problem(
    id="3",
    title="Convolutional networks",
    parts=(
        _part(
            "3A",
            "Zero padding",
            _written("3A", 5, "Name a benefit and a drawback of zero padding."),
        ),
        _part(
            "3B",
            "Parameters of a convolution",
            AnswerItem(
                title="Weights and biases of 8 filters of 5 x 5 x 3",
                points=2,
                file="problem_3.py",
                function="conv_parameters",
            ),
        ),
        _part(
            "3C",
            "Output shape of a convolution",
            AnswerItem(
                title="The output's shape, channels last or first",
                points=3,
                file="problem_3.py",
                function="conv_output_shape",
            ),
        ),
        _part(
            "3D",
            "Average pooling",
            AnswerItem(
                title="The four matrices after 2 x 2 average pooling",
                points=3,
                file="problem_3.py",
                function="average_pool",
                tolerance=1e-6,
            ),
        ),
        _part(
            "3E",
            "Max pooling",
            AnswerItem(
                title="The four matrices after 2 x 2 max pooling",
                points=3,
                file="problem_3.py",
                function="max_pool",
                tolerance=1e-6,
            ),
        ),
        _part(
            "3F",
            "Why pooling helps",
            _written(
                "3F", 4, "Why does pooling help on images with small shifts and missing pixels?"
            ),
        ),
        _part(
            "3G",
            "A convolutional network",
            model=ModelItem(
                title="Test accuracy of model_g() after 10 epochs",
                points=10,
                file="problem_3.py",
                model="model_g",
                optimizer="optimizer_g",
                scheduler="scheduler_g",
                reported="reported_accuracy_g",
                constraints=(
                    _CONVOLUTIONAL,
                    FewerParametersThan(parameters=1_000_000),
                    RequiredLayer(kind="Dropout"),
                    RequiredLayer(kind="BatchNorm2d"),
                ),
                training="training_g",
                recipe=Recipe(
                    epochs=10,
                    maximum_epochs=10,
                    batch_size=32,
                    fixed=True,
                    cut_epochs=True,
                    normalization=True,
                ),
                threshold=Threshold(accuracy=0.985, epoch="final"),
            ),
            sweep=SweepItem(
                title="Test accuracy after one epoch at ten dropout probabilities",
                points=4,
                file="problem_3.py",
                function="dropout_sweep",
                model_item="3G.model",
                probabilities=tuple(step / 9 for step in range(10)),
                epochs=1,
                minimum_agreeing=9,
                any_probabilities=True,
            ),
            text=_written(
                "3G",
                6,
                "Which strategies and which regulariser worked, and what is wrong with choosing "
                "hyperparameters this way?",
            ),
        ),
    ),
)


def _other_names(number: int) -> tuple[str, tuple[str, ...]]:
    """Return a problem's file with the names of its notebooks; the narrow patterns come first."""
    notebooks = (
        f"problem_{number}.ipynb",
        f"{number}_notebook.ipynb",
        f"*set4*prob{number}*.ipynb",
        f"*set4*prob_{number}*.ipynb",
        f"*set4*problem{number}*.ipynb",
        f"*set4*problem_{number}*.ipynb",
        f"*set4*prob*{number}*.ipynb",
    )
    return f"problem_{number}.py", notebooks


ASSIGNMENT = Assignment(
    id="set4",
    title="CS 155 Set 4: deep learning",
    points=100,
    dataset="mnist",
    seeds=(1, 2, 3),
    problems=(_PROBLEM_1, _PROBLEM_2, _PROBLEM_3),
    practice=Practice(
        dataset="mnist-5k",
        thresholds=(("2C", 0.90), ("2D", 0.915), ("2E", 0.92), ("3G.model", 0.93)),
    ),
    file_names=tuple(_other_names(number) for number in (1, 2, 3)),
)
