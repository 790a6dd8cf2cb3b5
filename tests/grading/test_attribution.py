"""The trainings of a program are given to parts, or a person is asked."""

from functools import partial
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grader.assignment.loading import load_assignment
from grader.assignment.records import ModelItem
from grader.grading.attribution import Program, Sought, attribute, find_heading, find_sweep
from grader.grading.items.structure import meets_rules
from grader.grading.part_names import PartNames, labels_of
from grader.models.recording import Attribution, Doubt, Place, RecordedTraining
from tests.support.item_samples import ITEMS
from tests.support.program_samples import SMALL, C, D, E, convolutional, program, trained

NAMES = PartNames(
    labels=labels_of(load_assignment("set4")),
    problems=frozenset({"2"}),
    trained=frozenset({"2C", "2D", "2E"}),
)


def sought(*item_ids: str) -> list[Sought]:
    found = []
    for item_id in item_ids:
        item = ITEMS[item_id]
        assert isinstance(item, ModelItem)
        part = item_id.partition(".")[0]
        fits = partial(lambda item, training: meets_rules(item, training.layers), item)
        found.append(Sought(item=item_id, part=part, variable=item.model, fits=fits))
    return found


def cells_of(*programs: Program, **changes: Any) -> tuple[int | None, ...]:
    """The cell of each part's training; None where a person is asked."""
    found = attribute(programs, sought("2C", "2D", "2E"), NAMES, **changes)
    return tuple(
        one.training.place.cell if isinstance(one, Attribution) else None for one in found.values()
    )


def reasons_of(*programs: Program) -> list[str]:
    found = attribute(programs, sought("2C", "2D", "2E"), NAMES)
    return [one.reason if isinstance(one, Attribution) else one.observed for one in found.values()]


HEADINGS = {
    1: "%%markdown\n# Problem C",
    3: "%%markdown\n# Problem D",
    5: "%%markdown\n# Problem E",
}


def test_agreed_variable():
    """The agreed name is the surest sign, even below another part's heading."""
    written = program(
        trained(C, 2, names=("model", "model_c")), trained(D, 4), trained(C, 6), cells=HEADINGS
    )
    assert cells_of(written) == (2, 4, 6)
    crossed = program(trained(C, 6, names=("model_c",)), trained(D, 4), cells=HEADINGS)
    assert cells_of(crossed) == (6, 4, None)


def test_other_names():
    """A variable, a class or a function that names the part is a sign."""
    in_function = trained(C, 2, line=3, statement=Place(file="problem_2.ipynb", cell=9))
    written = program(
        in_function,
        trained(D, 9, names=("modelD",)),
        trained(E, 9, class_name="NetE"),
        cells={2: "def train_c(model):\n    for x in data:\n        step()"},
    )
    assert cells_of(written) == (2, 9, 9)
    assert reasons_of(written) == [
        "it runs in the function train_c",
        "its model is named modelD",
        "its model's class is named NetE",
    ]


def test_file_for_each_part():
    """A notebook for each part is told by its name."""
    files = [
        program(trained(SMALL, cell), file=f"ada_set4_prob2_{letter}.ipynb")
        for cell, letter in enumerate("EDC", start=1)
    ]
    assert cells_of(*files) == (3, 2, 1)


def test_headings():
    """The nearest heading above decides, in Markdown and in comments, whatever the model is."""
    same_name = [trained(D, 2), trained(D, 4), trained(D, 6)]
    assert cells_of(program(*same_name, cells=HEADINGS)) == (2, 4, 6)
    assert cells_of(program(trained(C, 2), trained(D, 4), trained(E, 6), cells=HEADINGS)) == (
        2,
        4,
        6,
    )
    one_cell = "# part C\ntrain()\n\n# 2D: more\ntrain()\n# (e)\ntrain()"
    three = [trained(spec, 1, line) for spec, line in ((C, 2), (D, 5), (E, 7))]
    found = attribute([program(*three, cells={1: one_cell})], sought("2C", "2D", "2E"), NAMES)
    assert [one.training.place.line for one in found.values()] == [2, 5, 7]
    assert found["2D"].reason == "it stands below “2D: more” in cell 1"


