"""Questions are put to functions, values and recordings of a submission, without a sandbox."""

from collections.abc import Sequence
from types import SimpleNamespace

from grader.assignment.loading import load_assignment
from grader.assignment.selection import needed_items, select_items
from grader.grading.asking import ask_submission, recording_id
from grader.models.failures import Failure
from grader.models.questions import ExtractedModel, Extraction, ImportNote, Question
from grader.models.recording import Place, Recording
from grader.models.spec import default_optimizer
from tests.support.program_samples import SMALL, C, D, E, convolutional, program, trained
from tests.support.specs import replace

SET4 = load_assignment("set4")
NOTEBOOK = "problem_2.ipynb"
HEADINGS = {1: "# 2C\n", 3: "# 2D\n", 5: "# 2E\n"}
THREE = (trained(C, 2), trained(D, 4), trained(E, 6))


def failure(kind: str, phase: str = "search for x()") -> Failure:
    return Failure(kind=kind, phase=phase, message="it failed", next_step="mend it")


class Sandbox:
    """Answers from a table of values by function, and counts the questions."""

    def __init__(self, recording=None, values=None, failures=None, notes=()) -> None:
        self.recording = recording
        self.values = values or {}
        self.failure = failures or failure("missing-function")
        self.notes = notes
        self.asked: list[Question] = []

    def ask(self, question: Question) -> Extraction:
        self.asked.append(question)
        if question.kind == "recording":
            missing = None if self.recording else failure("limit")
            return Extraction(question=question, recording=self.recording, failure=missing)
        value = self.values.get(question.function)
        if value is None:
            found = None if question.optional else self.failure
            return Extraction(question=question, failure=found, notes=self.notes)
        if question.kind == "model":
            model = ExtractedModel(model=value, location="problem_2.py:1")
            return Extraction(question=question, model=model, location=model.location)
        return Extraction(question=question, answered=True, value=value)


def ask(
    sandbox: Sandbox,
    *only: str,
    file: str = "problem_2.py",
    sources: Sequence[str] = (NOTEBOOK,),
    cells=None,
) -> dict[str, Extraction]:
    submission = SimpleNamespace(
        sources={file: tuple(sources)}, read_cells=lambda _: program(cells=cells).cells
    )
    needed = needed_items(SET4, select_items(SET4, only or (file[8],)))
    return ask_submission(sandbox.ask, submission, SET4, needed)


def test_functions_only():
    """A Python file with functions is asked for them and nothing else."""
    sandbox = Sandbox(values={"model_c": C, "image_size": (28, 28)})
    found = ask(sandbox, sources=("problem_2.py",))
    assert found["2C"].model.model == C
    assert found["2D"].failure.kind == "missing-function"
    assert "recording" not in {question.kind for question in sandbox.asked}
    assert len(sandbox.asked) == 9


def test_missing_file():
    """A file that was not submitted is asked for under its own name, and no other."""
    sandbox = Sandbox()
    ask(sandbox, sources=())
    assert {question.file for question in sandbox.asked} == {"problem_2.py"}


def test_notebook():
    """A notebook is recorded once; its trainings answer the models, a person the rest."""
    sandbox = Sandbox(Recording(trainings=THREE, names=("model",)))
    found = ask(sandbox, cells=HEADINGS)
    assert [question.kind for question in sandbox.asked] == ["recording"]
    assert [found[part].location for part in ("2C", "2D", "2E")] == [
        "problem_2.ipynb, cell 2, line 1",
        "problem_2.ipynb, cell 4, line 1",
        "problem_2.ipynb, cell 6, line 1",
    ]
    assert dict(found["2C"].model.training.pairs) == {"epochs": 10, "batch_size": 32}
    assert found["2C"].model.optimizer == default_optimizer(C)
    assert found["2A"].failure is None
    assert found["2A"].doubt.observed == "problem_2.ipynb has no versions()"
    assert found["2C:reported"].doubt is None
    assert found[recording_id(NOTEBOOK)].recording is sandbox.recording


