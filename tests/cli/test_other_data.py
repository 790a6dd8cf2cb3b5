"""An assignment on other data than MNIST: its own sets, losses, thresholds and trained weights."""

from pathlib import Path
from textwrap import dedent

import pytest
import torch
from torch import nn

from tests.cli.test_grade import failed_checks, grade, items_of, read_result
from tests.support.data_samples import colours, plane, save_arrays, slope

ASSIGNMENT = """
from grader.assignment import *

def model_item(title, name, **fields):
    return ModelItem(
        title=title, points=8, file="models.py", model=name, optimizer=f"optimizer_{name}",
        scheduler=f"scheduler_{name}", reported=f"reported_{name}", constraints=(),
        recipe=Recipe(epochs=15, maximum_epochs=15, batch_size=8, minimum_batch_size=4, fixed=True),
        **fields,
    )

ITEMS = (
    ("1A", model_item("Colours", "colours", dataset=FileDataset({colours}),
        threshold=Threshold(0.9, epoch="final"))),
    ("1B", model_item("Plane", "plane", dataset=FileDataset({plane}), threshold=(
        Threshold(0.5, points=3), Threshold(0.9, points=8)))),
    ("1C", model_item("Sides", "sides", dataset=FileDataset({sides}), loss="BCEWithLogitsLoss",
        threshold=Threshold(0.9))),
    ("1D", model_item("Slope", "slope", dataset=FileDataset({slope}), loss="MSELoss",
        threshold=Threshold(rmse=0.2, epoch="final"))),
    ("1E", TrainedModelItem(title="Trained", points=8, file="models.py", model="trained",
        weights="trained.pt", dataset=FileDataset({slope}), loss="L1Loss",
        threshold=(Threshold(rmse=0.5, points=5), Threshold(rmse=0.2, points=8)))),
)
PARTS = tuple(Part(id=i, title=item.title, items=(("", item),)) for i, item in ITEMS)
ASSIGNMENT = Assignment(id="other", title="Other data", points=40,
    problems=(Problem(id="1", title="Models", parts=PARTS),))
"""

MODELS = """
import torch
from torch import nn

def colours():
    return nn.Sequential(nn.AvgPool2d(32), nn.Flatten(), nn.Linear(3, 3))

def optimizer_colours(model):
    return torch.optim.SGD(model.parameters(), lr=5)

def plane():
    return nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 3))

def optimizer_plane(model):
    return torch.optim.Adam(model.parameters(), lr=0.02)

def sides():
    return nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1))

optimizer_sides = optimizer_plane

def reported_sides():
    return 1.0

def slope():
    return nn.Linear(4, 1)

def slope():
    return nn.Sequential(nn.Linear(4, 1))

def optimizer_slope(model):
    return torch.optim.Adam(model.parameters(), lr=0.05)

def reported_slope():
    return 0.1

def trained():
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
"""


@pytest.fixture(name="course", scope="module")
def make_course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An assignment with its data sets, and a directory with its work."""
    course = tmp_path_factory.mktemp("course")
    arrays = {"colours": colours(), "plane": plane(), "sides": plane(2), "slope": slope()}
    named = {}
    for name, data in arrays.items():
        source = save_arrays(course, f"{name}.npz", data)
        named[name] = f'"{source.file}", sha256="{source.sha256}"'
    text = ASSIGNMENT
    for name, arguments in named.items():
        text = text.replace(f"{{{name}}}", arguments)
    (course / "assignment.py").write_text(text)
    work = course / "work"
    work.mkdir()
    (work / "models.py").write_text(dedent(MODELS))
    torch.save(_trained(arrays["slope"]).state_dict(), work / "trained.pt")
    return course


def _trained(arrays) -> nn.Sequential:
    """A network that a student trained, with an error between the two thresholds of 1E."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    inputs, targets = (torch.tensor(arrays[name]).float() for name in ("x_train", "y_train"))
    while (loss := nn.functional.mse_loss(network(inputs), targets)) > 0.3**2:
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network


@pytest.fixture(name="first", scope="module")
def grade_once(course: Path, tmp_path_factory: pytest.TempPathFactory):
    """The first grading: its process, and its output directory."""
    output, cache = tmp_path_factory.mktemp("reports"), tmp_path_factory.mktemp("cache")
    run = _grade(course, output, cache)
    return run, output, cache


def _grade(course: Path, output: Path, cache: Path):
    arguments = (course / "work", "--assignment", course / "assignment.py", "-o", output)
    return grade(*arguments, GRADER_CACHE=str(cache), XDG_CACHE_HOME=str(cache))


pytestmark = pytest.mark.slow


def test_every_kind_is_graded(first):
    """Colours, features, two classes and numbers are trained; trained weights are evaluated."""
    run, output, _ = first
    items = items_of(read_result(output, "work"))
    earned = {item_id: item["score"]["earned"] for item_id, item in items.items()}
    assert earned == {"1A": 8, "1B": 8, "1C": 8, "1D": 8, "1E": 5}, run.stdout + run.stderr
    assert run.returncode == 1  # 1E misses its harder threshold
    assert failed_checks(items["1E"]).startswith("0.339 | train the model further")
    assert items["1D"]["training"]["metric"] == "rmse"
    assert items["1D"]["training"]["reported_differs"] is False
    assert items["1E"]["training"]["recipe"]["epochs"] == 0


def test_again_from_the_cache(course: Path, first, tmp_path: Path):
    """A second grading trains nothing, and gives the same results."""
    _, output, cache = first
    _grade(course, tmp_path, cache)
    before, after = (items_of(read_result(place, "work")) for place in (output, tmp_path))
    # A run of the cache has the duration of the first grading.
    assert {item_id: item["training"] for item_id, item in before.items()} == {
        item_id: item["training"] for item_id, item in after.items()
    }


def test_report(first):
    """The report shows errors as numbers, pictures of colours, and no curve without a training."""
    _, output, _ = first
    page = (output / "work" / "report.html").read_text()
    assert "Test RMSE by epoch" in page
    assert "BCEWithLogitsLoss" in page
    assert "The model was handed in trained." in page
    assert "or 50.00% for some of the points" in page


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda file: file.unlink(), "trained.pt was not handed in"),
        (lambda file: file.write_bytes(b"no archive"), "cannot be read as weights"),
        (
            lambda file: torch.save(nn.Sequential(nn.Linear(4, 8)), file),
            "cannot be read as weights",
        ),
        (
            lambda file: torch.save({"state_dict": nn.Linear(4, 8).state_dict()}, file),
            "trained.pt does not fit the model: it has no 0.weight",
        ),
        (
            lambda file: torch.save(
                {
                    key: tensor * float("nan")
                    for key, tensor in torch.load(file, weights_only=True).items()
                },
                file,
            ),
            "not finite",
        ),
    ],
)
def test_unusable_weights(course: Path, tmp_path: Path, spoil, message):
    """Weights that are missing, damaged, pickled, of another model or NaN are told in words."""
    import shutil

    work = Path(shutil.copytree(course / "work", tmp_path / "work"))
    spoil(work / "trained.pt")
    run = grade(
        work, "--assignment", course / "assignment.py", "--only", "1E", "-o", tmp_path / "reports"
    )
    item = items_of(read_result(tmp_path / "reports", "work"))["1E"]
    assert message in failed_checks(item), run.stdout
    assert item["score"]["earned"] == 0
