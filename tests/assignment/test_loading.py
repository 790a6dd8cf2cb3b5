"""Loading assignments, and the mistakes that authors make."""

from dataclasses import field, make_dataclass, replace
from pathlib import Path

import pytest

from grader.assignment.constraints import (
    AllowedLayers,
    Constraint,
    MaxHiddenUnits,
    MinHiddenLayers,
)
from grader.assignment.loading import (
    author_files,
    bundled_assignments,
    find_mistakes,
    load_assignment,
)
from grader.assignment.records import (
    Assignment,
    ModelItem,
    Part,
    Practice,
    Problem,
    Recipe,
    Rubric,
    RubricItem,
    Threshold,
)
from grader.errors import AssignmentError, UsageError
from grader.models.digest import digest_of
from tests.support.data_samples import plane, save_arrays


@pytest.fixture(name="set4")
def load_set4() -> Assignment:
    return load_assignment("set4")


def change_item(assignment: Assignment, item_id: str, **changes: object) -> Assignment:
    """The assignment with some fields of one item changed."""
    problems = []
    for problem in assignment.problems:
        parts = []
        for part in problem.parts:
            ids = [full_id for full_id, _ in part.item_ids()]
            items = tuple(
                (name, replace(item, **changes) if full_id == item_id else item)
                for full_id, (name, item) in zip(ids, part.items, strict=True)
            )
            parts.append(replace(part, items=items))
        problems.append(replace(problem, parts=tuple(parts)))
    return replace(assignment, problems=tuple(problems))


def test_bundled_assignments_load():
    """Every bundled assignment loads."""
    assert bundled_assignments() == ["digits", "fashion", "numpy_layers", "set4"]
    for name in bundled_assignments():
        assert load_assignment(name).id == name


def test_all_mistakes_at_once(set4: Assignment):
    """An author fixes everything in one go; each line begins with the field's path."""
    broken = replace(set4, points=99, dataset="minst", seeds=(1, 1))
    broken = change_item(broken, "2C", threshold=Threshold(accuracy=97.5, epoch="best"))
    mistakes = find_mistakes(broken)
    assert mistakes == [
        "assignment.points: is 99, but the items add up to 100",
        "assignment.seeds: (1, 1) names a seed twice",
        "assignment.dataset: there is no data set 'minst'; did you mean 'mnist'?",
        (
            "item 2C.threshold.accuracy: is 97.5, but must be a share from 0 to 1 "
            "(write 0.975, not 97.5)"
        ),
    ]


def _rubric(*ids: str) -> Rubric:
    """A rubric that gives one point for each of its items."""
    return Rubric(items=tuple(RubricItem(id=name, text=name, points=1) for name in ids))


@pytest.mark.parametrize(
    ("item_id", "changes", "expected"),
    [
        ("3B", {"accepted": ()}, "item 3B.accepted: is empty"),
        ("3B", {"points": -2}, "item 3B.points: is -2, but cannot be negative"),
        ("3B", {"file": "../problem_3.py"}, "item 3B.file: '../problem_3.py' must be a relative"),
        ("3B", {"function": "class"}, "item 3B.function: 'class' cannot be the name of a function"),
        ("3G.sweep", {"model_item": "3G.modl"}, "did you mean '3G.model'?"),
        ("3G.sweep", {"minimum_agreeing": 11}, "is 11, but must be from 0 to 10"),
        ("3G.sweep", {"epochs": 0}, "item 3G.sweep.epochs: is 0, but must be at least 1"),
        ("2C", {"classes": 3}, "item 2C.classes: is 3, but mnist has 10 classes; leave it out"),
        ("2C", {"dataset": "minst"}, "item 2C.dataset: there is no data set 'minst'; did you mean"),
        ("2C", {"input_shapes": ((1, 32, 32),)}, "(1, 32, 32) has 1,024 values, but an example of"),
        ("2C", {"training": None}, "item 2C.training: is None, so the recipe must be fixed"),
        ("2C", {"recipe": Recipe(epochs=40)}, "item 2C.recipe.epochs: is 40, but must be from 1"),
        ("1D", {"rows": ()}, "item 1D.rows: is empty"),
        ("2B.text", {"rubric": _rubric("a", "a")}, "the id 'a' is used 2 times"),
        ("2B.text", {"rubric": _rubric("A b")}, "must be of small letters, digits and hyphens"),
        (
            "3A",
            {"rubric": _rubric("a", "b")},
            "gives at most 2 of the item's 5 points",
        ),
    ],
)
def test_broken_rules(set4: Assignment, item_id: str, changes: dict[str, object], expected: str):
    """Each rule has its sentence."""
    mistakes = find_mistakes(change_item(set4, item_id, **changes))
    assert any(expected in mistake for mistake in mistakes), mistakes


