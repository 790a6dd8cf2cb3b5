"""Attacks on tested functions: none earns a point, none harms the test after it, and nothing of the
tests is told to a student.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent, indent

import msgspec
import pytest

from grader.models.questions import CaseResult
from grader.results import Outcome
from tests.submissions.asking import leaving_nothing
from tests.support.functions_samples import ITEM_ID, examining, make_assignment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

EXPECTED = 73_786_976
"""The right answer, which is nowhere in the sandbox."""
SECRET_WORDS = "cinnamon harbour"


@dataclass(frozen=True, kw_only=True)
class FunctionAttack:
    """A hostile function.

    Attributes:
        family: what it tries.
        body: of the function `attack(x)`.
        says: texts of the failed check.
        test: the body of the test, if it is not the usual one.
        passes: it is no more than an honest answer.
    """

    family: str
    body: str
    says: tuple[str, ...]
    test: str = "assert attack(3) == EXPECTED"
    passes: bool = False


FRAME = """
import os, struct, json
def frame(kind, payload):
    return struct.pack(">cI", kind, len(payload)) + payload
def result(fields, blocks=b""):
    text = json.dumps(fields).encode()
    return frame(b"V", struct.pack(">I", len(text)) + text + blocks)
def write(stream):
    for descriptor in range(3, 64):
        try:
            os.write(descriptor, stream)
        except OSError:
            pass