def test_person_is_sent_to_heading():
    """A person looks for a missing answer below the part's heading."""
    sandbox = Sandbox(Recording())
    found = ask(sandbox, cells={1: "%%markdown\n# Problem A: versions"})
    assert found["2A"].doubt.observed.endswith("may stand below “Problem A: versions”")
    assert found["2A"].doubt.location == "problem_2.ipynb, cell 1, line 1"


def test_functions_in_notebook():
    """A notebook's functions are asked in the program, and take the recorded recipe."""
    names = ("image_size", "model_c", "model")
    trainings = tuple(
        replace(training, epochs=20, batch_size=64) for training in (trained(C, 2), trained(D, 4))
    )
    recording = Recording(trainings=trainings, names=names)
    sandbox = Sandbox(recording, values={"image_size": (28, 28), "model_c": C})
    found = ask(sandbox)
    asked = [question for question in sandbox.asked if question.kind != "recording"]
    assert [question.function for question in asked] == ["image_size", "model_c"]
    assert all(question.program and question.file == NOTEBOOK for question in asked)
    assert dict(found["2C"].model.training.pairs) == {"epochs": 20, "batch_size": 64}
    assert found["2C"].attribution.reason == "it trains the model of model_c()"
    assert found["2D"].model.model.layers == D.layers


def test_variable_with_its_training():
    """A variable of the agreed name that is trained is not asked for: the training says more."""
    recording = Recording(trainings=(trained(SMALL, 2, names=("model_d",)),), names=("model_d",))
    sandbox = Sandbox(recording, values={"model_d": SMALL})
    found = ask(sandbox, "2D")
    assert [question.kind for question in sandbox.asked] == ["recording"]
    assert found["2D"].attribution.reason == "its model is named model_d"


def test_function_that_fails():
    """A function that fails in a program gives way to a training, else it is a doubt."""
    recording = Recording(trainings=(trained(C, 2),), names=("model_c", "versions"))
    sandbox = Sandbox(recording, failures=failure("signature"))
    found = ask(sandbox)
    assert found["2C"].model.model.layers == C.layers
    assert found["2A"].doubt.observed == "versions gives no answer: it failed"


def test_reported_accuracy():
    """An accuracy that is written down counts; one that was measured on stand-ins does not."""
    recording = Recording(trainings=THREE, names=("reported_accuracy_c", "reported_accuracy_d"))
    cells = {7: "reported_accuracy_c = 0.978\nreported_accuracy_d = evaluate(model)", **HEADINGS}
    sandbox = Sandbox(recording, values={"reported_accuracy_c": 0.978, "reported_accuracy_d": 0.1})
    found = ask(sandbox, cells=cells)
    assert found["2C:reported"].value == 0.978
    assert not found["2D:reported"].answered


def test_script():
    """A Python file that trains at its top level is recorded at the first missing function."""
    note = ImportNote(kind="training", location="problem_2.py:9", detail="loss.backward()")
    sandbox = Sandbox(Recording(trainings=(trained(C, 0, 9),)), notes=(note,))
    found = ask(sandbox, sources=("problem_2.py",))
    assert [question.kind for question in sandbox.asked] == ["answer", "recording"]
    assert found["2C"].model.model.layers == C.layers
    assert found["2A"].doubt is not None


def test_file_that_fails_at_import():
    """A file that cannot be imported is recorded once; what it defines is asked in the program."""
    recording = Recording(names=("model_c",))
    sandbox = Sandbox(recording, failures=failure("syntax", "import of problem_2.py"))
    ask(sandbox, sources=("problem_2.py",))
    assert [question.kind for question in sandbox.asked] == ["answer", "recording", "model"]
    broken = Sandbox(Recording(), failures=failure("syntax", "import of problem_2.py"))
    found = ask(broken, sources=("problem_2.py",))
    assert found["2A"].failure.kind == found["2C"].failure.kind == "syntax"
    assert [question.kind for question in broken.asked].count("recording") == 1