def change_part(assignment: Assignment, part_id: str, **changes: object) -> Assignment:
    """The assignment with some fields of one part changed."""
    problems = tuple(
        replace(
            problem,
            parts=tuple(
                replace(part, **changes) if part.id == part_id else part for part in problem.parts
            ),
        )
        for problem in assignment.problems
    )
    return replace(assignment, problems=problems)


def test_sweep_before_its_model(set4: Assignment):
    """Whoever reads a result from the top needs the model before its sweep."""
    (part,) = (part for part in set4.problems[-1].parts if part.id == "3G")
    (mistake,) = find_mistakes(change_part(set4, "3G", items=part.items[::-1]))
    assert mistake == (
        "item 3G.sweep.model_item: 3G.model comes after its sweep; put the sweep behind it"
    )


def test_practice_thresholds(set4: Assignment):
    """An item without a threshold must have data that is at hand for practice, too."""
    short = replace(set4.practice, thresholds=set4.practice.thresholds[1:])
    (mistake,) = find_mistakes(replace(set4, practice=short))
    assert mistake == (
        "practice.thresholds: 2C has none, and its data set mnist is not at hand to practise on"
    )
    at_hand = change_item(set4, "2C", dataset="mnist-5k")
    assert find_mistakes(replace(at_hand, practice=short)) == []
    practised = dict(replace(at_hand, practice=short).for_practice().item_ids())["2C"]
    assert (practised.dataset, practised.threshold.accuracy) == ("mnist-5k", 0.975)


def test_practice_set_of_another_shape(set4: Assignment):
    """The practice set must fit what the items say."""
    flat = change_item(set4, "2C", input_shapes=((784,),))
    mistakes = find_mistakes(replace(flat, practice=replace(set4.practice, dataset="digits")))
    assert mistakes == [
        (
            "assignment.practice.dataset: item 2C.input_shapes: (784,) has 784 values, but an "
            "example of digits has the shape (1, 8, 8), 64 values"
        )
    ]


def test_no_data(set4: Assignment):
    """An assignment that trains nothing names no data set; one that trains must."""
    untrained = replace(
        set4, problems=set4.problems[:1], points=35, dataset=None, practice=None, file_names=()
    )
    assert find_mistakes(untrained) == []
    assert untrained.all_sources() == []
    assert untrained.for_practice() is untrained
    mistakes = find_mistakes(replace(set4, dataset=None, practice=None))
    assert mistakes[0] == "item 2C.dataset: is missing, and the assignment has none either"
    with pytest.raises(UsageError, match="'set4' has no practice set"):
        replace(set4, practice=None).for_practice()


def test_data_beside_the_assignment(tmp_path: Path):
    """An author's data set is found beside the assignment, and where it lies changes no digest."""
    source = save_arrays(tmp_path, "plane.npz", plane())
    (tmp_path / "mine.py").write_text(
        "from dataclasses import replace\n"
        "from grader.assignment import FileDataset\n"
        "from grader.assignment.bundled.set4 import ASSIGNMENT as SET4\n"
        f"DATA = FileDataset('plane.npz', sha256={source.sha256!r})\n"
        "ASSIGNMENT = replace(SET4, dataset=DATA, practice=None)\n"
    )
    loaded = load_assignment(str(tmp_path / "mine.py"))
    (found,) = loaded.all_sources()
    assert found.facts().input_shapes == ((2,),)
    assert loaded.digest() == replace(loaded, dataset=source).digest()


