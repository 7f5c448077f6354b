# Every target sets up first what it needs; a second run finds it done.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

# Models and state live in the home folder unless TWIN_MODELS_DIR and TWIN_DATA_DIR say otherwise.
BIN := .venv/bin
# Each stamp lies in what it stands for, so that removing the one removes the other.
PYTHON_READY := .venv/.ready
BENCH_READY := .venv/.bench-ready
NODE_READY := web/node_modules/.ready
PAGE := web/dist/index.html
WORKERS ?= 3
WEB_SOURCES := $(shell find web/src web/public -type f 2>/dev/null) web/index.html web/vite.config.ts web/packed.ts web/tsconfig.json

.PHONY: help setup demo test bench check lint types contracts unit web-test browser-deps format generate lock screenshots clean

help: ## What can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

setup: $(PYTHON_READY) $(PAGE) models ## The virtual environment, the model pack and the page

demo: setup ## Everything on this machine, with a gallery to search, until Ctrl-C
	@exec $(BIN)/twin demo

test: setup browser-deps check web-test unit ## Lint, types, contracts, and every test

check: lint types contracts ## Lint, types and contracts alone

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	cd web && npm run --silent format:check

types: setup
	$(BIN)/mypy
	cd web && npm run --silent types

contracts: setup
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code
	tools/check-breaking
	tools/check-generated

# Most tests wait, for services that start and for timeouts, and so wait side by side; those that take whole machines'
# worth of load run alone.
unit: setup $(BENCH_READY)
	$(BIN)/pytest -n $(WORKERS) --dist loadfile -m "not chaos"
	$(BIN)/pytest -m chaos

web-test: setup
	cd web && npm test --silent

browser-deps: ## Chromium, which the browser tests drive
	@tools/install-chromium

bench: setup $(BENCH_READY) ## Ours beside the peers, in one run; BENCH=search (embed, write, start) for one of them
	$(BIN)/python -m benchmarks $(BENCH)

format: setup ## Formats Python, protos and the page's sources
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/buf format --write
	cd web && npm run --silent format

generate: setup ## Writes the stubs from the protos
	tools/generate

lock: setup ## Writes requirements.txt and requirements-bench.txt from pyproject.toml
	tools/lock

screenshots: setup browser-deps ## The pictures in docs/images, taken from a running `make demo`
	$(BIN)/python tools/screenshots "http://$${TWIN_GATEWAY_HTTP_TARGET:-127.0.0.1:8080}" \
	  "$${TWIN_MODELS_DIR:-$$HOME/.cache/find-your-twin/models}/starter/photos/gauss.png"

clean: ## Everything that was made here; models and state in the home folder stay
	rm -rf .venv web/node_modules web/dist

.PHONY: models
models: $(PYTHON_READY)
	@if [ ! -e "$${TWIN_MODELS_DIR:-$$HOME/.cache/find-your-twin/models}/starter/manifest.toml" ]; then echo "Bringing the model pack …"; fi
	@log=$$(mktemp); trap 'rm -f "$$log"' EXIT; $(BIN)/twin models pull starter >"$$log" 2>&1 || { cat "$$log"; exit 1; }

$(PYTHON_READY): requirements.txt requirements-uv.txt pyproject.toml tools/make-venv
	@echo "Installing the Python packages into .venv …"
	@tools/make-venv
	@touch $@

# A new set of packages in .venv is without the peers, and so makes this again.
$(BENCH_READY): requirements-bench.txt tools/add-bench-peers $(PYTHON_READY)
	@echo "Installing what tests and benchmarks compare with into .venv …"
	@tools/add-bench-peers
	@touch $@

$(NODE_READY): web/package.json web/package-lock.json
	@command -v npm >/dev/null || { echo "Node 20.19 or later, with npm, is needed for the page."; exit 1; }
	@echo "Installing the page's packages …"
	@cd web && npm ci --no-audit --no-fund --no-update-notifier --loglevel=error >/dev/null
	@touch $@

$(PAGE): $(NODE_READY) $(WEB_SOURCES)
	@echo "Building the page …"
	@cd web && npm run --silent build -- --logLevel warn
