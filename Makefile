# make demo        set everything up and watch the four agents at work
# make test        install what the tests need and run them all: test-fast, then test-train
# make test-fast   all tests but those of the trainer, without torch
# make test-train  install torch's CPU build and verl into .venv-train (2.2 GB) and run the tests of training
# make check       style, types, import rules, spelling, dependencies
# make clean       remove .venv, .venv-train and caches; models, runs and memories stay

SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
TRAIN_VENV := .venv-train
MODEL := smollm2-135m
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
# Looked up when a rule needs it; a name in the PATH may still be a version that does not run.
FIND_PYTHON = for name in python3 python3.12 python3.11 python; do \
	  if $$name -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' 2>/dev/null; \
	  then echo $$name; break; fi; done

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast test-train check clean model

help:
	@grep -E '^# make' Makefile | cut -c3-

demo: model
	@$(BIN)/memquartet demo

test: test-fast
	@$(MAKE) test-train

test-fast: $(VENV)/installed-dev model
	$(BIN)/pytest -n 2

# One after the other: each run starts Ray, and Ray starves beside another.
test-train: $(TRAIN_VENV)/installed
	OMP_NUM_THREADS=1 $(TRAIN_VENV)/bin/pytest tests/training tests/cli/test_train.py

check: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell
	@# Every import has to be declared. What the trainer imports comes with verl, which is not installed here.
	$(BIN)/deptry src --ignore DEP002,DEP003 --extend-exclude src/memquartet/training \
	  --optional-dependencies-dev-groups dev,bench,train

clean:
	rm -rf $(VENV) $(TRAIN_VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

model: $(VENV)/installed-demo
	@$(BIN)/memquartet model pull $(MODEL) > /dev/null

$(VENV)/bin/python $(TRAIN_VENV)/bin/python:
	@python=$$($(FIND_PYTHON)); \
	if [ -z "$$python" ]; then \
	  echo "memquartet needs Python 3.11 or 3.12, and neither is in the PATH." >&2; \
	  echo "Install one (https://www.python.org/downloads, or: apt install python3.11 python3.11-venv)." >&2; \
	  exit 1; fi; \
	echo "Making $(@:/bin/python=) with $$($$python --version)"; \
	$$python -m venv $(@:/bin/python=) || { rm -rf $(@:/bin/python=); \
	  echo "This Python cannot make a virtual environment (on Debian: apt install python3-venv)." >&2; exit 1; }

# Stamps: a second call installs nothing unless pyproject.toml changed.
$(VENV)/installed-demo: pyproject.toml | $(VENV)/bin/python
	@echo "Installing memquartet with llama.cpp and the scorers (takes a minute or two)"
	@$(PIP) -e '.[local,score]'
	@touch $@

$(VENV)/installed-dev: pyproject.toml | $(VENV)/bin/python
	@echo "Installing memquartet with everything that the tests and checks need (takes a minute or two)"
	@$(PIP) -e '.[openai,local,eval,dev]'
	@touch $@ $(VENV)/installed-demo

# torch first, and so that PyTorch's own CPU build wins over one with CUDA: 2.13.0+cpu is newer than 2.13.0.
# Where that index is out of reach pip says so and takes what the usual one has.
$(TRAIN_VENV)/installed: pyproject.toml | $(TRAIN_VENV)/bin/python
	@echo "Installing memquartet with torch and verl (takes several minutes)"
	@$(TRAIN_VENV)/bin/python -m pip --disable-pip-version-check install --quiet --no-deps torch==2.13.0 \
	  --extra-index-url $(TORCH_INDEX) --retries 1
	@$(TRAIN_VENV)/bin/python -m pip --disable-pip-version-check install --quiet -e '.[openai,local,score,train,dev]'
	@touch $@
