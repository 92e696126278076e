# Two commands do all the set-up: `make quickstart` runs the main job, `make test` runs every test.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: quickstart test lint check bench hollow install dev constraints clean

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

# torch's CUDA build on a device that computes nothing (tests/hollow/README.md): some 6 GB, for work on the GPU's path.
HOLLOW := .venv-hollow
$(HOLLOW)/.built: pyproject.toml constraints.txt $(wildcard tests/hollow/*.py tests/hollow/c/*)
	test -x $(HOLLOW)/bin/pip || $(PYTHON) -m venv $(HOLLOW)
	sed '/^torch==/d' constraints.txt > $(HOLLOW)/constraints.txt
	$(HOLLOW)/bin/pip --disable-pip-version-check install --quiet 'torch>=2.13'
	$(HOLLOW)/bin/pip --disable-pip-version-check install --quiet --constraint $(HOLLOW)/constraints.txt --editable '.[gpu,dev]'
	$(PYTHON) tests/hollow/build.py $(HOLLOW)
	@touch $@

hollow: $(HOLLOW)/.built
	$(HOLLOW)/hollow pytest tests/hollow
	$(HOLLOW)/hollow pytest -m gpu tests/unit/measure/test_compute.py

constraints: $(VENV)/.dev
	@{ sed -n '/^#/p' constraints.txt; $(BIN)/pip freeze --exclude-editable | sed 's/+cpu$$//' | sort -f; } > constraints.new && mv constraints.new constraints.txt

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache
