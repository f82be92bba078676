# Run `make` for a list of the targets. Requirements: Python 3.11 or later, and make.
PYTHON ?= python3
BIN := .venv/bin
# Markers of what is installed in .venv: the service and the demo; then also the tests and the static checks.
DEMO := .venv/.demo
ALL := .venv/.all
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check --require-virtualenv

.DEFAULT_GOAL := help
.PHONY: help install demo run manage serve web worker test test-fast browser pgbouncer screenshots model schemathesis chaos \
  chaos-mutations bench bench-pages lint format types migrations-check clean
MAKEFLAGS += --no-print-directory

help:  ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 26

install: $(ALL)  ## Install all pinned requirements into .venv (each target installs what it needs by itself)
	@:

# A new .venv for each change, so that it holds the pinned packages and no others.
$(DEMO): requirements/constraints.txt requirements/production.txt requirements/demo.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "$(PYTHON) is not Python 3.11 or later. Name one that is: make PYTHON=python3.12" >&2; exit 1; }
	@echo "Installing the service and the demo into .venv ..."
	@$(PYTHON) -m venv --clear .venv
	@$(PIP) -r requirements/demo.txt
	@touch $@

# Added to the .venv of the demo. If the marker exists here, a pin of this level has changed: start with a new .venv.
$(ALL): $(DEMO) requirements/test.txt requirements/lint.txt
	@if [ -e $@ ]; then rm $@ $(DEMO); $(MAKE) $(DEMO); fi
	@echo "Installing the tests and the static checks into .venv ..."
	@$(PIP) -r requirements/test.txt -r requirements/lint.txt
	@touch $@

demo: $(DEMO)  ## Run the main job on embedded services and show the results: takes about a minute, then exits
	@exec $(BIN)/python -m devstack demo

run: $(DEMO)  ## Start the same stack and keep it running, with web pages; Ctrl-C stops it
	@exec $(BIN)/python -m devstack run

manage: $(DEMO)  ## Run a manage.py command on the stack of `make run` (ARGS="createclient shop --callback-url …")
	@exec $(BIN)/python -m devstack manage $(ARGS)

serve: $(DEMO)  ## Start the web server and a worker on the given DATABASE_URL, BROKER_URL and PORT
	@exec $(BIN)/python -m devstack serve

web: $(DEMO)  ## Start only the web server, in the foreground
	@exec $(BIN)/python -m devstack web

worker: $(DEMO)  ## Start only a worker, in the foreground
	@exec $(BIN)/python -m devstack worker

test: $(ALL)  ## Run all tests and list the slowest (a part of them: make test ARGS=tests/devstack)
	@exec $(BIN)/python -m pytest $(ARGS)

test-fast: $(ALL)  ## Run about 2,300 tests in a minute: without those marked slow (browser, chaos, e2e, admin, staff, races …)
	@exec $(BIN)/python -m pytest -m "not slow" $(ARGS)

# Uses Debian's Chromium because Playwright's own builds are not available everywhere; the fonts make pages look as usual.
browser:  ## Install the requirements of the browser tests: Chromium and npm by apt-get if missing, axe-core by npm
	@missing=$$(command -v chromium >/dev/null || echo chromium fonts-liberation; command -v npm >/dev/null || echo npm); \
	[ -z "$$missing" ] || command -v apt-get >/dev/null || { echo "apt-get not found. Install $$missing yourself" >&2; exit 1; }; \
	[ -z "$$missing" ] || { apt-get update -qq && apt-get install -qq -y --no-install-recommends $$missing; }
	@npm ci --prefix tests/browser --loglevel=error --no-audit --no-fund

pgbouncer:  ## Install PgBouncer for its tests, by apt-get if it is missing
	@PATH=$$PATH:/usr/sbin; command -v pgbouncer >/dev/null || { apt-get update -qq && apt-get install -qq -y --no-install-recommends pgbouncer; }

screenshots: $(ALL)  ## Create docs/screenshots again, about 4 minutes; requires `make browser`
	@exec $(BIN)/python -m tests.browser.screenshots

model: $(ALL)  ## Test the status rules against a reference model with MODEL_EXAMPLES (1000) random sequences
	@MODEL_EXAMPLES=$${MODEL_EXAMPLES:-1000} exec $(BIN)/python -m pytest tests/model --capture=tee-sys -q $(ARGS)

schemathesis: $(ALL)  ## Test the API with more than 2,000 requests generated from its schema (ARGS="--seed 7")
	@exec $(BIN)/python -m tests.schema $(ARGS)

chaos: $(ALL)  ## Inject faults under load, then compare all records: about 5 minutes (ARGS="--seed 7 --count 2000")
	@exec $(BIN)/python -m tests.chaos $(ARGS)

chaos-mutations: $(ALL)  ## Check that chaos finds planted bugs: one short run for each (a part of them: ARGS="NAME …")
	@exec $(BIN)/python -m tests.chaos.mutations $(ARGS)

bench: $(ALL)  ## Measure the cost of a million waiting transactions: some minutes (ARGS="--waiting 100000")
	@exec $(BIN)/python -m tests.bench.waiting $(ARGS)

bench-pages: $(ALL)  ## Measure the staff pages with a million transactions: some minutes (ARGS="--rows 100000")
	@exec $(BIN)/python -m tests.bench.pages $(ARGS)

lint: $(ALL)  ## Check style and likely mistakes (ruff), and which package imports which (import-linter)
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --diff .
	@$(BIN)/lint-imports --no-cache

format: $(ALL)  ## Format the code and fix what can be fixed automatically (ruff)
	@$(BIN)/ruff check --quiet --fix .
	@$(BIN)/ruff format .

types: $(ALL)  ## Check types (mypy, strict)
	@$(BIN)/python -m devstack exec $(BIN)/mypy .

migrations-check: $(DEMO)  ## Check that every model change has a migration
	@$(BIN)/python -m devstack exec $(BIN)/python manage.py makemigrations --check --dry-run

clean:  ## Remove .venv, .data and the caches of the tools
	@if [ -x $(BIN)/python ]; then $(BIN)/python -m devstack clean; fi
	@rm -rf .venv .data .mypy_cache .pytest_cache .ruff_cache .hypothesis tests/browser/node_modules
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
