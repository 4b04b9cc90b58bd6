SHELL := /bin/sh
VENV := .venv
PY := $(VENV)/bin/python
LOCKS := requirements requirements-embedded requirements-dev
COMPILE := $(PY) -m uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --quiet
INSTALL := $(PY) -m pip install --quiet --disable-pip-version-check --require-hashes
FITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))
UPGRADE ?= --upgrade
CLIENTS := tests/external/js

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run test external check format lint types imports lock-check openapi fix lock package bench seed faults broken

help: ## What there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/.server ## Start the server, with its own PostgreSQL unless DATABASE_URL is set
	@exec $(PY) -m app serve

test: $(VENV)/.dev ## Run the tests, with coverage
	$(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder --cov=app --cov-report=term-missing:skip-covered

external: $(VENV)/.dev $(CLIENTS)/node_modules/.package-lock.json ## Run the tests that need Node and Chromium
	$(PY) -m pytest -m external tests/external

check: format lint types imports lock-check openapi test ## Everything that must pass before a merge

format: $(VENV)/.dev ## Is the code formatted? (part of check)
	$(PY) -m ruff format --check .

lint: $(VENV)/.dev ## Ruff's rules (part of check)
	$(PY) -m ruff check .

types: $(VENV)/.dev ## mypy, strict (part of check)
	$(PY) -m mypy

imports: $(VENV)/.dev ## The order of the packages (part of check)
	$(PY) $(VENV)/bin/lint-imports

# Compiled on top of the existing pins, so only a changed .in makes a difference.
# Without an index: what the .in files name must be what the lock files installed.
lock-check: $(VENV)/.dev ## Do the lock files fit the .in files? (part of check)
	@tmp=$$(mktemp -d) && trap 'rm -rf "$$tmp"' EXIT && for name in $(LOCKS); do \
	  cp "$$name.txt" "$$tmp/" || exit 1; \
	  if $(COMPILE) -o "$$tmp/$$name.txt" "$$name.in" >/dev/null 2>"$$tmp/err"; then \
	    diff -u "$$name.txt" "$$tmp/$$name.txt" || { echo "$$name.txt is out of date: make lock UPGRADE="; exit 1; }; \
	  elif grep -qiE 'failed to fetch|error sending request|client error|dns error|timed out' "$$tmp/err"; then \
	    echo "lock-check: no package index; comparing $$name.in with what is installed"; \
	    $(PY) -m uv pip install --python $(PY) --offline --no-deps --dry-run -r "$$name.in" 2>"$$tmp/err" \
	      && grep -q 'Would make no changes' "$$tmp/err" \
	      || { cat "$$tmp/err"; echo "$$name.txt is out of date: make lock UPGRADE="; exit 1; }; \
	  else cat "$$tmp/err"; exit 1; fi; \
	done

openapi: $(VENV)/.dev ## Is docs/openapi.json what the server says? (part of check)
	$(PY) -m tools.openapi --check

fix: $(VENV)/.dev ## Format the code and apply Ruff's safe fixes
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

lock: $(VENV)/.dev ## Compile the lock files, upgrading (UPGRADE= keeps the other pins)
	for name in $(LOCKS); do $(COMPILE) $(UPGRADE) -o $$name.txt $$name.in >/dev/null || exit 1; done

# In an empty environment, which needs a package index; the wheel itself is built without one.
package: $(VENV)/.dev ## Build the client's wheel in build/, install it somewhere empty and use it
	@rm -rf build/wheel build/empty
	$(PY) -m uv build --quiet --wheel --no-build-isolation --out-dir build/wheel sdk
	$(PY) -m uv venv --quiet --python $(PY) build/empty
	$(PY) -m uv pip install --quiet --python build/empty/bin/python build/wheel/*.whl
	cd build && empty/bin/python -W error -c 'import configsync; print(configsync.ConfigClient, configsync.__version__)'
	wheel=$$(echo build/wheel/*.whl) && $(PY) -m uv pip install --quiet --python build/empty/bin/python "$$wheel[cli,encryption]"
	cd build && empty/bin/configsync --version

# npm writes this file; no test needs the internet afterwards.
$(CLIENTS)/node_modules/.package-lock.json: $(CLIENTS)/package.json $(CLIENTS)/package-lock.json
	cd $(CLIENTS) && npm ci --ignore-scripts --no-audit --no-fund
	@touch $@

bench: $(VENV)/.dev ## Measure
	$(PY) -m bench

seed: $(VENV)/.dev ## Fill a workspace with 10,000 services (SEED="--services 100" for less)
	$(PY) -m bench.seed $(SEED)

faults: $(VENV)/.dev ## Break things and look whether the promises hold
	$(PY) -m tests.faults
	$(PY) -m tests.histories

# An environment whose interpreter has gone is made anew.
ifneq ($(wildcard $(VENV)/pyvenv.cfg),)
ifneq ($(shell $(PY) -c 'print(1)' 2>/dev/null),1)
BROKEN := broken
endif
endif
broken:

# Each candidate is tried, not only found: a shim on the PATH may lead nowhere.
$(VENV)/.python: $(BROKEN)
	@if ! { $(PY) -c '$(FITS)' && $(PY) -m pip --version; } >/dev/null 2>&1; then \
	  found=; for candidate in $${PYTHON:-python3.12 python3.11 python3 python}; do \
	    if "$$candidate" -c 'import ensurepip, venv; $(FITS)' >/dev/null 2>&1; then found=$$candidate; break; fi; \
	  done; \
	  if [ -z "$$found" ]; then \
	    echo 'No Python 3.11 or 3.12 with venv was found. Install one (Debian, Ubuntu: apt install python3-venv),'; \
	    echo 'or name it: make run PYTHON=/path/to/python3.12'; exit 1; \
	  fi >&2; \
	  echo "Making $(VENV) with $$found"; \
	  "$$found" -m venv --clear $(VENV); \
	fi
	@touch $@

$(VENV)/.server: requirements.txt requirements-embedded.txt $(VENV)/.python
	@echo 'Installing what the server needs (once)'
	@$(INSTALL) -r requirements.txt -r requirements-embedded.txt
	@touch $@

$(VENV)/.dev: $(LOCKS:=.txt) $(VENV)/.python
	@echo 'Installing what development needs (once)'
	@$(INSTALL) -r requirements-dev.txt
	@touch $(VENV)/.server $@
