# Everything runs in .venv, which the first command makes. PYTHON chooses the interpreter.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-all check bench format clean

demo: .venv/installed  ## Grade the reference solution on the practice data.
	$(BIN)/grade reference --practice

test: .venv/installed  ## The tests, in at most 6 minutes on 2 cores.
	$(BIN)/pytest -m "not slow"

test-all: .venv/installed  ## The slow tests too.
	$(BIN)/pytest

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

clean:
	rm -rf .venv reports/*/

.venv/installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@