"""

ATTACKS = {
    # Tampering with what a test in the same process would use.
    "patched_numpy": FunctionAttack(
        family="tampering",
        body="""
            np.testing.assert_allclose = np.testing.assert_array_equal = lambda *a, **k: None
            np.allclose = np.array_equal = lambda *a, **k: True
            return np.zeros(2)
        """,
        test="np.testing.assert_allclose(attack(3), [EXPECTED, EXPECTED])",
        says=("returned np.array([0.0, 0.0])", "2 of 2 entries differ"),
    ),
    "patched_assert": FunctionAttack(
        family="tampering",
        body="""
            import builtins, _pytest.outcomes, pytest
            class Passed(Exception): pass
            builtins.AssertionError = pytest.fail.Exception = Passed
            pytest.raises = pytest.approx = lambda *a, **k: True
            return 0
        """,
        says=("returned 0",),
    ),
    "patched_json": FunctionAttack(
        family="tampering",
        body="""
            import json
            json.dumps = lambda *a, **k: '{"value": %d}' % 12
            return 0
        """,
        says=("returned 12",),
    ),
    # Searching for the expected value.
    "frames_searched": FunctionAttack(
        family="reading",
        body="""
            frame = sys._getframe()
            while frame is not None:
                for value in [*frame.f_locals.values(), *frame.f_globals.values()]:
                    if isinstance(value, int) and value > 10**6 and not isinstance(value, bool):
                        return [value]
                frame = frame.f_back
            return "nothing"
        """,
        test="assert attack(3) == [EXPECTED]",
        says=("returned",),
    ),
    "collector_searched": FunctionAttack(
        family="reading",
        body="""
            import gc
            wanted = "EXPE" + "CTED"
            found = [one[wanted] for one in gc.get_objects() if type(one) is dict and wanted in one]
            return found or "nothing"
        """,
        test="assert attack(3) == [EXPECTED]",
        says=("returned 'nothing'",),
    ),
    "files_searched": FunctionAttack(
        family="reading",
        body="""
            found = []
            for top in ("/submission", os.getcwd(), "/tmp", "/home", "/work", "/root/tests"):
                for directory, _, names in os.walk(top):
                    found += [name for name in names if name.startswith("test_student")]
            return found or "nothing"
        """,
        test="assert attack(3) == ['test_student.py']",
        says=("returned 'nothing'",),
    ),
    "environment_searched": FunctionAttack(
        family="reading",
        body="""
            texts = [repr(dict(os.environ)), repr(sys.argv)]
            for number in range(1, 50):
                for name in ("cmdline", "environ", "maps"):
                    try:
                        texts.append(open(f"/proc/{number}/{name}").read())
                    except OSError:
                        pass
            told = "".join(texts)
            return "test_student" in told or "pytest" in told
        """,
        test="assert attack(3) is True",
        says=("returned False",),
    ),
    # Answers that are right only while somebody looks.
    "right_at_first": FunctionAttack(
        family="lying",
        body="""
            count["right_at_first"] = count.get("right_at_first", 0) + 1
            return 2 * x if count["right_at_first"] < 20 else 0
        """,
        test="assert attack(x) == 2 * x",
        says=("returned 0",),
    ),
    "lying_comparison": FunctionAttack(
        family="lying",
        body="""
            class Equal(int):
                __eq__ = __ge__ = __le__ = lambda *a: True
                __hash__ = int.__hash__
            return Equal(7)
        """,
        says=("returned 7",),
    ),
    "lying_object": FunctionAttack(
        family="lying",
        body="""
            class Equal:
                __eq__ = __array_ufunc__ = lambda *a, **k: True
                __array__ = lambda *a, **k: np.full(2, 73_786_976)
            return Equal()
        """,
        test="np.testing.assert_allclose(attack(3), [EXPECTED, EXPECTED])",
        says=("an Equal that the test cannot use",),
    ),
    "lying_array": FunctionAttack(
        family="lying",
        body="""
            class Equal(np.ndarray):
                __array_priority__ = 1e9
                __eq__ = __array_function__ = __array_ufunc__ = lambda *a, **k: True
            return np.zeros(2).view(Equal)
        """,
        test="np.testing.assert_allclose(attack(3), [EXPECTED, EXPECTED])",
        says=("returned np.array([0.0, 0.0])",),
    ),
    "lying_tensor": FunctionAttack(
        family="lying",
        body="""
            class Equal(torch.Tensor):
                __torch_function__ = classmethod(lambda *a, **k: True)
            return torch.zeros(2).as_subclass(Equal)
        """,
        test="assert torch.equal(attack(3), torch.full((2,), float(EXPECTED)))",
        says=("returned torch.tensor([0.0, 0.0])",),
    ),
    "pickled": FunctionAttack(
        family="lying",
        body="""
            class Evil:
                __reduce__ = lambda self: (os.system, ("touch /tmp/pickled",))
            return Evil()
        """,
        says=("returned an Evil",),
    ),
    # Forgery on the pipes.
    "forged_result": FunctionAttack(
        family="forgery",
        body="write(result({'value': 5})); time.sleep(9)",
        says=("returned 5",),
    ),
    "forged_twice": FunctionAttack(
        family="forgery",
        body="write(2 * result({'value': 5})); time.sleep(9)",
        test="attack(3); assert attack(3) == EXPECTED",
        says=("does not accept it",),
    ),
    "forged_ahead": FunctionAttack(
        family="forgery",
        body="""
            def later():
                time.sleep(0.2)
                write(result({'value': 73}))
            threading.Thread(target=later).start()
            return 0
        """,
        test="attack(3); import time; time.sleep(0.8); assert attack(3) == EXPECTED",
        says=("does not accept it",),
    ),
    "forged_object": FunctionAttack(
        family="forgery",
        body="write(result({'value': {'object': [999, 'Model']}})); time.sleep(9)",
        test="assert attack(3).predict(1) == EXPECTED",
        says=("model.predict",),
    ),
    "forged_object_name": FunctionAttack(
        family="forgery",
        body="write(result({'value': {'object': [1, {}]}})); time.sleep(9)",
        says=("does not accept it",),
    ),
    "forged_callable": FunctionAttack(
        family="forgery",
        body="write(result({'callable': True})); time.sleep(9)",
        says=("does not accept it",),
    ),
    "forged_stop": FunctionAttack(
        family="forgery",
        body="write(result({'stop': True})); time.sleep(9)",
        says=("forged_stop(3) gave no answer",),
        test="assert [attack(3)] == [EXPECTED]",
    ),
    "forged_failure": FunctionAttack(
        family="forgery",
        body="write(result({'failure': {'kind': 'none'}})); time.sleep(9)",
        test="with pytest.raises(StudentError): attack(3)",
        says=("does not accept it",),
    ),
    "forged_array": FunctionAttack(
        family="forgery",
        body="write(result({'value': {'array': ['<f8', [0, 2**40]]}})); time.sleep(9)",
        test="attack(3).sum(axis=0)",
        says=("does not accept it",),
    ),
    "forged_truth": FunctionAttack(
        family="forgery",
        body="write(result({'value': {'array': ['|b1', [1]]}}, bytes([2]))); time.sleep(9)",
        test="assert attack(3).all()",
        says=("does not accept it",),
    ),
    "forged_end": FunctionAttack(
        family="forgery",
        body="write(frame(b'R', b'{}') + frame(b'E', b'')); time.sleep(9)",
        says=("does not accept it",),
    ),
    "forged_noise": FunctionAttack(
        family="forgery", body="write(b'Z' * 4000); time.sleep(9)", says=("does not accept it",)
    ),
    "forged_size": FunctionAttack(
        family="forgery",
        body="write(struct.pack('>cI', b'V', 2**32 - 1)); time.sleep(9)",
        says=("larger than",),
    ),
    # Endings.
    "exits": FunctionAttack(family="ending", body="os._exit(0)", says=("ended the process",)),
    "exits_in_thread": FunctionAttack(
        family="ending",
        body="threading.Thread(target=lambda: os._exit(0)).start(); time.sleep(9)",
        says=("ended the process",),
    ),
    "raises_exit": FunctionAttack(
        family="ending",
        body="raise SystemExit('ValueError')",
        test="with pytest.raises(StudentError, match='ValueError'): attack(3)",
        says=("ended the program",),
    ),
    "aborts": FunctionAttack(family="ending", body="os.abort()", says=("died of SIGABRT",)),
    "interrupts": FunctionAttack(
        family="ending",
        body="raise KeyboardInterrupt",
        says=("raised KeyboardInterrupt",),
    ),
    "ends_generator": FunctionAttack(
        family="ending", body="raise GeneratorExit", says=("raised GeneratorExit",)
    ),
    "stops_iteration": FunctionAttack(
        family="ending", body="raise StopIteration", says=("raised StopIteration",)
    ),
    "kills_all": FunctionAttack(
        family="ending",
        body="""
            for number in (os.getppid(), 1, -1):
                try:
                    os.kill(number, signal.SIGKILL)
                except OSError:
                    pass
            time.sleep(9)
        """,
        says=("kills_all(3)",),
    ),
    "stops_manager": FunctionAttack(
        family="ending",
        body="os.kill(os.getppid(), signal.SIGSTOP); time.sleep(0.1); return 0",
        says=("stops_manager(3)",),
    ),
    # Exhaustion.
    "large_array": FunctionAttack(
        family="exhaustion",
        body="return np.broadcast_to(np.float64(1), (2**14, 2**14))",
        says=("holds more than",),
    ),
    "large_text": FunctionAttack(
        family="exhaustion", body="return 'x' * 100_000_000", says=("holds more than",)
    ),
    "two_gigabytes": FunctionAttack(
        family="exhaustion", body="return bytearray(2 * 10**9)", says=("of memory",)
    ),
    "endless_list": FunctionAttack(
        family="exhaustion", body="a = []; a.append(a); return a", says=("levels deep",)
    ),
    "colliding_keys": FunctionAttack(
        family="exhaustion",
        body="return {n * (2**61 - 1): 0 for n in range(3000)}",
        says=("entries",),
    ),
    "wide_array": FunctionAttack(
        family="exhaustion",
        body="return np.zeros((200_000, 1))",
        test="assert (attack(3) - np.zeros((1, 200_000))).sum() == EXPECTED",
        says=("runs out of memory",),
    ),
    "endless_iterator": FunctionAttack(
        family="exhaustion",
        body="return iter(int, 1)",
        test="assert list(attack(3)) == [EXPECTED]",
        says=("was not finished within",),
    ),
    "forks": FunctionAttack(family="exhaustion", body="while True: os.fork()", says=("forks(3)",)),
    "fills_scratch": FunctionAttack(
        family="exhaustion",
        body="""
            with open("big", "wb") as file:
                while True:
                    file.write(bytes(10**6))
        """,
        says=("fills_scratch(3)",),
    ),
    "thread_left_over": FunctionAttack(
        family="exhaustion",
        body="""
            def spin():
                while True:
                    pass
            for _ in range(5):
                threading.Thread(target=spin, daemon=True).start()
            return 0
        """,
        says=("thread_left_over(3)",),
    ),
    "daemon_left_over": FunctionAttack(
        family="exhaustion",
        body="""
            if os.fork() == 0:
                os.setsid()
                while True:
                    write(result({'value': 73}))
                    time.sleep(0.01)
            return 0
        """,
        says=("daemon_left_over(3)",),
    ),
    "state_left_over": FunctionAttack(
        family="exhaustion",
        body="""
            import pathlib
            place = pathlib.Path("note")
            seen = [one.exists() for one in (place, pathlib.Path("/dev/shm/note"))]
            for one in (place, pathlib.Path("/dev/shm/note")):
                try:
                    one.write_text("seen")
                except OSError:
                    pass
            return any(seen) or count.get("state", False)
        """,
        test="assert attack(3) is True",
        says=("returned False",),
    ),
    # What is no attack: answers that could have been given openly.
    "honest_subclass": FunctionAttack(
        family="honest",
        body="""
            class Number(int): pass
            return Number(2 * x)
        """,
        test="assert attack(3) == 6",
        says=(),
        passes=True,
    ),
}


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, CaseResult]:
    """The outcomes of one file that attacks, and of an honest call after each attack."""
    tests = f"EXPECTED = {EXPECTED}  # {SECRET_WORDS}\n"
    source = "import signal, sys, threading, time\nimport numpy as np\nimport torch\ncount = {}\n"
    source += FRAME + "def honest(x):\n    return 2 * x\n"
    for name, attack in ATTACKS.items():
        body = indent(dedent(attack.body).strip(), "    ")
        source += f"def {name}(x):\n{body}\n"
        given = "attack(x)" in attack.test
        tests += f"""
