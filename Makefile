# One command for each job. `make help` lists them; every target makes the .venv that it needs.

VENV    ?= .venv
# Tests wait for disks and for time as well: one more than the processors of a small machine.
WORKERS ?= 3
ARGS    ?=
export PYTHON
# Where Python may not keep what it compiled, each worker and each process that a test starts compiles it all again.
unexport PYTHONDONTWRITEBYTECODE

PY      := $(VENV)/bin/python
PIP     := -m pip --disable-pip-version-check --quiet
RUN     := $(VENV)/.installed-run
DEV     := $(VENV)/.installed-dev
FUZZ    := $(VENV)/.installed-fuzz
SETUP   := pyproject.toml tools/venv.sh

WHEEL_VENV := build/wheel-venv
WHEEL_PY   := $(WHEEL_VENV)/bin/python

# An environment that lost its interpreter, or that was made for a checkout elsewhere, is installed again.
ifneq ($(shell test -x $(PY) && cat $(RUN) 2>/dev/null),$(CURDIR))
.PHONY: $(RUN) $(DEV) $(FUZZ)
endif

.DEFAULT_GOAL := help
.PHONY: help venv azurite demo test check lint types layers format bench coverage soak mutate fuzz wheel-test clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "  PYTHON=/path/to/python chooses the interpreter; ARGS=… goes to pytest, and to what else a target runs"

$(RUN): $(SETUP)
	@echo "setting up $(VENV)"
	@tools/venv.sh $(VENV)
	@$(PY) $(PIP) install --editable .
	@echo "$(CURDIR)" > $@

$(DEV): $(SETUP)
	@echo "setting up $(VENV), with the tools for development"
	@tools/venv.sh $(VENV)
	@$(PY) $(PIP) install --editable ".[dev]"
	@echo "$(CURDIR)" > $(RUN)
	@echo "$(CURDIR)" > $@

$(FUZZ): $(DEV)
	@$(PY) $(PIP) install --editable ".[dev,fuzz]"
	@touch $@

venv: $(DEV) ## make .venv, with gitreg (editable) and every tool in it
	@echo "$(VENV) is ready"

azurite: ## bring the local Azure that tests start, where npm is there
	@npm install --prefix build/azurite --no-audit --no-fund --silent azurite@3.37.0

demo: $(RUN) ## run the main job: register, push, refuse, deploy, roll back
	@$(PY) -m gitreg demo $(ARGS)

test: $(DEV) ## run every test (ARGS="tests/unit -k name" for some)
	@$(PY) -m pytest -n $(WORKERS) $(ARGS)

check: lint types layers ## everything that reads the code without running it

lint: $(DEV) ## ruff: rules and format
	@$(PY) -m ruff check
	@$(PY) -m ruff format --check

types: $(DEV) ## mypy --strict on src and tests
	@$(PY) -m mypy

layers: $(DEV) ## import-linter: the floors of the architecture
	@$(VENV)/bin/lint-imports --no-logo

format: $(DEV) ## rewrite the code as ruff would have it
	@$(PY) -m ruff check --fix
	@$(PY) -m ruff format

bench: $(DEV) ## benchmarks: ratios against a floor measured in the same run
	@$(PY) -m benchmarks $(ARGS)

coverage: $(DEV) ## the tests with branch coverage
	@$(PY) -m pytest -n $(WORKERS) --cov --cov-report=term $(ARGS)

soak: $(DEV) ## the gate against its oracle for long (ARGS="--pushes 100000"), and every attack on it and on git alone
	@GITREG_SOAK=1 $(PY) -m pytest -n $(WORKERS) --quiet tests/attacks
	@$(PY) -m tests.differential --workers $(WORKERS) $(ARGS)

mutate: $(DEV) ## change the judgement place by place: does a test fail? (ARGS="gate/judge.py")
	@$(PY) tools/mutate.py --workers $(WORKERS) $(ARGS)

fuzz: $(FUZZ) ## fuzz what reads a pusher's bytes (ARGS="yaml --seconds 600")
	@$(PY) -m fuzz $(ARGS)

wheel-test: $(DEV) ## build the wheel, install it elsewhere, run the tests against it
	@rm -rf build/dist
	@$(PY) -m build --quiet --wheel --outdir build/dist .
	@tools/venv.sh $(WHEEL_VENV)
	@$(WHEEL_PY) $(PIP) install --force-reinstall --no-deps build/dist/*.whl
	@$(WHEEL_PY) $(PIP) install "$$(echo build/dist/*.whl)[dev]"
	@env -u PYTHONPATH $(WHEEL_PY) -m pytest -n $(WORKERS) --installed-wheel $(ARGS)

clean: ## remove what the other targets made
	rm -rf $(VENV) build dist htmlcov .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache \
	  .import_linter_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
