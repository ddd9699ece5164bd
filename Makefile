# `make` lists what there is. Everything runs in .venv/, made from requirements.txt by the first target that needs it.
.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore
INSTALLED := .venv/.installed
PEERS := .venv-bench/.installed

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

.PHONY: repro
repro: $(INSTALLED) ## Run the pipeline of params.yaml: data, training, evaluation, benchmarks, report
	@dvc repro
	@python -c 'import json; print("\nreport: data/report/index.html", *json.load(open("data/report/claims.json"))["headlines"], sep="\n  ")'

.PHONY: test
test: $(INSTALLED) ## Quick tests
	@pytest

.PHONY: test-all
test-all: $(INSTALLED) ## All tests, also slow ones and those that need a GPU, where there is one
	@pytest -m ""

.PHONY: test-slurm
test-slurm: $(INSTALLED) ## Sweeps through a one-node Slurm cluster, made for the test (needs the extra slurm)
	@tests/slurm/test.sh

.PHONY: lint
lint: $(INSTALLED) ## Style and types
	@ruff check
	@ruff format --check
	@mypy

.PHONY: bench
bench: $(PEERS) ## Time and memory beside two other Reformers and full attention, each with its target
	@.venv-bench/bin/python pipelines/bench.py

RATES := 0.0005,0.001,0.002,0.004
SWEEP := python pipelines/train.py --multirun experiment=learning_rates hydra/launcher=joblib hydra.launcher.n_jobs=2

.PHONY: learning-rates
learning-rates: $(INSTALLED) ## Choose the learning rates of Reformer and Transformer anew (needs the extra joblib)
	@$(SWEEP) data=wikipedia model=mixed,transformer optimizer.lr=$(RATES)
	@$(SWEEP) data=emoji model=reformer,transformer optimizer.lr=$(RATES)

.PHONY: notebooks
notebooks: $(INSTALLED) ## Execute the notebooks in place (minutes)
	@python notebooks/execute.py

.PHONY: experiments
experiments: $(INSTALLED) ## List the experiments of `dvc exp run`: verdicts and main numbers, a line each
	@dvc exp show --drop '.*/|conf|seeds|runs|samples'

RESULTS ?= $(wildcard data/report/results.md data/report/verdicts.md data/benchmarks/side_by_side.md)

.PHONY: results
results: $(INSTALLED) ## Put the tables of repro and bench into README.md and docs/ (RESULTS=another/folder/report/results.md)
	@python pipelines/readme.py $(RESULTS)
	@! test -f data/benchmarks/side_by_side.png || cp data/benchmarks/side_by_side.png docs/bench.png

.PHONY: picture
picture: ## Take the report's picture for README.md (needs Chromium)
	@chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --window-size=1120,1200 --screenshot=docs/report.png \
	  "$(CURDIR)/data/report/index.html" 2>/dev/null && echo docs/report.png

.PHONY: lock
lock: ## Write requirements.txt anew from pyproject.toml (needs uv)
	@uv pip compile -q --universal --python-version 3.11 --extra dev --generate-hashes --no-header \
	  pyproject.toml -o requirements.txt

.PHONY: clean
clean: ## Remove the environments and caches; results in data/ stay
	@rm -rf .venv .venv-bench .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(INSTALLED): requirements.txt pyproject.toml
	@python=$$(for name in python3 python3.13 python3.12 python3.11; do \
	  "$$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo "$$name" && break; done) \
	  || { echo "error: needs Python 3.11, 3.12 or 3.13 in PATH (with venv)" >&2; exit 1; }; \
	test -x .venv/bin/python || "$$python" -m venv .venv
	@echo "installing requirements.txt into .venv (some 6 GB with PyTorch; minutes)"
	@.venv/bin/python -m pip install -q --require-hashes -r requirements.txt
	@.venv/bin/python -m pip install -q --no-deps --no-build-isolation -e .
	@touch $@

# Sees all of .venv, so that PyTorch is not installed twice.
$(PEERS): requirements-bench.txt $(INSTALLED)
	@echo "installing requirements-bench.txt into .venv-bench"
	@python -m venv .venv-bench
	@python -c 'import sysconfig; print("import site; site.addsitedir({!r})".format(sysconfig.get_path("purelib")))' \
	  > "$$(.venv-bench/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/project.pth"
	@.venv-bench/bin/python -m pip install -q --require-hashes --no-deps -r requirements-bench.txt
	@touch $@
