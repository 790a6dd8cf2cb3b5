"""Eight models on the practice set and three on MNIST, of the kinds that courses ask for.

`grade reference --assignment . --full --seeds 1,2,…,30` trained them once; `runs.json` has the
accuracy after every epoch.
"""

from grader.assignment import Assignment, ModelItem, Part, Problem, Recipe, Threshold

EPOCHS = {"a": 10, "b": 3, "c": 12, "d": 10, "e": 3, "f": 10, "g": 3, "h": 5}
EPOCHS_ON_MNIST = {"i": 10, "j": 5, "k": 3}


def _part(letter: str, epochs: int) -> Part:
    dataset = "mnist" if letter in EPOCHS_ON_MNIST else None
    item = ModelItem(
        title=f"model_{letter}()",
        points=1,
        file="models.py",
        model=f"model_{letter}",
        optimizer=f"optimizer_{letter}",
        scheduler=f"scheduler_{letter}",
        reported=f"reported_{letter}",
        constraints=(),
        recipe=Recipe(epochs=epochs, maximum_epochs=epochs, fixed=True),
        threshold=Threshold(0.5, epoch="best"),
        dataset=dataset,
    )
    return Part(id=f"1{letter.upper()}", title=f"model_{letter}()", items=(("", item),))


ASSIGNMENT = Assignment(
    id="verdicts",
    title="Verdicts",
    points=11,
    dataset="mnist-5k",
    problems=(
        Problem(
            id="1",
            title="Models",
            parts=tuple(
                _part(letter, epochs) for letter, epochs in (EPOCHS | EPOCHS_ON_MNIST).items()
            ),
        ),
    ),
)
