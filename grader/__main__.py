"""Start the command away from the caller's directory, which may hold a student's files.

A library with an empty entry in its search path, matplotlib and Python itself read files of the
current directory. So nothing else is imported before the process has left it.
"""

import os
import sys

_PATHS = ("GRADER_DATA", "TMPDIR", "XDG_CACHE_HOME")
"""Variables that may hold a path relative to the caller's directory."""
_SEARCHED = ("LD_LIBRARY_PATH", "PYTHONPATH")
"""Lists of directories; the loader and Python take an empty or relative one for the current."""
_REMOVED = ("LD_PRELOAD", "LD_AUDIT", "MATPLOTLIBRC", "MPLCONFIGDIR", "PYTHONSTARTUP")


def main() -> None:
    """Run the command; Ctrl-C ends it even while it loads."""
    try:
        _main()
    except KeyboardInterrupt:
        sys.stderr.write("stopped before anything was graded\n")
        sys.exit(130)


def _main() -> None:
    """Leave the caller's directory, then run the command."""
    caller = os.getcwd()  # noqa: PTH109  # pathlib is not imported yet
    sys.path[:] = filter(os.path.isabs, sys.path)
    _clean_environment()
    os.chdir(os.path.splitdrive(caller)[0] + os.sep)
    from grader.cli import main as run  # noqa: PLC0415
    from grader.cli.caller import remember  # noqa: PLC0415
    from grader.cli.interrupt import end_commands_in_time  # noqa: PLC0415

    end_commands_in_time()
    remember(caller)
    run()


def _clean_environment() -> None:
    """Let no variable name the caller's directory, for this process and its children."""
    environment = os.environ
    for name in _PATHS:
        if environment.get(name):
            environment[name] = os.path.abspath(environment[name])  # noqa: PTH100
    for name in _SEARCHED:
        if name in environment:
            entries = environment[name].split(os.pathsep)
            environment[name] = os.pathsep.join(filter(os.path.isabs, entries))
    for name in _REMOVED:
        environment.pop(name, None)


if __name__ == "__main__":
    if not sys.flags.safe_path:
        # `python -m` puts the current directory first. `grader` itself was found before this line,
        # so the documentation says `grade`, or `python -P -m grader`.
        del sys.path[0]
    main()
