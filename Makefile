# make demo: the whole pipeline on a synthetic world.   make test: every check.   make quick: the fast ones.
# Each creates .venv and installs what constraints.txt pins.

PYTHON ?= python3
BIN := .venv/bin
QUICK := tests/base tests/clean tests/datasets tests/paper tests/test_app.py tests/test_docs.py

# Most of what a test's subprocess takes is compiling torch anew, where nothing keeps the bytecode.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo lint style types quick test tests docs clean

demo: .venv/installed
	$(BIN)/vlmt demo

lint: style types

style: .venv/installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports --no-cache

types: .venv/installed
	$(BIN)/mypy

quick: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(QUICK)

test: lint tests

tests: .venv/compiled
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest

docs: .venv/installed
	$(BIN)/python docs/make_cli.py

clean:
	rm -rf .venv demo dist

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt --editable '.[all,dev,daft]'
	touch $@

# Once, as else each of the processes that test would compile the same thousands of modules at the same time.
.venv/compiled: .venv/installed
	-$(BIN)/python -m pytest --numprocesses=0 --collect-only -qq >/dev/null
	touch $@
