# Needs only Python (3.11 or newer) and make; everything else is installed into .venv at pinned versions.
ifeq ($(OS),Windows_NT)
PYTHON ?= python
SCRIPTS := Scripts
else
PYTHON ?= python3
SCRIPTS := bin
endif
BIN := .venv/$(SCRIPTS)
FRAMEWORKS_BASE ?= $(PYTHON)
PEERS_PYTHON := .venv-bench/$(SCRIPTS)/python
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
READY := .venv/.ready
PEERS := .venv-bench/.ready
FRAMEWORKS_PYTHON := .venv-frameworks/$(SCRIPTS)/python
FRAMEWORKS := .venv-frameworks/.ready
MUTATION := .venv/.mutation-ready
SOURCES := mxtrain tests docs/conf.py

.PHONY: help setup fit test test-gpu test-frameworks check format docs mutation bench bench-gpu build clean
help:    ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+: .*## / {printf "%-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## Create .venv with mxtrain, its optional packages and the development tools
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "mxtrain needs Python 3.11 or newer; run make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/python $(PIP_INSTALL) --editable '.[dev]'
	@touch $@

fit: $(READY) ## Train configs/adam.yaml
	$(BIN)/mxtrain fit configs/adam.yaml

test: $(READY) ## Run all tests on all cores; ARGS='--lf' repeats those that failed
	$(BIN)/pytest --numprocesses logical --maxprocesses 8 --dist worksteal $(ARGS)

test-gpu: $(READY) ## Run the tests that need a CUDA device and CuPy in .venv; skipped with the reason elsewhere
	$(BIN)/pytest -rs tests/optim/backends/test_cupy_backend.py

test-frameworks: $(FRAMEWORKS) ## Run the tests of mxtrain.torch and mxtrain.jax, with PyTorch and JAX in .venv-frameworks
	$(FRAMEWORKS_PYTHON) -m pytest -c tests/frameworks/pytest.ini tests/frameworks mxtrain/torch mxtrain/jax

$(FRAMEWORKS): pyproject.toml constraints.txt tests/frameworks/requirements.txt
	$(FRAMEWORKS_BASE) -m venv .venv-frameworks
	@echo '*' >.venv-frameworks/.gitignore
	@$(FRAMEWORKS_PYTHON) $(PIP_INSTALL) --requirement tests/frameworks/requirements.txt --editable . || { \
		echo "make test-frameworks: PyTorch or JAX of tests/frameworks/requirements.txt cannot be installed for" \
			"$$($(FRAMEWORKS_PYTHON) --version); run make test-frameworks FRAMEWORKS_BASE=python3.11" >&2; exit 1; }
	@touch $@

check: $(READY) ## Check formatting, lint, strict types and import layers
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY) ## Format the sources and fix what the linter can fix
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

docs: $(READY) ## Build the documentation site into docs/_build, offline; warnings are errors
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build

mutation: $(MUTATION) ## Run mutation tests and list the surviving mutants; ARGS='rules -n 40'
	$(BIN)/python tests/mutation/mutate.py $(ARGS)

$(MUTATION): $(READY) tests/mutation/requirements.txt
	$(BIN)/python $(PIP_INSTALL) --requirement tests/mutation/requirements.txt
	@touch $@

bench: $(PEERS) ## Compare the speed with other libraries and write docs/performance.md
	$(PEERS_PYTHON) tests/benchmarks/peers.py

bench-gpu: $(PEERS) ## Measure on a CUDA device, with the CuPy in .venv-bench
	$(PEERS_PYTHON) tests/benchmarks/gpu.py

$(PEERS): pyproject.toml constraints.txt tests/benchmarks/requirements.txt
	$(PYTHON) -m venv .venv-bench
	@echo '*' >.venv-bench/.gitignore
	$(PEERS_PYTHON) $(PIP_INSTALL) --requirement tests/benchmarks/requirements.txt --editable .
	@touch $@

build: $(READY) ## Build the wheel and the source archive into dist/
	$(BIN)/python -m build

clean:   ## Remove everything that make and the tests created, except runs/
	rm -rf .venv .venv-bench .venv-frameworks build dist docs/_build *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find mxtrain tests -name __pycache__ -prune -exec rm -rf {} +