def test_file_without_functions():
    """A Python file with none of the functions and no training fails as before."""
    found = ask(Sandbox(Recording()), sources=("problem_2.py",))
    assert found["2C"].failure.kind == "missing-function"
    assert found["2C"].doubt is None


def test_unreadable_program():
    """A notebook that cannot be run is for a person."""
    found = ask(Sandbox())
    assert found["2C"].doubt.observed == "problem_2.ipynb could not be run: it failed"
    assert found["2A"].doubt.observed == "problem_2.ipynb could not be run: it failed"
    assert found["2C:reported"].doubt is None


def test_other_library():
    """A notebook that trains with Keras is told so."""
    found = ask(Sandbox(Recording(library="Keras")))
    assert "trains with Keras" in found["2C"].doubt.observed


def test_model_that_cannot_be_described():
    """A model that branches fails; one that could not be read is for a person."""
    branch = failure("wrong-type")
    training = trained(C, 2, layers=(), failure=branch)
    found = ask(Sandbox(Recording(trainings=(training,))), cells=HEADINGS)
    assert found["2C"].failure is branch
    unread = replace(training, failure=failure("limit"))
    found = ask(Sandbox(Recording(trainings=(unread,))), cells=HEADINGS)
    assert "cannot be read: it failed" in found["2C"].doubt.observed


def test_sweep():
    """A recorded sweep is retrained; accuracies that are written down win."""
    sweep = tuple(trained(convolutional(p / 10), 4, epochs=1) for p in range(10))
    recording = Recording(trainings=(trained(convolutional(), 2), *sweep), names=("dropout_sweep",))
    values = {"dropout_sweep": (0.9,) * 10}
    computed = {4: "def dropout_sweep():\n    return [train(p) for p in ps]"}
    found = ask(Sandbox(recording, values=values), file="problem_3.py", cells=computed)
    assert found["3G.sweep"].swept == sweep
    assert found["3G.model"].attribution.training is recording.trainings[0]
    written = {4: "def dropout_sweep():\n    return [0.9, 0.8]"}
    found = ask(Sandbox(recording, values=values), file="problem_3.py", cells=written)
    assert found["3G.sweep"].answered
    alone = replace(recording, trainings=recording.trainings[:1])
    found = ask(Sandbox(alone), file="problem_3.py", cells=computed)
    assert "has no dropout_sweep()" in found["3G.sweep"].doubt.observed


def test_notebook_for_both_problems():
    """One file that stands for two is recorded once, and headings name the problem."""
    cells = {1: "# Problem 2\n# Part C", 3: "# Problem 3, part G"}
    trainings = (trained(C, 2), trained(convolutional(), 4))
    submission = SimpleNamespace(
        sources={"problem_2.py": (NOTEBOOK,), "problem_3.py": (NOTEBOOK,)},
        read_cells=lambda _: program(cells=cells).cells,
    )
    sandbox = Sandbox(Recording(trainings=trainings))
    needed = needed_items(SET4, select_items(SET4, ("2C", "3G")))
    found = ask_submission(sandbox.ask, submission, SET4, needed)
    assert [question.kind for question in sandbox.asked] == ["recording"]
    assert found["2C"].attribution.training is trainings[0]
    assert found["3G.model"].attribution.training is trainings[1]


def test_own_initialisation_and_class():
    """What a program does to its model is handed on to the checks."""
    place = Place(file=NOTEBOOK, cell=1, line=2)
    training = trained(C, 2, class_name="Net", own_initialisation=place)
    found = ask(Sandbox(Recording(trainings=(training,))), "2C")
    assert found["2C"].model.class_name == "Net"
    assert found["2C"].model.own_initialisation == place
