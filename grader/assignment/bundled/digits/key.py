"""The key: right values by the ids of answers, and rubrics by the ids of written answers."""

from grader.assignment import Key, Rubric, RubricItem

KEY = Key(
    accepted=(("1B", (80,)),),
    rubrics=(
        (
            "1A",
            Rubric(
                items=(
                    RubricItem(id="shared", points=1, text="The same weights at every place"),
                    RubricItem(id="shift", points=1, text="A shifted pattern is still found"),
                    RubricItem(id="few", points=1, text="Far fewer parameters than a Linear"),
                ),
                model_answer="A convolution uses the same few weights at every place of the image. "
                "A pattern that moves is therefore found all the same, and there are far fewer "
                "parameters to learn than in a fully-connected layer.",
                notes="Any two of the three in other words are enough for two points.",
            ),
        ),
    ),
)
