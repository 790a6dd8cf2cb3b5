# Everything runs in .venv, which the first command makes. PYTHON chooses the interpreter.
# The versions are those of CONSTRAINTS; with CONSTRAINTS= they are the newest.
PYTHON ?= python3
CONSTRAINTS ?= constraints.txt
BIN := .venv/bin

.PHONY: demo test test-all redteam check bench format filters notebooks tables lock clean

demo: .venv/installed  ## Grade the reference solution on the practice data.
	$(BIN)/grade reference --practice

test: .venv/installed  ## The tests without the slow ones, in two processes.
	$(BIN)/pytest -m "not slow" -n 2 --dist loadfile

test-all: .venv/installed  ## The slow tests too.
	$(BIN)/pytest

redteam: .venv/installed  ## The attacks on the sandbox, and on a whole grading.
	$(BIN)/pytest -m slow tests/redteam

check: .venv/installed  ## Style, types, module boundaries, and the workflows' safety.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/zizmor --offline --no-progress --pedantic action.yml .github student_template/.github

bench: .venv/installed  ## Speed, side by side with the course's own loop.
	$(BIN)/python -m benchmarks

format: .venv/installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

filters: .venv/installed  ## The sandbox's system call filters, from tools/seccomp_filter.py.
	$(BIN)/python -m tools.seccomp_filter

notebooks: .venv/installed  ## The student template's notebooks, from its Python files.
	$(BIN)/python -m tools.template_notebooks

tables: .venv/installed  ## The tables of docs/authoring.md, from the records.
	$(BIN)/python -m tools.authoring_tables

lock:  ## constraints.txt, from the newest versions.
	$(PYTHON) -m venv --clear .venv/lock
	.venv/lock/bin/python -m pip install --quiet hatchling --editable '.[dev,fuzz]'
	.venv/lock/bin/python tools/lock.py > constraints.txt
	rm -r .venv/lock

clean:
	rm -rf .venv reports/*/

# Variables, not `-c`, so that they hold for the build's own requirements too: pip reads the first
# of them up to version 25.2, the second from 25.3 on.
.venv/installed: export PIP_CONSTRAINT = $(CONSTRAINTS)
.venv/installed: export PIP_BUILD_CONSTRAINT = $(CONSTRAINTS)
.venv/installed: pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@
