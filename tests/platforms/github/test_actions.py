"""`grade` as a step of GitHub Actions: what it hands to the runner, and what its log can do."""

import base64
import json
import re
import sys

import pytest

import grader.cli
from grader.errors import MachineError
from grader.platforms.github.actions import report_to_actions
from grader.platforms.github.fence import fenced_log
from tests.support.actions_runner import obeyed
from tests.support.graded_steps import ATTACKS
from tests.support.result_samples import broken_result


@pytest.fixture(name="actions")
def enter_actions(tmp_path, monkeypatch):
    """This process is a step of GitHub Actions, its repository is the current directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    monkeypatch.delenv("GITHUB_OUTPUT", raising=False)


def classroom(graded):
    """The step output for GitHub Classroom."""
    return json.loads(base64.b64decode(graded.step.outputs["result"]))


def test_reference_passes(reference_step):
    """Exit code 0, the table, the curve of what was trained, and Classroom's points."""
    step = reference_step.step
    assert step.returncode == 0, step.stderr
    assert obeyed(step.stderr) == []
    assert "| 1D | OR with one hidden unit | passed | 7 / 7 |" in step.summary
    assert re.search(r"\| 2C \| \d+ \| [▁▂▃▄▅▆▇█]{2,} \| \d\d&#46;\d\d% \|", step.summary)
    tests = {test["name"].split(": ")[1]: test for test in classroom(reference_step)["tests"]}
    assert (tests["2C"]["status"], tests["2C"]["score"]) == ("pass", 8)


def test_json_alone_on_stdout(reference_step):
    """Standard output is only the file, with everything else in the log."""
    written = (reference_step.report / "result.json").read_text(encoding="utf-8")
    assert reference_step.step.stdout == written


def test_annotations_on_lines(attacker_step):
    """Each annotation points at a line that the repository has; a broken file is one annotation."""
    step = attacker_step.step
    assert step.returncode == 1, step.stderr
    annotations = obeyed(step.stderr)
    assert annotations[0].properties["title"].startswith("3G.model, 3G.sweep, 3C, 3D, 3E, 3B: ")
    located = [command for command in annotations if "file" in command.properties]
    assert len(located) >= 3
    for command in located:
        file = attacker_step.submission.parent / command.properties["file"]
        assert 1 <= int(command.properties["line"]) <= len(file.read_text().splitlines())
    assert classroom(attacker_step)["status"] == "fail"


def test_student_commands_nothing(attacker_step):
    """A student's prints, errors, answers and names are in the log, and none is obeyed."""
    step = attacker_step.step
    assert obeyed(step.stdout) == []
    for command in obeyed(step.stderr):
        assert command.name == "error"
        assert re.match(r"\d[A-G]", command.properties["title"])
    assert set(step.outputs) == {"result"}


def test_attack_needs_the_fence(attacker_step):
    """The attack is real: take the fence out of the log, and the runner obeys it."""
    log = attacker_step.step.stderr
    fence = re.search(r"::stop-commands::(\w+)\n", log)
    unfenced = log.replace(fence[0], "").replace(f"::{fence[1]}::\n", "")
    assert "add-mask" in {command.name for command in obeyed(unfenced)}


def test_classroom_texts_command_nothing(attacker_step):
    """The reporter prints these texts in a step of its own, without a fence."""
    for test in classroom(attacker_step)["tests"]:
        for text in map(str, test.values()):
            assert obeyed(text) == []


@pytest.mark.usefixtures("actions")
def test_fence(capfd):
    """No line of an attack is obeyed, whichever stream it was printed to."""
    for _ in range(2):
        with fenced_log():
            print("\n".join(ATTACKS))  # noqa: T201
            print("\n".join(ATTACKS), file=sys.stderr)  # noqa: T201
    printed = capfd.readouterr()
    assert printed.out == ""
    assert obeyed(printed.err) == []
    assert len(obeyed("\n".join(ATTACKS[:4]))) == 4
    tokens = re.findall(r"^::stop-commands::([0-9a-f]{32})$", printed.err, re.MULTILINE)
    assert len(set(tokens)) == 2


@pytest.mark.usefixtures("actions")
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["##[add-mask]61"], 2, "there is no directory"),
        (["cache", "##[add-mask]61"], 2, "No such command"),
    ],
    ids=["a directory", "a command"],
)
def test_errors_are_fenced(arguments, code, message, monkeypatch, capfd):
    """The error is printed, and no name in it is obeyed."""
    monkeypatch.setattr(sys, "argv", ["grade", *arguments])
    with pytest.raises(SystemExit) as ended:
        grader.cli.main()
    printed = capfd.readouterr()
    assert ended.value.code == code
    assert message in printed.err
    assert "##[add-mask]61" in printed.err
    assert obeyed(printed.out) == obeyed(printed.err) == []


@pytest.mark.usefixtures("actions")
def test_traceback_is_fenced(monkeypatch, capfd):
    """Exit code 3, never the 1 of a submission that fell short."""

    def fail(*, standalone_mode):
        raise RuntimeError("\n".join(ATTACKS))

    monkeypatch.setattr(grader.cli.cli, "main", fail)
    with pytest.raises(SystemExit) as ended:
        grader.cli.main()
    printed = capfd.readouterr()
    assert ended.value.code == 3
    assert "Traceback" in printed.err
    assert "the grader failed" in printed.err
    assert obeyed(printed.out) == obeyed(printed.err) == []


def test_outside_of_actions(tmp_path, capfd):
    """Standard output stays what it is."""
    with fenced_log():
        print("text")  # noqa: T201
    report_to_actions(broken_result(), tmp_path)
    assert capfd.readouterr() == ("text\n", "")


@pytest.mark.usefixtures("actions")
def test_runner_without_files(tmp_path, capfd):
    """An older server, or a local imitation, names no file."""
    report_to_actions(broken_result(), tmp_path)
    assert len(obeyed(capfd.readouterr().err)) == 10


@pytest.mark.usefixtures("actions")
def test_unwritable_runner_file(tmp_path, monkeypatch):
    """The error says what to do."""
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "missing" / "summary.md"))
    with pytest.raises(MachineError, match="could not be passed") as caught:
        report_to_actions(broken_result(), tmp_path)
    assert caught.value.next_step
