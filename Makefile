# `make` lists the targets. Python 3.11 or later and make are all they need.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo run manage test browser model schemathesis chaos chaos-mutations bench serve web worker lint format types migrations-check clean bench-pages screenshots
MAKEFLAGS += --no-print-directory

help:  ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 26

install: $(INSTALLED)  ## Create .venv from the pinned requirements (every target does so when need be)
	@:

# Made anew each time, so that it holds what requirements/ names and nothing else.
$(INSTALLED): $(wildcard requirements/*.txt)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "This needs Python 3.11 or later as $(PYTHON), or named: make PYTHON=python3.12" >&2; exit 1; }
	@echo "Installing the pinned requirements into .venv ..."
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-virtualenv -r requirements/dev.txt
	@touch $@

demo: $(INSTALLED)  ## Show the whole thing at work on embedded services: about a minute, then it exits
	@exec $(BIN)/python -m devstack demo

run: $(INSTALLED)  ## The same stack, staying up, with pages to open; Ctrl-C ends it
	@exec $(BIN)/python -m devstack run

manage: $(INSTALLED)  ## A manage.py command on the stack that `make run` keeps up (ARGS="createclient shop --callback-url …")
	@exec $(BIN)/python -m devstack manage $(ARGS)

test: $(INSTALLED)  ## Run all tests (some: make test ARGS=tests/devstack)
	@exec $(BIN)/python -m pytest $(ARGS)

# Debian's Chromium, for Playwright's own builds are not to be had everywhere; fonts, so that pages look as they should.
browser:  ## Install what the tests in a browser need: Chromium and npm by apt-get where missing, axe-core by npm
	@missing=$$(command -v chromium >/dev/null || echo chromium fonts-liberation; command -v npm >/dev/null || echo npm); \
	[ -z "$$missing" ] || command -v apt-get >/dev/null || { echo "Install $$missing: there is no apt-get here" >&2; exit 1; }; \
	[ -z "$$missing" ] || { apt-get update -qq && apt-get install -qq -y --no-install-recommends $$missing; }
	@npm ci --prefix tests/browser --loglevel=error --no-audit --no-fund

screenshots: $(INSTALLED)  ## Make the pictures in docs/screenshots anew, after `make browser`: some 4 minutes
	@exec $(BIN)/python -m tests.browser.screenshots

model: $(INSTALLED)  ## Try the status rules for longer: MODEL_EXAMPLES=1000 random lives, compared with a small reference
	@MODEL_EXAMPLES=$${MODEL_EXAMPLES:-1000} exec $(BIN)/python -m pytest tests/model --capture=tee-sys -q $(ARGS)

schemathesis: $(INSTALLED)  ## Try the API with 2,000 and more requests that its description allows or forbids (ARGS="--seed 7")
	@exec $(BIN)/python -m tests.schema $(ARGS)

chaos: $(INSTALLED)  ## Faults of every kind under load, then a comparison: some 5 minutes (ARGS="--seed 7 --count 2000")
	@exec $(BIN)/python -m tests.chaos $(ARGS)

chaos-mutations: $(INSTALLED)  ## Show that chaos finds planted bugs: one short run each (some: ARGS="NAME …")
	@exec $(BIN)/python -m tests.chaos.mutations $(ARGS)

bench: $(INSTALLED)  ## Measure what a million waiting transactions cost: some minutes (ARGS="--waiting 100000")
	@exec $(BIN)/python -m tests.bench.waiting $(ARGS)

bench-pages: $(INSTALLED)  ## Measure the operators' pages over a million transactions: some minutes (ARGS="--rows 100000")
	@exec $(BIN)/python -m tests.bench.pages $(ARGS)

serve: $(INSTALLED)  ## Web and worker on the DATABASE_URL, BROKER_URL and PORT given
	@exec $(BIN)/python -m devstack serve

web: $(INSTALLED)  ## The web server alone, in the foreground
	@exec $(BIN)/python -m devstack web

worker: $(INSTALLED)  ## A worker alone, in the foreground
	@exec $(BIN)/python -m devstack worker

lint: $(INSTALLED)  ## Check style and likely mistakes (ruff)
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --diff .

format: $(INSTALLED)  ## Put the code into shape (ruff)
	@$(BIN)/ruff check --quiet --fix .
	@$(BIN)/ruff format .

types: $(INSTALLED)  ## Check types (mypy, strict)
	@$(BIN)/python -m devstack exec $(BIN)/mypy .

migrations-check: $(INSTALLED)  ## Check that no model change lacks its migration
	@$(BIN)/python -m devstack exec $(BIN)/python manage.py makemigrations --check --dry-run

clean:  ## Remove .venv, .data and what the tools have cached
	@if [ -x $(BIN)/python ]; then $(BIN)/python -m devstack clean; fi
	@rm -rf .venv .data .mypy_cache .pytest_cache .ruff_cache .hypothesis tests/browser/node_modules
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
