# make test, demo, docs, lint, clean. Everything is installed into $(VENV); nothing else on the machine is touched.

SHELL := /bin/bash
VENV ?= .venv
JOBS ?= 2
ARGS ?=

BIN := $(VENV)/bin
STAMPS := $(VENV)/stamps

.PHONY: help test demo docs lint clean
.DELETE_ON_ERROR:

help:
	@echo "make test   run the tests (ARGS='-k name' passes options to pytest, JOBS=$(JOBS) processes)"
	@echo "make demo   solve problems, check their certificates, run the claims, draw pictures in demo-output/"
	@echo "make docs   build the documentation in docs/_build/html"
	@echo "make lint   ruff, pyright, import-linter"
	@echo "make clean  remove what the others made, $(VENV) too"
	@echo "PYTHON=…    the interpreter for $(VENV); by default the newest of Python 3.11 to 3.13 found"

test: $(STAMPS)/test $(STAMPS)/warm
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal --timeout 300 $(ARGS)

demo: $(STAMPS)/package
	$(BIN)/python examples/demo.py

docs: $(STAMPS)/docs
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

lint: $(STAMPS)/lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	@if grep -q '^\[tool.importlinter' pyproject.toml; then $(BIN)/lint-imports; fi

clean:
	rm -rf $(VENV) demo-output docs/_build docs/gallery docs/reference/generated build dist .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

# The interpreter is tried, not only found: a name on the PATH may be a shim without a version behind it.
$(STAMPS)/venv:
	@set -e; works() { "$$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }; \
	has_venv() { "$$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }; \
	chosen=""; bare=""; \
	for python in $(or $(PYTHON),python3.13 python3.12 python3.11 python3); do \
	  if works "$$python"; then \
	    if has_venv "$$python"; then chosen="$$python"; break; fi; \
	    bare="$${bare:-$$python}"; \
	  fi; \
	done; \
	if [ -z "$$chosen" ] && [ -z "$$bare" ]; then \
	  echo "error: no Python >= 3.11 found (looked for $(or $(PYTHON),python3.13 python3.12 python3.11 python3))." >&2; \
	  echo "Install one, or name it: make PYTHON=/path/to/python3.12 …" >&2; exit 1; \
	fi; \
	if [ -z "$$chosen" ]; then \
	  package="$$("$$bare" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"; \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    { apt-get install -y "$$package" || { apt-get update && apt-get install -y "$$package"; }; } >&2; \
	  fi; \
	  if has_venv "$$bare"; then chosen="$$bare"; else \
	    echo "error: $$bare has no ensurepip, which makes virtual environments." >&2; \
	    echo "On Debian and Ubuntu: apt-get install $$package" >&2; exit 1; \
	  fi; \
	fi; \
	echo "$(VENV) is made with $$("$$chosen" -c 'import sys; print(sys.executable, sys.version.split()[0])')"; \
	"$$chosen" -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/package: $(STAMPS)/venv pyproject.toml hatch_build.py
	$(BIN)/python -m pip install --quiet --editable '.[all]'
	@touch $@

$(STAMPS)/test $(STAMPS)/lint $(STAMPS)/docs: $(STAMPS)/package
	$(BIN)/python -m pip install --quiet --group $(@F)
	@touch $@

# Compiles the kernels once, before several processes of pytest would all do it.
$(STAMPS)/warm: $(STAMPS)/package $(wildcard mdpkit/kernels/*.py)
	@for source in instance:riverswim instance:multichain-blocks instance:frozenlake instance:puterman-inventory instance:gridworld-4-1 \
	  'instance:gambler?goal=20'; do $(BIN)/mdpkit solve "$$source" --quiet >/dev/null || exit 1; done
	@touch $@