def test_comments_in_main():
    """In a function or main guard its own comments are headings, those of a loop are not."""
    source = """
def main():
    # Problem C
    for epoch in range(10):
        # E. one step
        step()
    # Problem D
    for epoch in range(10):
        step()

# 2E
main()
"""
    call = Place(file="problem_2.ipynb", cell=1, line=12)
    trainings = [trained(SMALL, 1, line, statement=call) for line in (6, 9)]
    found = attribute(
        [program(*trainings, cells={1: source})], sought("2C", "2D", "2E"), NAMES
    ).values()
    assert [getattr(one, "training", None) for one in found] == [*trainings, None]
    shared = [trained(spec, 1, 2, statement=call) for spec in (C, D, E)]
    assert cells_of(program(*shared, cells={1: source.replace("# 2E", "")})) == (1, 1, 1)
    loop = "for epoch in range(10):\n    # E. one step\n    step()"
    alone = trained(C, 1, 3, statement=Place(file="problem_2.ipynb", cell=1, line=1))
    assert cells_of(program(alone, cells={1: loop})) == (1, None, None)


def test_last_that_fits():
    """The last training below a heading wins, unless it breaks a rule that an earlier one meets."""
    several = [trained(C, 2, line=line) for line in (1, 2, 3)]
    found = attribute([program(*several, cells=HEADINGS)], sought("2C", "2D", "2E"), NAMES)
    assert found["2C"].training is several[2]
    assert found["2C"].others == tuple(several[:2])
    assert cells_of(program(trained(C, 2), trained(E, 2, line=2), cells=HEADINGS))[0] == 2
    broken = program(trained(E, 2), trained(D, 4), trained(E, 6), cells=HEADINGS)
    assert cells_of(broken) == (2, 4, 6)


def test_survey_of_parts():
    """A list of all parts is no heading of the last one."""
    survey = {1: "%%markdown\nC: 100 units\n\nD: 200 units\n\nE: 1000 units"}
    assert cells_of(program(trained(C, 2), trained(D, 3), trained(E, 4), cells=survey)) == (2, 3, 4)
    comments = {1: "# C: 100\n# D: 200\n# E: 1000\ntrain()"}
    assert cells_of(program(trained(C, 1, line=4), cells=comments)) == (1, None, None)


def test_heading_of_another_part():
    """What stands below a part without a model counts only if no heading names one with a model."""
    data = {1: "%%markdown\n# Problem B: the data"}
    assert cells_of(program(trained(C, 2), cells=data)) == (2, None, None)
    assert cells_of(program(trained(C, 2), trained(D, 4), cells={**data, 3: "# 2D"})) == (
        None,
        4,
        None,
    )
    other = {1: "%%markdown\n# Problem 3"}
    assert cells_of(program(trained(C, 2), cells=other)) == (None, None, None)


def test_numbered_names():
    """model1 to model3 are the three parts in order, if all meet their rules."""
    names = ("model1", "model2", "model3")
    specs = (SMALL, SMALL, E)
    three = [
        trained(spec, cell, names=(name,))
        for cell, (spec, name) in enumerate(zip(specs, names, strict=True), start=1)
    ]
    assert cells_of(program(*reversed(three))) == (1, 2, 3)
    assert "first of 3" in reasons_of(program(*three))[0]
    assert cells_of(program(*three[:2])) == (None, None, None)


def test_rules():
    """A model that meets one part's rules only is that part's; the last of several wins."""
    written = program(trained(E, 1), trained(C, 2), trained(C, 3), trained(D, 4))
    assert cells_of(written) == (3, 4, 1)
    assert cells_of(program(trained(SMALL, 1))) == (None, None, None)


def test_order():
    """As many models as parts that stand in order, and all meet their rules, are the parts'."""
    assert cells_of(program(trained(C, 1), trained(SMALL, 2), trained(E, 3))) == (1, 2, 3)
    assert cells_of(
        program(trained(C, 1), trained(SMALL, 2), trained(SMALL, 3), trained(E, 4))
    ) == (
        1,
        3,
        4,
    )


def test_misplaced():
    """A model below the wrong heading that would be another part's is asked about."""
    cells = {1: "# 2C\nx = 1", 2: "# 2D\nx = 1", 3: "# 2E\nx = 1"}
    assert cells_of(program(trained(C, 4), cells=cells)) == (None, None, None)
    assert "meets the rules of 2C only" in reasons_of(program(trained(C, 4), cells=cells))[0]


