"""Clothes: a small fully-connected and a small convolutional network on FashionMNIST."""

from grader.assignment import (
    AllowedLayers,
    AnswerItem,
    Assignment,
    FewerParametersThan,
    MaxHiddenUnits,
    MaxKernelSize,
    ModelItem,
    Part,
    Practice,
    Problem,
    Recipe,
    RequiredLayer,
    Threshold,
    TorchvisionDataset,
    WrittenItem,
)

ASSIGNMENT = Assignment(
    id="fashion",
    title="Clothes",
    points=30,
    dataset=TorchvisionDataset("FashionMNIST"),
    seeds=(1, 2, 3),
    problems=(
        Problem(
            id="1",
            title="Fully connected",
            parts=(
                Part(
                    id="1A",
                    title="Counting parameters",
                    items=(
                        (
                            "",
                            AnswerItem(
                                title="The parameters of a network 784-64-10 with biases",
                                points=3,
                                file="fashion.py",
                                function="mlp_parameters",
                            ),
                        ),
                    ),
                ),
                Part(
                    id="1B",
                    title="At most 64 hidden units",
                    items=(
                        (
                            "",
                            ModelItem(
                                title="Test accuracy of model_mlp() in its best epoch",
                                points=8,
                                file="fashion.py",
                                model="model_mlp",
                                optimizer="optimizer_mlp",
                                scheduler="scheduler_mlp",
                                training="training_mlp",
                                reported="reported_accuracy_mlp",
                                constraints=(
                                    AllowedLayers(
                                        kinds=("Flatten", "Linear", "ReLU", "Dropout"),
                                    ),
                                    MaxHiddenUnits(units=64),
                                ),
                                recipe=Recipe(epochs=8, maximum_epochs=15, normalization=True),
                                threshold=Threshold(accuracy=0.87, epoch="best"),
                            ),
                        ),
                    ),
                ),
            ),
        ),
        Problem(
            id="2",
            title="Convolutional",
            parts=(
                Part(
                    id="2A",
                    title="Small kernels",
                    items=(
                        (
                            "",
                            WrittenItem(
                                title="Written answer",
                                points=4,
                                file="written/2A.md",
                                question="Two 3 x 3 convolutions or one of 5 x 5: what do both "
                                "see, what do they cost, and which would you take?",
                            ),
                        ),
                    ),
                ),
                Part(
                    id="2B",
                    title="Fewer than 50,000 parameters",
                    items=(
                        (
                            "",
                            ModelItem(
                                title="Test accuracy of model_cnn() after 8 epochs",
                                points=15,
                                file="fashion.py",
                                model="model_cnn",
                                optimizer="optimizer_cnn",
                                scheduler="scheduler_cnn",
                                reported="reported_accuracy_cnn",
                                constraints=(
                                    FewerParametersThan(parameters=50_000),
                                    MaxKernelSize(size=5),
                                    RequiredLayer(kind="Conv2d"),
                                ),
                                recipe=Recipe(
                                    epochs=8,
                                    maximum_epochs=8,
                                    batch_size=64,
                                    fixed=True,
                                    normalization=True,
                                ),
                                threshold=(
                                    Threshold(accuracy=0.87, points=9, epoch="final"),
                                    Threshold(accuracy=0.90, points=15, epoch="final"),
                                ),
                            ),
                        ),
                    ),
                ),
            ),
        ),
    ),
    practice=Practice(dataset="mnist-5k", thresholds=(("1B", 0.90), ("2B", 0.93))),
)
