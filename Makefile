# Needs Python 3.11 or newer and a C++ compiler (without one, drrn is slower), and nothing else.
# Variables: VENV, PYTHON, TESTS, PROCESSES and DRRN_DATA, as in: make test DRRN_DATA=~/pictures

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
TESTS ?= not slow and not full
PROCESSES ?= 2
READY := $(VENV)/.ready

.PHONY: help demo test check bench docs pages soak fuzz clean

help:  ## list the targets
	@awk -F ':.*  ## ' '/^[a-z]+:.*  ## / { printf "make %-6s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(READY)  ## enlarge the samples with the packaged models
	$(BIN)/drrn upscale samples/*.png samples/*.jpg --scale 3 --output demo --overwrite
	$(BIN)/drrn compare samples/chelsea.png --scale 3 --output demo/chelsea_compared.png --overwrite
	@echo "Look at demo/."

test: $(READY)  ## the quick tests; with TESTS="not full", those of CI
	$(BIN)/python -m compileall -q src  # once, and not in each of the many processes that tests start
	$(BIN)/python -m pytest -q -m "$(TESTS)" --numprocesses $(PROCESSES) --dist loadfile --no-loadscope-reorder

check: $(READY)  ## format, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	PYTHONPATH=src $(BIN)/lint-imports

bench: $(READY)  ## seconds per megapixel of our engines and others: docs/reference/performance.md
	$(BIN)/python -m benchmarks --long

docs: $(READY)  ## the site: build/site/index.html
	$(BIN)/python -m sphinx -W --keep-going -n -q docs build/site
	@echo "Look at build/site/index.html."

pages: $(READY)  ## write the parts of the documents that follow from results: docs/write
	$(BIN)/python -m docs.write

soak: $(READY)  ## all tests, and the native engine under sanitizers, fuzzed, and on another CPU
	$(BIN)/python -m pytest -q --numprocesses 2 --dist loadfile --no-loadscope-reorder
	native/check.sh

fuzz: $(READY)  ## 50,000 broken files of every format: docs/reference/hostile.md
	$(BIN)/python -m tests.hostile

$(READY): pyproject.toml constraints.txt $(wildcard native/*)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:  ## remove what make and pip have built
	rm -rf $(VENV) demo build dist
