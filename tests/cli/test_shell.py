"""The command in a shell: help with examples, completion, plain output, and JSON."""

import json
import os
import pty
import re
import select
import shlex
import shutil
import subprocess
import sys
import time
from functools import partial
from io import StringIO
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete, split_arg_string
from click.testing import CliRunner
from rich.console import Console

from grader.cli import cli
from grader.cli.class_progress import ClassProgress
from grader.report.progress import TerminalProgress

GRADE = Path(sys.executable).with_name("grade")
EXAMPLE = re.compile(r"^\s+(grade .+?)(?:\s{2,}.*)?$", re.MULTILINE)


def find_commands(
    command: click.Command = cli, path: tuple[str, ...] = ("grade",)
) -> list[tuple[str, click.Command]]:
    """Every command and group by what a user types."""
    found = [(" ".join(path), command)]
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found += find_commands(command.get_command(context, name), (*path, name))
    return found


COMMANDS = dict(find_commands())


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command as another program does."""
    return subprocess.run(
        [GRADE, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
        timeout=60,
    )


def test_python_m_grader():
    """`python -m grader` is the same command, with the same exit codes."""
    module = [sys.executable, "-m", "grader"]
    shown = subprocess.run([*module, "--version"], capture_output=True, text=True, check=True)
    assert shown.stdout == run("--version").stdout
    wrong = subprocess.run([*module, "/missing"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert "there is no directory" in wrong.stderr


def completion_script(shell: str) -> str:
    """Print the script as click's own mechanism does."""
    return run(_GRADE_COMPLETE=f"{shell}_source").stdout


def complete(line: str) -> list[tuple[str, str]]:
    """Kind and text of what completes a line that ends where the cursor is."""
    *words, begun = split_arg_string(line) + ([""] if line.endswith(" ") else [])
    shell = ShellComplete(cli, {}, "grade", "_GRADE_COMPLETE")
    return [(item.type, item.value) for item in shell.get_completions(words[1:], begun)]


def names(line: str) -> list[str]:
    """Return the completions of a line."""
    return [text for _, text in complete(line)]


@pytest.mark.parametrize("path", COMMANDS)
def test_help_has_examples(path: str):
    """Every command's help shows how it is used."""
    shown = CliRunner().invoke(cli, [*path.split()[1:], "--help"])
    assert shown.exit_code == 0
    assert "Examples:" in shown.output
    assert EXAMPLE.search(shown.output)


@pytest.mark.parametrize("path", COMMANDS)
def test_examples_options_exist(path: str):
    """An example that a user copies does not end in "no such option"."""
    for line in EXAMPLE.findall(COMMANDS[path].epilog or ""):
        for part in re.split(r" && | \| | > ", line):
            words = shlex.split(part)
            if words[0] == "grade":
                assert unknown_options(words[1:]) == []


def unknown_options(words: list[str]) -> list[str]:
    """The options of an example that its command does not have."""
    command: click.Command = cli
    known = {"--help"}
    for word in words:
        if isinstance(command, click.Group):
            chosen = command.get_command(click.Context(command), word)
            if chosen is None and command is cli and not word.startswith("-"):
                chosen = command.get_command(click.Context(command), "submission")
            command = chosen or command
        known.update(name for option in command.params for name in option.opts)
    return [word for word in words if word.startswith("-") and word not in known]


def test_unknown_option_found():
    """The test above would see a mistake."""
    assert unknown_options([".", "--quick", "--onyl", "2C"]) == ["--onyl"]


def test_completes_commands():
    """The names of commands come from a table."""
    assert names("grade do") == ["doctor"]
    assert {"submission", "batch", "doctor", "review"} <= set(names("grade "))


def test_completes_directories():
    """`grade DIR` is completed like any path; the shell knows the directories."""
    assert complete("grade my_") == [("dir", "my_")]
    assert complete("grade ./re") == [("dir", "./re")]


def test_completes_parts():
    """After a comma the next part begins; the case does not matter, and none comes twice."""
    assert "2C" in names("grade . --only ")
    assert names("grade . --only 2c") == ["2C"]
    assert names("grade batch class/ --only 2C,2") == [
        "2C,2A",
        "2C,2B",
        *names_of_2b(),
        "2C,2D",
        "2C,2E",
    ]
    assert names("grade . --only 3G.s") == ["3G.sweep"]


def names_of_2b() -> list[str]:
    """The items of a part that has several."""
    return ["2C,2B.image_size", "2C,2B.dataset_sizes", "2C,2B.text"]


def test_completes_assignments():
    """A bundled assignment by its name, an author's by its path."""
    assert names("grade . --assignment s") == ["set4"]
    assert complete("grade . --assignment mine") == [("file", "mine")]


def test_completing_runs_nothing(tmp_path: Path):
    """The parts of an author's file are not known without running it."""
    author = tmp_path / "mine.py"
    author.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    assert complete(f"grade . --assignment {author} --only 2") == []
    assert not (tmp_path / "ran").exists()


def test_completing_loads_no_torch():
    """A shell waits for every completion."""
    line = {
        "_GRADE_COMPLETE": "bash_complete",
        "COMP_WORDS": "grade . --only 2C",
        "COMP_CWORD": "3",
    }
    ended = subprocess.run(
        [sys.executable, "-X", "importtime", GRADE],
        capture_output=True,
        text=True,
        env={**os.environ, **line},
        check=False,
    )
    assert ended.stdout == "plain,2C\n"
    loaded = {entry.rpartition("|")[2].strip() for entry in ended.stderr.splitlines()}
    assert "grader.grading.pipeline" in loaded
    assert "torch" not in loaded


