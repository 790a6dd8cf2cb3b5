"""The bundled assignment against its table of points."""

from grader.assignment.loading import load_assignment
from grader.assignment.records import WrittenItem

POINTS = {
    "1A": 5, "1B": 5, "1C": 10, "1D": 7, "1E": 8,
    "2A": 2, "2B": 3, "2C": 8, "2D": 6, "2E": 6,
    "3A": 5, "3B": 2, "3C": 3, "3D": 3, "3E": 3, "3F": 4, "3G": 20,
}  # fmt: skip


def test_points():
    """The parts and points are the course's own."""
    assignment = load_assignment("set4")
    parts = [part for problem in assignment.problems for part in problem.parts]
    points = {part.id: sum(item.points for _, item in part.items) for part in parts}
    assert points == POINTS


def test_written_points():
    """Written answers are worth 39 points, the automatic parts 61."""
    items = [item for _, item in load_assignment("set4").item_ids()]
    assert sum(item.points for item in items if isinstance(item, WrittenItem)) == 39
    assert sum(item.points for item in items) == 100


def test_rubrics():
    """All positive rubric items together are worth the item; there is a model answer and advice."""
    for item_id, item in load_assignment("set4").item_ids():
        if isinstance(item, WrittenItem):
            given = sum(max(rubric_item.points, 0) for rubric_item in item.rubric.items)
            assert given == item.points, item_id
            assert item.rubric.model_answer
            assert item.rubric.notes
            assert len(item.rubric.items) <= 9, "each has a number key"


def test_practice_thresholds():
    """The practice set has its own thresholds; everything else of a model stays."""
    assignment = load_assignment("set4")
    official, practice = dict(assignment.item_ids()), dict(assignment.for_practice().item_ids())
    assert practice["2C"].threshold.accuracy < official["2C"].threshold.accuracy
    assert practice["2C"].constraints == official["2C"].constraints
    assert (official["3G.sweep"].judged, practice["3G.sweep"].judged) == (True, False)
    assert assignment.for_practice().dataset == "mnist-5k"
