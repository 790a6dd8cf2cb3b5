"""Digits: one item of each kind, on 1,797 images of 8 by 8 pixels that need no download.

This half is what students may know. The right values, the rubric and its model answer are in
`key.py`; the tests of the functions are in `tests/`.
"""

from grader.assignment import (
    AllowedLayers,
    AnswerItem,
    Assignment,
    FunctionsItem,
    MaxHiddenUnits,
    MaxParameters,
    ModelItem,
    Part,
    Problem,
    Recipe,
    RequiredLayer,
    SweepItem,
    Threshold,
    TrainedModelItem,
    TruthTableItem,
    TruthTableRow,
    VersionsItem,
    WrittenItem,
)

# A part has a number, a title and items. The name of a part's only item is "".
WARMING_UP = Problem(
    id="1",
    title="Warming up",
    parts=(
        Part(
            id="1A",
            title="Why convolutions",
            items=(
                (
                    "",
                    WrittenItem(
                        title="In words",
                        points=3,
                        file="written/1A.md",
                        question="What does a convolution share, and why does that suit images?",
                    ),
                ),
            ),
        ),
        Part(
            id="1B",
            title="Counting parameters",
            items=(
                (
                    "",
                    AnswerItem(
                        title="The number of parameters of nn.Conv2d(1, 8, 3)",
                        points=2,
                        file="basics.py",
                        function="convolution_parameters",
                    ),
                ),
            ),
        ),
        Part(
            id="1C",
            title="Accuracy",
            items=(
                (
                    "",
                    FunctionsItem(
                        title="accuracy(scores, labels), tested",
                        points=4,
                        file="basics.py",
                        tests="tests/test_accuracy.py",
                    ),
                ),
            ),
        ),
        Part(
            id="1D",
            title="A network for AND",
            items=(
                (
                    "",
                    TruthTableItem(
                        title="AND of two bits",
                        points=2,
                        file="basics.py",
                        function="and_network",
                        rows=(
                            TruthTableRow(inputs=(0, 0), equals=0),
                            TruthTableRow(inputs=(0, 1), equals=0),
                            TruthTableRow(inputs=(1, 0), equals=0),
                            TruthTableRow(inputs=(1, 1), equals=1),
                        ),
                        constraints=(AllowedLayers(kinds=("Linear", "ReLU")),),
                    ),
                ),
            ),
        ),
        Part(
            id="1E",
            title="Your installation",
            items=(
                (
                    "",
                    VersionsItem(
                        title="The versions of torch and torchvision",
                        points=1,
                        file="basics.py",
                        function="versions",
                    ),
                ),
            ),
        ),
    ),
)

MODELS = Problem(
    id="2",
    title="Models",
    parts=(
        Part(
            id="2A",
            title="A fully-connected network",
            items=(
                (
                    "",
                    ModelItem(
                        title="Test accuracy of model_a()",
                        points=4,
                        file="models.py",
                        model="model_a",
                        optimizer="optimizer_a",
                        scheduler="scheduler_a",
                        training="training_a",
                        reported="reported_accuracy_a",
                        constraints=(
                            AllowedLayers(kinds=("Flatten", "Linear", "ReLU", "Dropout")),
                            MaxHiddenUnits(units=32),
                        ),
                        recipe=Recipe(epochs=10, maximum_epochs=20),
                        threshold=Threshold(0.93),
                    ),
                ),
            ),
        ),
        Part(
            id="2B",
            title="A convolutional network",
            items=(
                (
                    "model",
                    ModelItem(
                        title="Test accuracy of model_b() after 10 epochs",
                        points=8,
                        file="models.py",
                        model="model_b",
                        optimizer="optimizer_b",
                        scheduler="scheduler_b",
                        reported="reported_accuracy_b",
                        constraints=(
                            MaxParameters(parameters=6_000),
                            RequiredLayer(kind="Conv2d"),
                            RequiredLayer(kind="Dropout"),
                        ),
                        recipe=Recipe(epochs=10, maximum_epochs=10, fixed=True),
                        threshold=(
                            Threshold(0.90, points=4, epoch="final"),
                            Threshold(0.95, points=8, epoch="final"),
                        ),
                    ),
                ),
                (
                    "sweep",
                    SweepItem(
                        title="Test accuracy after 3 epochs at four dropout probabilities",
                        points=2,
                        file="models.py",
                        function="dropout_sweep",
                        model_item="2B.model",
                        probabilities=(0.0, 0.2, 0.4, 0.6),
                        epochs=3,
                        minimum_agreeing=3,
                    ),
                ),
            ),
        ),
        Part(
            id="2C",
            title="A model that you have trained",
            items=(
                (
                    "",
                    TrainedModelItem(
                        title="Test accuracy of model_c() with the weights of model_c.pt",
                        points=4,
                        file="models.py",
                        model="model_c",
                        weights="model_c.pt",
                        constraints=(MaxParameters(parameters=20_000),),
                        threshold=Threshold(0.95),
                    ),
                ),
            ),
        ),
    ),
)

ASSIGNMENT = Assignment(
    id="digits",
    title="Digits",
    points=30,
    dataset="digits",
    seeds=(1, 2, 3),
    problems=(WARMING_UP, MODELS),
)
