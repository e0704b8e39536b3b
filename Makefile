# Every target works on a machine that has python3 (3.11 or newer, with pip), make and git:
# no compiler, no ensurepip, and no permission to install anything outside this folder.

PYTHON   ?= python3
BIN      := .venv/bin
PACKAGES := machine pubsub history graph simulations asyncmachine
# Libraries that hardly anything imports, and so are not worth compiling beforehand.
RARE     := /(networkx|pygments|mypy|mypyc|schemathesis|graphql|werkzeug|playwright|pyarrow|grpc|tests?)/
# Folders that are code to check, though no packages to ship.
LOOSE    := $(sort $(dir $(wildcard tests/*.py examples/*.py benchmarks/*.py)))

.DEFAULT_GOAL := help
.PHONY: help demo test lint format bench experiments clean

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

demo: .venv/ready  ## replay four days of flights, a peer for each airport (DEMO="--speed max" for options)
	$(BIN)/am demo $(DEMO)

# Sets have an order that the seed decides, as all else that is random.
test: .venv/ready  ## run the tests on all cores (narrow them down with PYTEST_ADDOPTS='-k word')
	PYTHONHASHSEED=$${PYTHONHASHSEED:-$${AM_SEED:-20130207}} $(BIN)/python -m pytest -n auto --dist worksteal

lint: .venv/ready  ## formatting, rules, types, floors
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy $(PACKAGES) $(LOOSE)
	$(BIN)/lint-imports

format: .venv/ready  ## let ruff write what lint would only complain about
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

bench: .venv/bench  ## run every script under benchmarks/ in turn
	@for script in $$(grep -ls __main__ benchmarks/*.py); do \
		echo "== $$script"; $(BIN)/python $$script || exit; \
	done

experiments: .venv/ready  ## run the experiments again, for hours, and write docs/experiments/ (EXPERIMENTS=--quick: minutes)
	$(BIN)/am sim experiments $(EXPERIMENTS)

clean:  ## remove the environment and what tools left behind
	rm -rf .venv build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache sim-outcomes
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# `python -m venv` alone fails where ensurepip was taken out, so the outer pip reaches in and
# installs uv, which alone can override a dependency's pin (see tool.uv in pyproject.toml).
# A target of its own: once uv is inside, a change of pyproject.toml needs no outer pip, and so
# `make` also works from within the activated environment, which has none.
$(BIN)/uv:
	$(PYTHON) -m venv --without-pip .venv
	$(PYTHON) -m pip --quiet --python $(BIN)/python install uv

# Not `uv sync`: it would remove uv itself.
# Compiled here and once: a process that may not write bytecode compiles all that it imports anew, which takes a second.
# libp2p wants trio-typing, which brings types of a trio of years ago; mypy would take those for trio's own.
.venv/ready: pyproject.toml | $(BIN)/uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --editable . --group dev
	rm -rf .venv/lib/python3*/site-packages/trio-stubs
	-$(BIN)/python -m compileall -qq -j 0 -x '$(RARE)' .venv/lib
	touch $@

.venv/bench: .venv/ready
	$(BIN)/uv pip install --quiet --python $(BIN)/python --group bench
	touch $@