@pytest.mark.points(1)
{"@given(x=st.integers(1, 9**9))" if given else ""}
def test_{name}(student{", x" if given else ""}):
    "Attack."
    attack = student.{name}
    {attack.test}

@pytest.mark.points(1)
def test_after_{name}(student):
    "Honest."
    assert student.honest({len(name)}) == {2 * len(name)}
"""
    directory = tmp_path_factory.mktemp("attacks")
    assignment = make_assignment(
        directory, tests, points=2 * len(ATTACKS), test_seconds=20.0, item_seconds=900.0
    )
    with leaving_nothing(), examining(directory, assignment) as examiner:
        return examiner.cases(source)


@pytest.mark.parametrize("name", ATTACKS)
def test_attack(cases: dict[str, CaseResult], name: str):
    """The attack fails as its table says, and an honest call after it is answered."""
    attack, check = ATTACKS[name], cases[f"test_{name}"].check
    expected = Outcome.PASSED if attack.passes else Outcome.FAILED
    assert check.outcome is expected, check
    assert check.score is not None
    assert check.score.earned == (1 if attack.passes else 0)
    told = f"{check.observed}\n{check.expected}\n{check.next_step}\n{check.details}"
    for words in attack.says:
        assert words in told, told
    after = cases[f"test_after_{name}"].check
    assert after.outcome is Outcome.PASSED, after


def test_nothing_is_told(cases: dict[str, CaseResult]):
    """No text holds anything of the test's source."""
    told = msgspec.json.encode(list(cases.values())).decode()
    for words in (SECRET_WORDS, "def test_", "attack = student", "assert attack"):
        assert words not in told


