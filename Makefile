# Two commands do all the set-up: `make quickstart` runs the main job, `make test` runs every test.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: quickstart test lint check bench install dev constraints clean

install: $(VENV)/.installed
dev: $(VENV)/.dev

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit("Python >= 3.11 is needed; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12 …" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/pip
	@echo "installing trl-harness (torch, transformers, trl, lm-eval, duckdb: some minutes the first time)" >&2
	$(PIP) --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.installed
	$(PIP) --editable '.[dev]'
	@touch $@

quickstart: $(VENV)/.installed
	$(BIN)/harness run suites/quickstart.yaml

test: $(VENV)/.dev
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint
	$(BIN)/pytest -q -m 'not slow and not gpu' -n 2 -p no:benchmark -o addopts='-ra --strict-markers --import-mode=importlib' --ignore=tests/benchmarks

bench: $(VENV)/.dev
	$(BIN)/pytest tests/benchmarks --benchmark-only -o addopts='--import-mode=importlib'

constraints: $(VENV)/.dev
	@{ sed -n '/^#/p' constraints.txt; $(BIN)/pip freeze --exclude-editable | sed 's/+cpu$$//' | sort -f; } > constraints.new && mv constraints.new constraints.txt

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache
