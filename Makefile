# Everything a developer types. `make help` lists it.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TRAIN_ARGS ?=
TEST_ARGS ?= --numprocesses 2
DATA ?= ../shared/data/empiar-10017
SITTING ?= runs/one_sitting

.DEFAULT_GOAL := help
.PHONY: help setup train test test-slow lint types format docs figures bench notebooks tensorboard clean

help: ## list what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

setup: $(READY) ## make .venv and install cryofix with the versions of constraints.txt

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "cryofix needs Python 3.11 or newer: make PYTHON=python3.12 setup"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@$(BIN)/python -c 'import torchvision' || \
		{ echo "torch and torchvision do not fit together: remove $(VENV) and let pip take both from one index"; exit 1; }
	@! git rev-parse --git-dir >/dev/null 2>&1 || $(BIN)/pre-commit install >/dev/null || true # looks at each commit
	@touch $@

train: $(READY) ## train the embedded default: supervised control against FixMatch
	$(BIN)/python -m cryofix.train mask=class_aware ratio=0.05 $(TRAIN_ARGS)

test: $(READY) ## run the tests, about ten minutes on two cores
	$(BIN)/python -m pytest -m 'not slow' $(TEST_ARGS)

test-slow: $(READY) ## run the tests that take minutes or need SLURM, RELION or Chromium
	$(BIN)/python -m pytest -m 'slow and not timed' $(TEST_ARGS) --dist loadfile
	$(BIN)/python -m pytest -m timed

lint: $(READY) ## check style and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(READY) ## check types
	$(BIN)/mypy

format: $(READY) ## put the code in style
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(READY) ## build the site of docs/ into build/site; a broken link is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

figures: $(READY) ## draw all figures of docs/; picks.png takes Chromium, twelve minutes and DATA=.../empiar-10017
	$(BIN)/python docs/rooms.py
	$(BIN)/python docs/study/redraw.py
	$(BIN)/python docs/study/label_curve.py
	$(BIN)/python docs/study/threshold_map.py
	@if test -d $(DATA); then set -ex; \
		test -d $(SITTING)/picks || $(BIN)/python -m benchmarks.one_sitting --data $(DATA) --output $(SITTING); \
		$(BIN)/python docs/study/picks_figure.py $(SITTING) --data $(DATA); \
	else echo "There is no folder $(DATA), so docs/picks.png stays: make figures DATA=.../empiar-10017"; fi

bench: $(READY) ## measure what benchmarks/README.md lists
	$(BIN)/python -m benchmarks

notebooks: $(READY) ## run the notebooks again and keep their outputs, about ten minutes of one core
	$(BIN)/python notebooks/execute.py

tensorboard: $(READY) ## look at the runs in this folder
	$(BIN)/tensorboard --logdir .

clean: ## remove what can be made again, runs and caches of micrographs excepted
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