def test_wrong_kind_of_record(set4: Assignment):
    """A text where a record belongs is named, even if the record holds a data set."""
    (mistake,) = find_mistakes(replace(set4, practice="mnist-5k"))
    assert mistake.startswith("assignment.practice: expected `")
    assert mistake.endswith("got `str` (it is 'mnist-5k')")


OLD_MODEL = ModelItem(
    title="A model",
    points=10,
    file="hw.py",
    model="model",
    optimizer="optimizer",
    scheduler="scheduler",
    reported="reported",
    constraints=(MaxHiddenUnits(units=100),),
    recipe=Recipe(epochs=3, maximum_epochs=3, fixed=True),
    threshold=Threshold(accuracy=0.98, epoch="final"),
)
OLD = Assignment(
    id="old",
    title="Old",
    points=10,
    dataset="mnist",
    seeds=(1, 2, 3),
    practice=Practice(dataset="mnist-5k", thresholds=(("1A", 0.93),)),
    problems=(
        Problem(id="1", title="1", parts=(Part(id="1A", title="1A", items=(("", OLD_MODEL),)),)),
    ),
)
"""An assignment that was written when a data set was a plain string."""


def test_digests_of_before():
    """Stores and caches of graders that knew only MNIST stay valid."""
    assert OLD.digest() == "b441e512df2443fd256a9db1fabdf17e7ff4c6e10209c36ddd61c00e8b252cec"
    assert (
        OLD.for_practice().digest()
        == "2d4f3bb7b17d0ba5decadd9a0eda52cffaa89966bde7681c3b4c688bab6e5e44"
    )
    explicit = change_item(OLD, "1A", classes=10, input_shapes=((1, 28, 28), (784,)))
    assert explicit.digest() == OLD.digest()
    assert change_item(OLD, "1A", dataset="mnist-5k").digest() != OLD.digest()


def test_callable_refused(set4: Assignment):
    """An assignment is data, so that it can be digested, cached and sent."""
    mistakes = find_mistakes(change_item(set4, "3B", accepted=(lambda: 608,)))
    assert len(mistakes) == 1
    assert "accepted[0]: is a callable" in mistakes[0]
    (mistake,) = find_mistakes(change_item(set4, "2C", threshold=Threshold))
    assert "threshold: is a callable" in mistake


def test_wrong_type(set4: Assignment):
    """A string where a number belongs is not carried into the grading."""
    (mistake,) = find_mistakes(change_item(set4, "2C", points="eight"))
    assert "points: expected `float`, got `str` (it is 'eight')" in mistake


@pytest.mark.parametrize(
    ("constraint", "expected"),
    [
        (AllowedLayers(kinds="ReLU"), "kinds: expected `array`, got `str` (it is 'ReLU')"),
        (AllowedLayers(kinds=(3,)), "kinds: expected `str`, got `int`"),
        (MaxHiddenUnits(units=1.5), "units: expected `int`, got `float` (it is 1.5)"),
        (MinHiddenLayers(layers=True), "layers: expected `int`, got `bool` (it is True)"),
    ],
)
def test_constraint_types_checked(set4: Assignment, constraint: Constraint, expected: str):
    """A constraint's own fields are held against their types, too."""
    (mistake,) = find_mistakes(change_item(set4, "2C", constraints=(constraint,)))
    assert f"constraints[0].{expected}" in mistake


def test_constraints_optional(set4: Assignment):
    """An item may have none, and a text in the place of a constraint is named."""
    assert find_mistakes(change_item(set4, "2C", constraints=())) == []
    (mistake,) = find_mistakes(change_item(set4, "2C", constraints=("MaxHiddenUnits",)))
    assert "constraints: expected `object`, got `str`" in mistake


