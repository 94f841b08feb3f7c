# Needs only python3 (3.11 or newer) and make; everything else is installed into .venv at pinned versions.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
PEERS := .venv-bench/.ready
MUTATION := .venv/.mutation-ready

.PHONY: help setup fit test test-gpu check format mutation bench bench-gpu build clean
help:    ## List the targets
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

setup: $(READY) ## Create .venv with mxtrain and its tools
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "mxtrain needs Python 3.11 or newer; say make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

fit: $(READY) ## Train configs/adam.yaml
	$(BIN)/mxtrain fit configs/adam.yaml

test: $(READY) ## Run the tests
	$(BIN)/pytest

test-gpu: $(READY) ## The tests that need a CUDA device, with the CuPy that is in .venv; skipped with the reason elsewhere
	$(BIN)/pytest -rs tests/optim/backends/test_cupy_backend.py

check: $(READY) ## Formatting, lint, strict types, import layers
	$(BIN)/ruff format --check mxtrain tests
	$(BIN)/ruff check mxtrain tests
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY) ## Rewrite the sources in the house format
	$(BIN)/ruff format mxtrain tests
	$(BIN)/ruff check --fix mxtrain tests

mutation: $(MUTATION) ## Plant faults in the sources and list those that no test notices; ARGS='rules -n 40'
	$(BIN)/python tests/mutation/mutate.py $(ARGS)

$(MUTATION): $(READY) tests/mutation/requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --requirement tests/mutation/requirements.txt
	@touch $@

bench: $(PEERS) ## Measure mxtrain beside its peers; writes docs/performance.md
	.venv-bench/bin/python tests/benchmarks/peers.py

bench-gpu: $(PEERS) ## The same on a CUDA device, with the CuPy that is in .venv-bench
	.venv-bench/bin/python tests/benchmarks/gpu.py

$(PEERS): pyproject.toml constraints.txt tests/benchmarks/requirements.txt
	$(PYTHON) -m venv .venv-bench
	@echo '*' >.venv-bench/.gitignore
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		--requirement tests/benchmarks/requirements.txt --editable .
	@touch $@

build: $(READY) ## Build the wheel and the source archive into dist/
	$(BIN)/python -m build

clean:   ## Remove everything that was made, save runs/
	rm -rf .venv .venv-bench build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find mxtrain tests -name __pycache__ -prune -exec rm -rf {} +
