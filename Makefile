# The few commands of a working day. Each sets up what it needs and does nothing twice.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export VMPOD_TEST_KUBECTL ?= $(CURDIR)/.cache/kubectl

.PHONY: help setup packages schemas check test demo demo-down bench clean
help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

packages:  ## system packages that are missing (apt or dnf; elsewhere a list)
	@scripts/packages

$(VENV)/.ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "cannot set up: Python 3.11 or newer is needed")'
	@$(PYTHON) -m venv $(VENV)
	@scripts/timed "pip" $(BIN)/python -m pip install --quiet --disable-pip-version-check "pip>=25.1"
	@scripts/timed "Python packages" $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable . --group dev
	@touch $@

schemas: $(VENV)/.ready  ## the published API schemas, as data
	@$(BIN)/python scripts/schemas

setup: packages $(VENV)/.ready schemas  ## everything that running from a checkout needs
	@$(BIN)/python -m compileall -q src

check: $(VENV)/.ready schemas  ## lint, types and import contracts
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --config importlinter.ini

.cache/kubectl: scripts/kubectl
	@mkdir -p .cache
	@$(PYTHON) scripts/kubectl $@

test: setup .cache/kubectl  ## all tests: unit, component, and those with real podman, QEMU and kubectl
	@scripts/packages --tests
	@scripts/images
	$(BIN)/python -m pytest $(ARGS)

demo: setup  ## the shop: a virtual machine and containers, up together
	@scripts/demo

demo-down:  ## remove all that the demo made
	@scripts/demo --down

bench: setup .cache/kubectl  ## the budgets, beside the bare tools in the same run
	@scripts/images
	@$(BIN)/python scripts/bench
	@$(BIN)/python scripts/bench-machines
	@$(BIN)/python scripts/bench-imports

clean:  ## remove what this Makefile made in the checkout
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis
