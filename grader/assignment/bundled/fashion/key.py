"""The key of `fashion`, for its graders only."""

from grader.assignment import Key, Rubric, RubricItem

KEY = Key(
    accepted=(("1A", (50_890,)),),
    rubrics=(
        (
            "2A",
            Rubric(
                items=(
                    RubricItem(id="field", points=1, text="Both see 5 x 5 pixels of the input"),
                    RubricItem(
                        id="cost", points=1, text="18 C² weights for the two, 25 C² for the one"
                    ),
                    RubricItem(id="nonlinear", points=1, text="Two have an activation between"),
                    RubricItem(id="choice", points=1, text="A choice that follows from these"),
                ),
                model_answer="Both outputs depend on 5 x 5 pixels of the input. With C channels "
                "throughout, two 3 x 3 layers have 2 · 9 C² weights and one 5 x 5 layer has 25 C². "
                "The two also have an activation between them, so they compute more functions "
                "with fewer weights; I would take the two.",
                notes="The other choice is right, too, with a reason such as fewer layers to run.",
            ),
        ),
    ),
)