class Bash:
    """An interactive bash in a terminal of its own, with the completion script loaded.

    Args:
        directory: where it starts.
    """

    def __init__(self, directory: Path) -> None:
        self._terminal, theirs = pty.openpty()
        environment = {
            "PATH": f"{GRADE.parent}:{os.environ['PATH']}",
            "HOME": str(directory),
            "TERM": "dumb",
            "PS1": "$ ",
            "INPUTRC": "/dev/null",
        }
        self._process = subprocess.Popen(
            ["bash", "--norc", "--noprofile", "-i"],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=directory,
            env=environment,
            start_new_session=True,
        )
        os.close(theirs)
        line = 'eval "$(_GRADE_COMPLETE=bash_source grade)"'  # as in README.md and `grade --help`
        self.type(f"{line}; echo rea''dy\n", until="ready")

    def type(self, keys: str, *, until: str) -> str:
        """Press keys and return what the terminal shows from then on up to a text."""
        os.write(self._terminal, keys.encode())
        shown = ""
        deadline = time.monotonic() + 30
        while until not in shown:
            ready, _, _ = select.select([self._terminal], [], [], deadline - time.monotonic())
            assert ready, f"{until!r} did not come up, but {shown!r}"
            shown += os.read(self._terminal, 4096).decode()
        return shown

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        os.close(self._terminal)


@pytest.fixture
def bash(tmp_path: Path):
    """A bash in a directory that holds a submission."""
    (tmp_path / "my_work").mkdir()
    shell = Bash(tmp_path)
    yield shell
    shell.close()


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")
def test_tab_in_bash(bash: Bash):
    """A real bash completes a command, a directory, an option and a part."""
    bash.type("grade doc\t", until="doctor ")
    bash.type("\x15grade my\t", until="my_work/")
    bash.type(" --prac\t", until="--practice ")
    bash.type("--only 2C,3G.sw\t", until="2C,3G.sweep ")


@pytest.mark.skipif(not shutil.which("fish"), reason="fish is not installed")
@pytest.mark.parametrize(
    ("line", "completed"),
    [("grade doc", "doctor"), ("grade . --only 2C,3G.sw", "2C,3G.sweep"), ("grade my", "my_work/")],
)
def test_tab_in_fish(line: str, completed: str, tmp_path: Path):
    """A real fish completes a command, a part in a list, and a directory."""
    (tmp_path / "my_work").mkdir()
    (tmp_path / "script").write_text(completion_script("fish"))
    program = "source script; complete --do-complete $argv[1]"
    ended = subprocess.run(
        ["fish", "--no-config", "-c", program, line],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{GRADE.parent}:{os.environ['PATH']}"},
        check=True,
        timeout=60,
    )
    assert [found.partition("\t")[0] for found in ended.stdout.splitlines()] == [completed]


@pytest.mark.parametrize(
    ("shell", "check"),
    [("bash", ["bash", "-n"]), ("zsh", ["zsh", "-n"]), ("fish", ["fish", "--no-execute"])],
)
def test_script_of_each_shell(shell: str, check: list[str], tmp_path: Path):
    """The line that `grade --help` names prints a script of the shell."""
    assert f"_GRADE_COMPLETE={shell}_source grade" in run("--help").stdout
    script = completion_script(shell)
    assert f"_GRADE_COMPLETE={shell}_complete" in script
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed, so its syntax cannot be checked")
    (tmp_path / "script").write_text(script)
    subprocess.run([*check, tmp_path / "script"], check=True, timeout=20)


def test_fish_keeps_commas():
    """A completed list of parts contains commas, at which click's own script for fish would cut."""
    assert 'string split --max 1 ","' in completion_script("fish")


def test_json_of_the_cache(tmp_path: Path):
    """An empty cache, for another program."""
    shown = run("cache", "info", "--json", XDG_CACHE_HOME=str(tmp_path))
    assert json.loads(shown.stdout) == {
        "directory": str(tmp_path / "sequential-grader" / "runs"),
        "entries": 0,
        "size_bytes": 0,
    }


@pytest.mark.parametrize(("terminal", "live"), [(False, False), (True, True)])
@pytest.mark.parametrize("kind", [partial(TerminalProgress, verbose=False), ClassProgress])
def test_no_bar_in_a_pipe(kind, *, terminal: bool, live: bool):
    """A pipe and a log get plain lines; a terminal gets a live bar."""
    shown = StringIO()
    with kind(Console(file=shown, force_terminal=terminal), quiet=False) as progress:
        progress.stage("training")
    assert "training …" in shown.getvalue()
    assert ("\x1b[" in shown.getvalue()) is live


def in_a_terminal(*arguments: str, **environment: str) -> str:
    """Return both outputs of a command that runs in a terminal."""
    terminal, theirs = pty.openpty()
    changed = {"TERM": "xterm-256color", **environment}
    kept = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    with subprocess.Popen(
        [GRADE, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env={**kept, **changed}
    ):
        os.close(theirs)
        shown = b""
        while True:
            try:
                shown += os.read(terminal, 4096)
            except OSError:  # the other end is closed
                break
    os.close(terminal)
    return shown.decode()


COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-7][0-9;]*m")


def test_no_color(tmp_path: Path):
    """https://no-color.org: colour is left out, whatever the terminal can do."""
    wrong = ("diff", "--output", str(tmp_path))
    assert COLOUR.search(in_a_terminal(*wrong))
    assert not COLOUR.search(in_a_terminal(*wrong, NO_COLOR="1"))


def test_mistyped_command():
    """A word that is nearly a command, and no directory, is not taken for a submission."""
    wrong = run("bacth")
    assert wrong.returncode == 2
    assert "no command and no directory 'bacth'; did you mean 'batch'?" in wrong.stderr
