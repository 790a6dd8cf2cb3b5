"""Similar submissions of a class: models, wrong answers and code, and matches that mean nothing."""

import os
import re

import pytest

from grader.cohort import code_comparison, similarity
from grader.cohort.code_comparison import compare
from grader.cohort.similarity import ComparisonRequest, Likeness, find_similar
from grader.cohort.summary import ItemSummary, Status, StudentSummary
from grader.intake.students import Student
from grader.results import Outcome, Score
from tests.support.paths import ROOT

TEMPLATE = ROOT / "student_template"
ANSWER = (ROOT / "reference" / "problem_2.py").read_text(encoding="utf-8")

LOADER = '''
def load(path):
    """Read the images and scale them."""
    images, labels = [], []
    with open(path, "rb") as file:
        header = file.read(16)
        count = int.from_bytes(header[4:8], "big")
        for index in range(count):
            pixels = file.read(784)
            images.append([value / 255.0 for value in pixels])
            labels.append(index % 10 if pixels else -1)
    return [image for image, label in zip(images, labels) if label >= 0][: count // 2 + 7]
'''


def student(student_id, **likeness: str):
    """A graded student; `likeness` by item, those of models starting with "m"."""
    items = tuple(
        ItemSummary(
            id=item_id,
            part=item_id,
            title=item_id,
            kind="model" if item_id.startswith("m") else "answer",
            outcome=Outcome.PASSED if item_id.startswith("m") else Outcome.FAILED,
            score=Score(possible=1),
            accuracy=0.9 if item_id.startswith("m") else None,
            likeness=value,
        )
        for item_id, value in likeness.items()
    )
    return StudentSummary(
        student=Student(id=student_id), status=Status.GRADED, score=Score(possible=1), items=items
    )


@pytest.fixture
def hand_in(tmp_path):
    """Writes one student's file, and returns the directory of all."""

    def handed(student_id, text, file="problem_2.py"):
        target = tmp_path / "class" / student_id / file
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        return {folder.name: folder for folder in sorted((tmp_path / "class").iterdir())}

    return handed


def similar_files(sources, template=None):
    request = ComparisonRequest(
        sources={student_id: str(path) for student_id, path in sources.items()},
        template=str(template) if template else None,
    )
    return [
        (found.subject, sorted(found.student_ids), round(found.share, 2))
        for found in compare(request).similar
    ]


def test_models_and_answers():
    """Two students who agree in two things are one group with both."""
    found = find_similar(
        [
            student("ann", m2="x", a3="wrong"),
            student("bob", m2="x", a3="wrong"),
            student("eve", m2="y", a3="other"),
        ],
        sources={},
    )
    (group,) = found.groups
    assert group.student_ids == ("ann", "bob")
    assert {(one.kind, one.subject) for one in group.shared} == {
        (Likeness.MODEL, "m2"),
        (Likeness.ANSWER, "a3"),
    }


def test_pair_within_group():
    """A pair is shown with everything it shares, even with others."""
    found = find_similar(
        [
            student("ann", m2="x", m3="z"),
            student("bob", m2="x", m3="z"),
            student("eve", m2="x", m3="w"),
        ],
        sources={},
    )
    assert [(group.student_ids, len(group.shared)) for group in found.groups] == [
        (("ann", "bob"), 2),
        (("ann", "bob", "eve"), 1),
    ]


def test_without_key():
    """Items without a similarity key are not compared."""
    assert find_similar([student("ann", m2=""), student("bob", m2="")], {}).groups == ()


def test_common():
    """A thing that many students share is common, and in no group."""
    summaries = [student(f"s{n}", m2="given" if n < 7 else f"own-{n}") for n in range(20)]
    found = find_similar(summaries, sources={})
    assert found.groups == ()
    assert [len(one.student_ids) for one in found.common] == [7]


def test_renamed_code(hand_in):
    """Renamed and commented code is nearly identical."""
    renamed = re.sub("images", "pictures", LOADER.replace("labels", "truth"))
    hand_in("ann", ANSWER + LOADER)
    hand_in("bob", "# my own work\n" + ANSWER.replace("model_", "network_") + renamed)
    sources = hand_in("eve", "def answer():\n" + "    print(1 + 2)\n" * 40)
    found = find_similar([student(name) for name in sources], sources)
    assert found.not_compared == ""
    (group,) = found.groups
    assert group.student_ids == ("ann", "bob")
    assert [(one.kind, one.subject) for one in group.shared] == [(Likeness.CODE, "problem_2.py")]
    assert group.shared[0].share > 0.95


def test_starter_code(hand_in):
    """Starter code does not count."""
    given = (TEMPLATE / "problem_2.py").read_text(encoding="utf-8")
    hand_in("ann", given)
    sources = hand_in("bob", given)
    assert similar_files(sources) == [("problem_2.py", ["ann", "bob"], 1.0)]
    assert similar_files(sources, TEMPLATE) == []


