# `make` lists the commands. `make search` and `make test` need nothing but Python 3.11+, a C
# compiler and make: they set up .venv by themselves.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
RUN ?= results/runs/evolve

export OMP_NUM_THREADS ?= 1

# one more than two cores can run: tests that start clusters and kill processes mostly wait
TEST_WORKERS ?= 3

# of an example: as little as shows that all of it works
SMALL := --set members=2 --set epochs=2 --set updates_per_epoch=10 --set valid_characters=500 \
  --set test_characters=500

RESULTS := $(filter-out runs README.md,$(notdir $(wildcard results/*)))

.PHONY: help install search smoke results tables notebook test lowest package golden check lint format types contracts bench clean
.DEFAULT_GOAL := help

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "odyssey needs Python 3.11 or newer; set PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $(STAMP)

install: $(STAMP) ## set up .venv with the tested versions

search: $(STAMP) ## evolve cells for some minutes and show the best (results/runs/evolve)
	@if [ -e $(RUN)/run.json ]; then \
	  $(BIN)/odyssey search --resume $(RUN); \
	else \
	  $(BIN)/odyssey search --example evolve --out $(RUN); \
	fi

smoke: $(STAMP) ## the tour in small: every step of it in under a minute
	@rm -rf build/smoke
	$(BIN)/odyssey search --example tour --out build/smoke $(SMALL)
	@test -s build/smoke/report.html

results: $(STAMP) ## build tables, figures and pages of results/ into build/results
	@for name in $(RESULTS); do \
	  if [ -e results/$$name/run.json ]; then \
	    $(BIN)/odyssey report results/$$name --to build/results/$$name > /dev/null || exit 1; \
	  fi; \
	  if [ -e experiments/$$name/figures.py ]; then \
	    $(BIN)/python experiments/$$name/figures.py results/$$name build/results/$$name || exit 1; \
	  fi; \
	done

tables: results ## put what is built in place of the tables and figures that are committed
	@git ls-files results | while read -r file; do \
	  if [ -e "build/$$file" ]; then cp "build/$$file" "$$file"; fi; \
	done

notebook: $(STAMP) ## run analysis/example.ipynb again and keep what it shows
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[notebook]'
	$(BIN)/python analysis/execute.py analysis/example.ipynb

test: $(STAMP) ## run all tests
	$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder

lowest: ## run all tests with the lowest versions that pyproject.toml allows (build/lowest)
	$(PYTHON) -m venv --clear build/lowest
	build/lowest/bin/python -m pip install --quiet --disable-pip-version-check uv
	build/lowest/bin/uv pip install --quiet --python build/lowest/bin/python \
	  --resolution lowest-direct -e '.[dev]'
	build/lowest/bin/python -m pytest -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder \
	  -W default::DeprecationWarning  # old libraries call new ones by names that are going

package: $(STAMP) ## build wheel and sdist (build/dist) and run the tour from the wheel, away from the repository
	@rm -rf build/dist build/installed
	$(BIN)/python -m build --outdir build/dist .
	$(PYTHON) -m venv build/installed
	build/installed/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
	  build/dist/*.whl
	cd build/installed && bin/odyssey search --example tour --out tour $(SMALL)

golden: $(STAMP) ## rewrite the golden files of generated code, and what is written from tables
	$(BIN)/python tests/compiler/golden.py
	$(BIN)/python tests/jobs/fields.py

check: lint types contracts test ## what CI runs: lint, types, import contracts, all tests

lint: $(STAMP) ## ruff: lint and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(STAMP) ## let ruff rewrite what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(STAMP) ## mypy --strict on odyssey
	$(BIN)/mypy

contracts: $(STAMP) ## import directions
	$(BIN)/lint-imports

bench: $(STAMP) ## speed beside torch, what fell since the last time, what the engine costs
	$(BIN)/python benchmarks/engine_overhead.py
	$(BIN)/odyssey bench --keep benchmarks/results
	$(BIN)/python benchmarks/fallen.py

clean: ## remove the environment, caches and smoke runs (results are kept)
	rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