def test_only_part():
    """The only model of a file with one part is taken with its faults; of several, none."""
    names = PartNames(labels=NAMES.labels, problems=frozenset({"3"}), trained=frozenset({"3G"}))

    def outcome(*trainings: RecordedTraining) -> Attribution | Doubt:
        (found,) = attribute([program(*trainings)], sought("3G.model"), names).values()
        return found

    assert outcome(trained(E, 1)).reason == "it is the only training"
    assert isinstance(outcome(trained(E, 1), trained(D, 2)), Doubt)
    assert (
        outcome(trained(E, 1), trained(convolutional(), 2), trained(C, 3)).training.place.cell == 2
    )


def test_answered_by_functions():
    """A part that a function answers keeps its heading's trainings."""
    found = attribute(
        [program(trained(C, 2), cells=HEADINGS)],
        sought("2D", "2E"),
        NAMES,
        answered=sought("2C"),
    )
    assert all(isinstance(one, Doubt) for one in found.values())


def test_doubt_lists_trainings():
    """The question to a person names the trainings and says how a student answers it."""
    found = attribute([program(trained(SMALL, 7, line=3))], sought("2C", "2D", "2E"), NAMES)
    assert found["2C"] == Doubt(
        observed="1 recorded training may be 2C's, and nothing says so for certain: "
        "problem_2.ipynb, cell 7, line 3 (Linear 50-50-10, 10 epochs)",
        next_step="write a heading “2C” above the training that counts, or name its model model_c",
    )


def test_sweep():
    """Trainings at three or more probabilities are a sweep, and the model's own is not."""
    final = trained(convolutional(0.2), 2)
    loop = [trained(convolutional(p / 10), 3, epochs=1) for p in range(1, 11)]
    last, every = find_sweep([program(final, *loop)], {1})
    assert last == every == tuple(loop)
    apart = [trained(convolutional(p / 10), 3 + p, epochs=1) for p in range(3)]
    assert find_sweep([program(final, *apart)], {1})[0] == tuple(apart)
    assert find_sweep([program(final, *apart[:2])], {1})[0] == ()


def test_heading_to_look_below():
    """A person is sent to the first heading of a part."""
    found = find_heading(program(cells=HEADINGS), NAMES, "2D")
    assert str(found.place) == "problem_2.ipynb, cell 3, line 1"


lines = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        ["# 2C", "# Problem D", "(e)", "def train_c():", "    step()", "Problem 3", '"""']
    ),
)
recorded = st.builds(
    lambda spec, cell, line, names: trained(spec, cell, line, names=tuple(names)),
    st.sampled_from([C, D, E, SMALL]),
    st.integers(0, 4),
    st.integers(1, 6),
    st.lists(
        st.sampled_from(["model", "model1", "model2", "model3", "model_c", "netD"]), max_size=2
    ),
)


@settings(max_examples=150, deadline=None)
@given(
    cells=st.dictionaries(
        st.integers(1, 4), st.lists(lines, max_size=6).map("\n".join), max_size=4
    ),
    trainings=st.lists(recorded, max_size=6),
)
def test_any_program(cells, trainings):
    """Any program gives each part one training or a doubt, and no training twice."""
    written = program(*trainings, cells=cells)
    found = attribute([written], sought("2C", "2D", "2E"), NAMES)
    assert list(found) == ["2C", "2D", "2E"]
    taken = [id(one.training) for one in found.values() if isinstance(one, Attribution)]
    assert len(taken) == len(set(taken))
    assert found == attribute([written], sought("2C", "2D", "2E"), NAMES)
    assert all(one.observed and one.next_step for one in found.values() if isinstance(one, Doubt))


def test_text_without_end():
    """Long lines and many cells cost time in proportion."""
    cells = dict.fromkeys(range(1, 40), "# 2C " + "(" * 50_000 + "\n" + "a " * 50_000)
    assert cells_of(program(trained(C, 41), cells=cells))[0] == 41
    assert cells_of(program(trained(C, 41), cells={1: "# 2D\n" * 300_000})) == (None,) * 3


@pytest.mark.parametrize("irregular", ["subclass", "shared"])
def test_irregular_layers(irregular):
    """A model with irregular layers meets no rules, so a heading must name its part."""
    broken = msgspec.structs.replace(C.layers[1], irregularity=irregular)
    layers = (C.layers[0], broken, *C.layers[2:])
    assert cells_of(program(trained(C, 2, layers=layers))) == (None, None, None)
    assert cells_of(program(trained(C, 2, layers=layers), cells=HEADINGS)) == (2, None, None)