def test_starter_model(hand_in):
    """A model from unchanged starter code does not count."""
    given = (TEMPLATE / "problem_2.py").read_text(encoding="utf-8")
    hand_in("ann", given)
    sources = hand_in("bob", given.replace("Linear(10, 10)", "Linear(12, 12)"))
    summaries = [student("ann", m2="given", m3="x"), student("bob", m2="given", m3="y")]
    assert find_similar(summaries, sources).groups != ()
    assert find_similar(summaries, sources, TEMPLATE).groups == ()


def test_different_solutions(hand_in):
    """Different solutions are not similar."""
    hand_in("ann", ANSWER)
    sources = hand_in("bob", ANSWER.replace("nn.Sequential(", "build(nn.Tanh(), 7, *").lower()[::2])
    assert similar_files(sources) == []


def test_odd_files(hand_in, tmp_path, monkeypatch):
    """Only regular files of a reasonable size are read."""
    hand_in("ann", ANSWER + LOADER, file="huge.py")
    sources = hand_in("bob", ANSWER + LOADER, file="huge.py")
    hand_in("ann", "x = 1\n", file="short.py")
    hand_in("bob", "x = 1\n", file="short.py")
    outside = tmp_path / "outside.py"
    outside.write_text(ANSWER, encoding="utf-8")
    for folder in sources.values():
        (folder / "link.py").symlink_to(outside)
        os.mkfifo(folder / "pipe.py")
    monkeypatch.setattr(code_comparison, "MAXIMUM_FILE_BYTES", 1000)
    assert similar_files(sources) == []


def test_slow_file(hand_in, monkeypatch):
    """A file that keeps the lexer busy is left out."""
    monkeypatch.setattr(code_comparison, "SECONDS_FOR_EACH_FILE", 1e-6)
    hand_in("ann", ANSWER)
    assert similar_files(hand_in("bob", ANSWER)) == []


def test_bytes(hand_in):
    """Bytes that are not text harm nothing."""
    sources = hand_in("ann", "")
    sources |= hand_in("bob", "")
    for folder in sources.values():
        (folder / "problem_2.py").write_bytes(b'\xff\x00"""' + ANSWER.encode() * 2)
    assert similar_files(sources) in ([], [("problem_2.py", ["ann", "bob"], 1.0)])


def test_timeout(hand_in, monkeypatch):
    """A comparison that takes too long is reported, and the other similarities stand."""
    monkeypatch.setattr(similarity, "COMPARISON_SECONDS", 0.001)
    hand_in("ann", ANSWER)
    sources = hand_in("bob", ANSWER)
    found = find_similar([student("ann", m2="x"), student("bob", m2="x")], sources)
    assert "longer than" in found.not_compared
    assert len(found.groups) == 1


QUESTION = (
    "Explain in your own words why a network of linear layers without activations is no stronger "
    "than a single linear layer, and what an activation such as ReLU changes about that."
)

ESSAY = (
    "When you multiply one matrix by another you simply get a third matrix, so stacking "
    "linear maps collapses into one map and the depth buys nothing at all. An activation "
    "bends the function between the layers, so that regions of the input are treated by "
    "different linear pieces, and with more units there are more such pieces, which is how "
    "curved boundaries get approximated."
)
OTHER = (
    "Composition of affine functions stays affine: W2(W1 x + b1) + b2 has the form Wx + b. "
    "With ReLU some units are cut off at zero depending on the input, therefore the composed "
    "function is only piecewise affine. XOR is the usual example that the first kind cannot "
    "separate but the second kind can with two hidden units."
)


def essay_groups(**essays: str) -> list[tuple[str, set[str]]]:
    """The groups of similar answers to one question."""
    request = ComparisonRequest(sources={}, essays={"1A": essays}, questions={"1A": QUESTION})
    return [(shared.kind, set(shared.student_ids)) for shared in compare(request).similar]


def test_copied_essays():
    """Copies are found though the beginning was rewritten and words were changed."""
    rewritten = "I thought long about it. " + ESSAY.replace("simply get", "obtain")
    shuffled = ". ".join(reversed(ESSAY.split(". ")))
    groups = essay_groups(ada=ESSAY, bob=rewritten, eve=shuffled, kim=OTHER)
    assert groups == [(Likeness.ESSAY, {"ada", "bob", "eve"})]


def test_independent_essays():
    """Answers to one question that share words of the trade are not similar."""
    assert essay_groups(ada=ESSAY, kim=OTHER) == []


def test_quoted_question():
    """Quoting the question is no similarity, and short answers are never similar."""
    assert essay_groups(ada=f"{QUESTION} {ESSAY}", kim=f"{QUESTION} {OTHER}") == []
    short = "The product of two matrices is a matrix, so the depth buys nothing at all here."
    assert essay_groups(ada=f"{QUESTION} {short}", kim=short) == []


def test_given_text(tmp_path):
    """Nor is the text of the starter code."""
    (tmp_path / "1A.md").write_text(ESSAY)
    request = ComparisonRequest(
        sources={}, template=str(tmp_path), essays={"1A": {"ada": ESSAY, "bob": ESSAY}}
    )
    assert compare(request).similar == ()
