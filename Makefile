# Every check is one command, the same here and in CI. `make help` lists them.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
# What is installed in it: dev, or oldest.
PINS   ?= dev
# One more than two cores: a test often only waits.
JOBS   ?= 3
# Size of the rehearsal database.
SCALE  ?= 50MB

# Without compiled bytecode every start of Ansible costs 0.3 s more.
unexport PYTHONDONTWRITEBYTECODE
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help rehearse test slow oldest lint sanity proof proof-all bench docs lock clean

help: ## Show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

rehearse: $(VENV)/.rehearsal ## Break a stand-in of Roost, restore its database with the real runbook, prove it
	@$(BIN)/runbook rehearse roost database-failure --scale $(SCALE)

test: $(VENV)/.$(PINS) ## All tests that fit into ten minutes on two cores
	@$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m "not slow" --durations=15 --durations-min=5

slow: $(VENV)/.$(PINS) ## The slow tests too (an hour and more)
	@$(BIN)/python -m pytest -n $(JOBS) --dist worksteal

oldest: ## The tests of `make test` with the oldest Ansible that is supported
	@$(MAKE) VENV=.cache/oldest PINS=oldest test

proof: FAULTS = --essential
proof: rehearse-many ## Each runbook of each system: every mitigation and kind of fault, undone, killed at each step

proof-all: FAULTS = --all
proof-all: rehearse-many ## The same with every fault there is (an hour)

.PHONY: rehearse-many
rehearse-many: SCALE = 10MB
# Twice as many as there are cores: a rehearsal often only waits.
rehearse-many: JOBS = 4
rehearse-many: $(VENV)/.rehearsal
	@mkdir -p reports; proved=0; \
	$(BIN)/runbook rehearse $(FAULTS) --control --undo --abort-each --jobs $(JOBS) --scale $(SCALE) \
	  --report reports/rehearsals.html || proved=$$?; \
	$(BIN)/runbook proof && exit $$proved

lint: $(VENV)/.dev ## Style, types, YAML, Ansible
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/yamllint --strict .
	@$(BIN)/ansible-lint

sanity: $(VENV)/.dev ## ansible-test sanity over the collection
	@tests/sanity.sh

bench: $(VENV)/.dev ## Paired measurements, printed as ratios (minutes)
	@$(BIN)/python tests/benchmarks/run.py

docs: $(VENV)/.dev ## Write the pages that are made from the code
	@$(BIN)/python tests/contract/module_pages.py
	@$(BIN)/python tests/contract/role_tables.py

lock: $(VENV)/.dev ## Resolve and pin the requirements again, with hashes and without index hosts
	@for extra in "" rehearsal dev; do \
	  $(BIN)/uv pip compile --quiet --upgrade pyproject.toml requirements/build.in $${extra:+--extra $$extra} \
	    --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate \
	    --python-version 3.11 --universal --output-file requirements/$${extra:-core}.txt; \
	done
	@$(BIN)/uv pip compile --quiet --upgrade requirements/oldest.in --no-deps \
	  --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate \
	  --python-version 3.11 --universal --output-file requirements/oldest.txt

clean: ## Remove everything that make made
	@rm -rf $(VENV) .cache build dist

# The virtual environment, and what is installed in it: one stamp per set of requirements.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "$(PYTHON) is older than 3.11. Next: install Python 3.11 or newer, then 'make PYTHON=python3.11 $(MAKECMDGOALS)'."; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "$(PYTHON) cannot make a virtual environment. Next: install the package python3-venv, then run make again."; exit 2; }

# In place of what .dev has installed.
$(VENV)/.oldest: $(VENV)/.dev

$(VENV)/.%: requirements/%.txt pyproject.toml | $(BIN)/python
	@echo "Installing requirements/$*.txt into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement $<
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $@