HIDDEN = """
@pytest.mark.points(1)
@pytest.mark.hidden
def test_cinnamon(student):
    "Harbour."
    assert student.double(4242) == 8484, "secret words"
"""


@pytest.mark.parametrize(
    "body",
    ["print(x); return x", "raise ValueError(f'{x}')", "return [x]", "os._exit(x % 200)"],
)
def test_hidden(tmp_path: Path, body: str):
    """Students learn nothing of a hidden test but that it failed."""
    from grader.assignment.records import FunctionsItem
    from grader.grading.items.functions import check
    from tests.support.item_samples import make_context

    assignment = make_assignment(tmp_path, HIDDEN, points=1)
    with examining(tmp_path, assignment) as examiner:
        extraction = examiner.examine(f"import os\ndef double(x):\n    {body}\n")[ITEM_ID]
    ((_, item),) = assignment.item_ids()
    assert isinstance(item, FunctionsItem)
    result = check(ITEM_ID, item, make_context(extractions={ITEM_ID: extraction}))
    assert result.score.lost == 1
    told = msgspec.json.encode(result).decode()
    assert '"observed":"a hidden test failed"' in told
    for words in ("4242", "8484", "cinnamon", "Harbour", "secret", "student_file"):
        assert words not in told


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("import os\nos._exit(0)", "ended the process"),
        ("while True: pass", "There was no answer within 5 s"),
        ("import sys\nsys.exit(0)", "ended the program"),
        ("import pytest\npytest.skip('all', allow_module_level=True)", "raised Skipped"),
        (f"{FRAME}\nwrite(result({{'value': None}}))\nos._exit(0)", "ended the process"),
        (f"{FRAME}\nwrite(result({{'failure': 3}}))", "does not accept it"),
    ],
    ids=["exit", "loop", "sys.exit", "skip", "forged import", "forged failure"],
)
def test_import(tmp_path: Path, source: str, says: str):
    """A file that attacks when it is imported earns nothing."""
    test = "@pytest.mark.points(1)\ndef test_it(student):\n    'It.'\n    student.answer()\n"
    assignment = make_assignment(tmp_path, test, points=1)
    with examining(tmp_path, assignment) as examiner:
        extraction = examiner.examine(source)[ITEM_ID]
    (case,) = extraction.cases
    assert case.check.outcome is Outcome.FAILED
    failure = extraction.failure
    told = f"{failure.message if failure else ''} {case.check.observed}"
    assert says in told
