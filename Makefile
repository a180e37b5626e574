# Two commands are enough for a newcomer: `make demo` and `make test`.

PYTHON  ?= python3
VENV    := .venv
BIN     := $(VENV)/bin
EVENTS  ?=
ARGS    ?=
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help install demo test lint types bench docs clean

help:  ## say what can be made
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

install: $(VENV)/.installed  ## make .venv with everything that the service needs

demo: install  ## run everything on this machine and watch it learn [EVENTS=file.csv] [ARGS=…]
	@$(BIN)/freshet demo $(if $(EVENTS),--events "$(EVENTS)") $(ARGS)

test: $(VENV)/.installed-test  ## run every test [ARGS=…] [WORKERS=n]
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(VENV)/.installed-test  ## check style, format and what may import what
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports

types: $(VENV)/.installed-test  ## check types, tests included
	@$(BIN)/mypy

bench: $(VENV)/.installed-test  ## run the benchmarks and print ratios [ARGS=…]
	@$(BIN)/python -m benchmarks $(ARGS)

docs: $(VENV)/.installed-test  ## write the settings table anew and check what the guides claim
	@$(BIN)/python -m service.cli.reference
	@$(BIN)/python -m pytest tests/service/cli/test_documentation.py --durations=0

clean:  ## remove the environment and caches (data in .freshet stays)
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "freshet needs Python 3.11 or newer and '$(PYTHON)' is older, or is not there."; \
	  echo "Name another one: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
	  echo "'$(PYTHON) -m venv' failed; on Debian and Ubuntu: apt install python3-venv"; exit 1; }

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing into $(VENV) (the first time takes a few minutes)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-test: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing into $(VENV), with what the tests need (the first time takes a few minutes)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@ $(VENV)/.installed