def test_misspelt_field(tmp_path: Path):
    """A dataclass's TypeError is turned into advice."""
    file = tmp_path / "mine.py"
    file.write_text(
        "from grader.assignment.records import Threshold\nThreshold(acuracy=0.9, epoch='best')\n"
    )
    with pytest.raises(AssignmentError, match=r"Threshold\.acuracy.*did you mean 'accuracy'"):
        load_assignment(str(file))


def test_author_file(tmp_path: Path):
    """A course keeps its own assignment beside the grader."""
    file = tmp_path / "mine.py"
    file.write_text(
        "from dataclasses import replace\n"
        "from grader.assignment.bundled.set4 import ASSIGNMENT as SET4\n"
        "ASSIGNMENT = replace(SET4, id='mine')\n"
    )
    assert load_assignment(str(file)).id == "mine"


def test_never_read_from_submission(tmp_path: Path):
    """A student cannot bring the rules along."""
    (tmp_path / "mine.py").write_text("raise SystemExit('this must not run')")
    with pytest.raises(UsageError, match="lies in the submission"):
        load_assignment(str(tmp_path / "mine.py"), submission=tmp_path)


def test_unknown_name():
    """A typing error is not a riddle."""
    with pytest.raises(UsageError, match="did you mean 'set4'"):
        load_assignment("set5")


def test_digest_follows_content(set4: Assignment):
    """The same content has the same digest, another content another one."""
    assert set4.digest() == load_assignment("set4").digest()
    assert set4.digest() != change_item(set4, "3B", points=3).digest()


def test_new_fields_in_digest(set4: Assignment):
    """A field that is digested if set changes no digest while it has its default."""
    before = make_dataclass("Record", [("points", int)])
    new_field = ("names", int, field(default=0, metadata={"digested": "if set"}))
    after = make_dataclass("Record", [("points", int), new_field])
    assert digest_of(after(5)) == digest_of(before(5))
    assert digest_of(after(5, 1)) != digest_of(before(5))
    assert replace(set4, file_names=()).digest() != set4.digest()


def test_file_names_of_unknown_file(set4: Assignment):
    """Other names for a file that no item reads are a mistake."""
    wrong = replace(set4, file_names=(("problem_9.py", ("9.ipynb",)),))
    assert find_mistakes(wrong) == [
        "file_names: no item reads 'problem_9.py'; did you mean 'problem_3.py'?"
    ]


PUBLIC = """
from grader.assignment import AnswerItem, Assignment, Part, Problem
item = AnswerItem(title="Sum", points=2, file="a.py", function="total")
part = Part(id="1A", title="Sum", items=(("", item),))
problem = Problem(id="1", title="Sums", parts=(part,))
ASSIGNMENT = Assignment(id="sums", title="Sums", points=2, seeds=(1,), problems=(problem,))
"""


def test_two_halves(tmp_path: Path):
    """A directory's key completes its assignment; a class is not graded without it."""
    (tmp_path / "assignment.py").write_text(PUBLIC)
    public = load_assignment(str(tmp_path))
    assert not public.has_key()
    with pytest.raises(UsageError, match="the key of sums is not here"):
        load_assignment(str(tmp_path), needs_key=True)
    key = tmp_path / "key.py"
    key.write_text('from grader.assignment import Key\nKEY = Key(accepted=(("1A", (7,)),))\n')
    whole = load_assignment(str(tmp_path), needs_key=True)
    assert dict(whole.item_ids())["1A"] == replace(dict(public.item_ids())["1A"], accepted=(7,))
    assert sorted(author_files(str(tmp_path), whole)) == ["assignment.py", "key.py"]
    for content, mistake in (
        ('KEY = Key(accepted=(("1a", (7,)),))', "key.py: there is no answer item '1a'.*1A"),
        ("KEY = 7", "key.py: KEY must be a Key, but is int"),
        ("KEY = Key()", "item 1A.accepted: is empty"),
    ):
        key.write_text(f"from grader.assignment import Key\n{content}\n")
        with pytest.raises(AssignmentError, match=mistake):
            load_assignment(str(tmp_path))
