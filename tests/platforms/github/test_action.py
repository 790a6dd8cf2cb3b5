"""The action and the workflow of a student's repository: their steps run in a shell as the runner
would run them, and what they promise.
"""

import base64
import json
import os
import re
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.actions_runner import obeyed, run_step
from tests.support.paths import ROOT

ACTION = ROOT / "action.yml"
STUDENT_WORKFLOW = ROOT / "student_template" / ".github" / "workflows" / "grade.yml"
WORKFLOWS = (STUDENT_WORKFLOW, ROOT / ".github" / "workflows" / "ci.yml")


def load(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def steps_of(path):
    """All steps of an action or a workflow."""
    document = load(path)
    if "runs" in document:
        return document["runs"]["steps"]
    return [step for job in document["jobs"].values() for step in job["steps"]]


def evaluate(text, inputs, temporary):
    """The value of what may be an expression; only those that the action's scripts need."""
    values = {f"inputs.{name}": value for name, value in inputs.items()}
    values["runner.temp"] = str(temporary)
    return re.sub(r"\$\{\{ ([\w.-]+) \}\}", lambda match: values[match[1]], text)


def run_script(name, workspace, files, inputs=None):
    """Run the script of the action's step with that id; `grade` is this environment's."""
    defaults = {key: value["default"] for key, value in load(ACTION)["inputs"].items()}
    step = next(step for step in steps_of(ACTION) if step.get("id") == name)
    files.mkdir()
    sudo = files / "sudo"
    sudo.write_text("#!/bin/sh\nexit 1\n")
    sudo.chmod(0o755)
    script = files / "script.sh"
    script.write_text(f'PATH="$PATH:{files}"\n{step["run"]}')
    environment = {
        key: evaluate(value, defaults | (inputs or {}), files / "temp")
        for key, value in step.get("env", {}).items()
    }
    return run_step(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", script],
        workspace=workspace,
        files=files,
        GITHUB_ACTION_PATH=str(ROOT),
        **environment,
    )


@pytest.fixture(name="repository")
def copy_template(tmp_path):
    """A student's repository as it is checked out."""
    return Path(shutil.copytree(ROOT / "student_template", tmp_path / "repository"))


def test_grades_a_repository(repository, tmp_path):
    """The starter falls short: annotations, a summary, Classroom's output and files to upload."""
    files = tmp_path / "runner"
    step = run_script("grade", repository, files, {"arguments": "--quick --only 1D,2A,3B"})
    assert step.returncode == 1, step.stderr
    annotations = obeyed(step.stderr)
    # 3B is not answered yet, which is no fault of a line.
    assert [command.properties["file"] for command in annotations] == ["problem_1.py"]
    assert "What to look at" in step.summary
    result = json.loads(base64.b64decode(step.outputs["result"]))
    assert [test["status"] for test in result["tests"][:1]] == ["fail"]
    upload = next(s for s in steps_of(ACTION) if "upload-artifact" in s.get("uses", ""))
    uploaded = Path(evaluate(upload["with"]["path"], {}, files / "temp"))
    assert {path.name for path in uploaded.rglob("*.*")} >= {
        "junit.xml",
        "report.html",
        "result.json",
    }
    assert load(ACTION)["outputs"]["result"]["value"] == "${{ steps.grade.outputs.result }}"


def test_tracebacks_are_not_annotated(repository, tmp_path):
    """The matcher that setup-python adds is taken away before a student can print anything."""
    step = run_script("grade", repository, tmp_path / "runner", {"directory": "no-such-directory"})
    assert step.returncode == 2
    commands = obeyed(step.stdout)
    assert [(command.name, command.properties) for command in commands] == [
        ("remove-matcher", {"owner": "python"})
    ]


def test_cache_key(tmp_path):
    """The cache key is a digest, the same for the same files."""
    digests = {
        run_script("key", tmp_path, tmp_path / name).outputs["digest"] for name in ("one", "two")
    }
    assert len(digests) == 1
    assert re.fullmatch("[0-9a-f]{64}", digests.pop())


def test_cache_key_of_an_assignment(tmp_path):
    """Another assignment, or another text of the same file, may need other data."""
    digests = set()
    for name in ("mine.py", "set4"):
        step = run_script("key", tmp_path, tmp_path / f"of-{name}", {"assignment": name})
        digests.add(step.outputs["digest"])
        (tmp_path / "mine.py").write_text("dataset = 'digits'")
    step = run_script("key", tmp_path, tmp_path / "again", {"assignment": "mine.py"})
    assert len(digests | {step.outputs["digest"]}) == 3


PYTHON = r"""#!/bin/sh
{python} "$@" --without-pip || exit
printf '#!/bin/sh\necho pip "$@" >> {log}\n' > "{venv}/bin/pip"
chmod +x "{venv}/bin/pip"
mkdir -p "{packages}/grader/platforms/github"
echo 'import sys; print("fetch", *sys.argv[1:], file=open("{log}", "a"))' \
  > "{packages}/grader/platforms/github/fetch_data.py"
"""
"""Stands in for `python -m venv`: pip and the grader in it only say that they were used."""


def test_cache_key_of_a_kit(tmp_path):
    """Every file of a kit's assignment decides about the kept data."""
    (tmp_path / "assignment" / "tests").mkdir(parents=True)
    (tmp_path / "assignment" / "assignment.py").write_text("dataset = 'mnist'")
    keys = []
    for number, text in enumerate(("one", "two")):
        (tmp_path / "assignment" / "tests" / "test_a.py").write_text(text)
        step = run_script("key", tmp_path, tmp_path / str(number), {"assignment": "./assignment"})
        keys.append(step.outputs["digest"])
    assert len(set(keys)) == 2


def test_workflow_of_a_kit():
    """The kit's workflow is the template's, but for the directory and the assignment."""
    kit = (ROOT / "grader" / "authoring" / "kit_files" / "grade.yml").read_text()
    template = (ROOT / "student_template" / ".github" / "workflows" / "grade.yml").read_text()
    own = "          directory: work\n          assignment: ASSIGNMENT\n"
    assert kit.replace(own, "          directory: .\n") == template


def test_install_in_a_hostile_checkout(tmp_path):
    """Installing runs nothing of the checkout, whatever the student's files are called."""
    checkout, files, log = tmp_path / "checkout", tmp_path / "runner", tmp_path / "log"
    checkout.mkdir()
    for name in ("venv", "torchvision", "pip", "sitecustomize", "ensurepip", "sys"):
        (checkout / f"{name}.py").write_text(f"open({str(log)!r}, 'a').write('hostile')\n")
    step = next(step for step in steps_of(ACTION) if step.get("id") == "install")
    commands = tmp_path / "bin"
    commands.mkdir()
    venv = files / "temp" / "grader" / "venv"
    venv.parent.mkdir(parents=True)
    python = commands / "python"
    python.write_text(
        PYTHON.format(
            python=sys.executable,
            log=log,
            venv=venv,
            packages=venv / f"lib/python3.{sys.version_info.minor}/site-packages",
        )
    )
    python.chmod(0o755)
    done = run_step(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        workspace=checkout,
        files=files,
        GITHUB_ACTION_PATH=str(ROOT),
        DIRECTORY=".",
        ASSIGNMENT="set4",
        PATH=f"{commands}:{os.environ['PATH']}",
    )
    assert done.returncode == 0, done.stderr
    assert log.read_text().splitlines() == [
        "pip install --index-url https://download.pytorch.org/whl/cpu torch torchvision",
        f"pip install {ROOT}",
        f"fetch set4 {checkout}",
    ]


@pytest.mark.parametrize("path", [ACTION, *WORKFLOWS], ids=lambda path: path.name)
def test_actions_are_pinned(path):
    """A tag can be moved to other code; a full commit hash cannot."""
    used = [step["uses"] for step in steps_of(path) if "uses" in step]
    assert used
    for action in used:
        assert action == "./" or re.fullmatch(r"[\w/.-]+@[0-9a-f]{40}", action)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_only_read(path):
    """No job gets more rights, and no checkout leaves the token on disk."""
    workflow = load(path)
    assert workflow["permissions"] == {"contents": "read"}
    assert all("permissions" not in job for job in workflow["jobs"].values())
    for step in steps_of(path):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflow_inputs_exist(path):
    """A misspelt input would be ignored."""
    known = set(load(ACTION)["inputs"])
    for step in steps_of(path):
        if step.get("uses", "").startswith(("./", "OWNER/sequential-grader@")):
            assert set(step["with"]) <= known


def test_every_python_is_tested():
    """The workflow runs the Python versions that pyproject.toml promises."""
    promised = re.findall(
        r"Programming Language :: Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text()
    )
    jobs = load(ROOT / ".github" / "workflows" / "ci.yml")["jobs"]
    assert jobs["test"]["strategy"]["matrix"]["python"] == promised
