# Every verb of the project; `make` alone lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
ROOMS := domain infra projections workers api

.PHONY: help
help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: install
install: $(INSTALLED) ## a .venv with the dealtrace command; does nothing when nothing changed

$(INSTALLED): pyproject.toml constraints.txt
	@command -v "$(PYTHON)" >/dev/null || { \
		echo "error: $(PYTHON) was not found. Install Python 3.11 or newer, or say make PYTHON=/path/to/python3." >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "error: Python 3.11 or newer is needed; $(PYTHON) is $$("$(PYTHON)" -V 2>&1). Say make PYTHON=/path/to/python3." >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "error: this Python lacks the venv module. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@echo "Installing into $(VENV) ..."
	@"$(PYTHON)" -m venv --clear $(VENV)
	@umask 022; $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[kafka,tracing,dev]'
	@touch $@

.PHONY: run
run: install ## start everything: PostgreSQL, demonstration data, API and projections
	@exec $(BIN)/dealtrace run

.PHONY: test
test: install ## the whole suite against real PostgreSQL (ARGS="-k words" narrows it)
	@$(BIN)/python -m pytest $(ARGS)

.PHONY: test-oldest
test-oldest: install ## the same on a PostgreSQL 15 of its own, where Debian's package is installed
	@$(BIN)/python -m tests.postgresql_15 $(ARGS)

.PHONY: check
check: install ## format, lint, types, import rules, dependency audit
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python .ci/audit.py

.PHONY: bench
bench: install ## measure against the peers, in this run, on this machine
	@$(BIN)/python -m tests.benchmarks $(ARGS)

.PHONY: soak
soak: install ## schedules of faults against the running program (SEEDS=0-499; stopped, it goes on)
	@mkdir -p build
	@$(BIN)/python -m tests.soak --seeds $(or $(SEEDS),0-499) --results build/soak.jsonl $(ARGS)

.PHONY: format
format: install ## rewrite the code the way check wants it
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

.PHONY: docs
docs: install ## write the generated pages of docs/ anew
	@$(BIN)/python -m infra.settings > docs/configuration.md
	@$(BIN)/python -c 'from domain.event_catalogue import event_reference as page; print(page(), end="")' > docs/events.md
	@$(BIN)/python -m api.problems > docs/problems.md
	@$(BIN)/python -m api.reference > docs/api/reference.md
	@$(BIN)/python -m api.metrics > docs/metrics.md

.PHONY: pins
pins: ## renew constraints.txt with the newest versions that pyproject.toml allows
	@work=$$(mktemp -d); trap 'rm -rf "$$work"' EXIT; \
	"$(PYTHON)" -m venv "$$work/venv"; \
	"$$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable '.[kafka,tracing,dev]'; \
	{ sed -n '/^#/p' constraints.txt; \
	  "$$work/venv/bin/python" -m pip freeze --exclude-editable | sort -f; } > "$$work/pins"; \
	cp "$$work/pins" constraints.txt

.PHONY: clean
clean: ## remove the environment and every cache; the data in .dealtrace stays
	@rm -rf $(VENV) build dist *.egg-info .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find $(ROOMS) tests -name __pycache__ -type d -prune -exec rm -rf {} +
