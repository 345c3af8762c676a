# make demo: the whole pipeline on a drawn world.   make test: everything that must hold.
# Both create .venv and install what constraints.txt pins.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test docs clean

demo: .venv/installed
	$(BIN)/vlmt demo

test: .venv/installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest

docs: .venv/installed
	$(BIN)/python docs/make_cli.py

clean:
	rm -rf .venv demo dist

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt --editable '.[all,dev]'
	touch $@
