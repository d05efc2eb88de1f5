# make run    sets everything up and replays six hours through the local cloud
# make test   sets everything up and runs the tests
# Everything else here serves these two. PYTHON picks the interpreter (3.11 or newer).

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
ARGS ?=
TESTS ?= tests
JOBS ?= logical
# Workers of pytest (JOBS=0: none). Which tests stay together, and which start first: tests/conftest.py.
PYTEST = $(BIN)/python -m pytest --numprocesses=$(JOBS) --maxprocesses=8 --dist=loadscope --no-loadscope-reorder
# Some images forbid Python to keep what it compiled: then every process compiles all of its imports again (half of collecting).
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help setup training run up test unit integration infrastructure e2e nightly fuzz check lint scan templates sbom audit format bench nautilus serving agent docs gallery lock clean

help:  ## list the commands
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 18

setup: $(READY)  ## create the environment (again only when a lock changed)

$(READY): requirements/run.lock requirements/setup.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Signalbox needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@echo "Setting up the environment (once; about a minute) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip --quiet --disable-pip-version-check install --require-hashes -r requirements/setup.lock
	@# uv takes seconds; where it cannot reach the index as pip is configured to (a mirror, a certificate), pip does
	@$(BIN)/uv pip sync --quiet --system-certs --python $(BIN)/python --require-hashes requirements/run.lock || \
	  { echo "uv could not reach the package index; installing with pip ..."; \
	    $(BIN)/python -m pip --quiet --disable-pip-version-check install --require-hashes -r requirements/run.lock; }
	@$(BIN)/uv pip install --quiet --offline --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

# A machine with a GPU gets everything of training.lock, CUDA included (gigabytes). Any other gets the CPU build of torch, where
# pip finds one; if it finds none, the CUDA build, which computes on a CPU too. GPU=1 or GPU=0 decides instead of nvidia-smi.
GPU ?= $(shell command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi -L 2>/dev/null | grep -q . && echo 1 || echo 0)
TRAINABLE := $(VENV)/.training
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
CPU_LOCKS := -r requirements/training-cpu.lock -r requirements/torch-cpu.lock

training: $(TRAINABLE)  ## what training LSTM and Transformer needs: torch, mlflow (GPU=1: with CUDA, CPU_ONLY=1: never)

$(TRAINABLE): $(READY) requirements/training.lock requirements/training-cpu.lock requirements/torch-cpu.lock requirements/training-gpu.lock
	@if [ "$(GPU)" != 1 ] && $(PIP) install --require-hashes --no-deps $(CPU_LOCKS); then \
	  echo "torch for CPUs is installed"; \
	elif [ "$(CPU_ONLY)" = 1 ]; then \
	  echo "no CPU build of torch was found (see requirements/torch-cpu.lock)"; exit 1; \
	else \
	  [ "$(GPU)" = 1 ] || echo "no CPU build of torch was found (see requirements/torch-cpu.lock); installing the one with CUDA ..."; \
	  $(BIN)/uv pip install --quiet --system-certs --python $(BIN)/python --require-hashes -r requirements/training.lock || \
	    $(PIP) install --require-hashes -r requirements/training.lock || exit 1; \
	fi
	@if [ "$(GPU)" = 1 ]; then \
	  $(PIP) uninstall --yes xgboost-cpu && $(PIP) install --require-hashes --no-deps -r requirements/training-gpu.lock; \
	fi
	@$(BIN)/python -c 'import torch; print("torch", torch.__version__, "on", "a GPU" if torch.cuda.is_available() else "the CPU")'
	@touch $@

run: $(READY)  ## the main job: signalbox demo (ARGS="--hours 2 --out out/demo")
	@$(BIN)/signalbox demo $(ARGS)

up: $(READY)  ## the local cloud in real time until Ctrl-C
	@$(BIN)/signalbox up $(ARGS)

test: $(READY)  ## every test (TESTS=tests/unit for a part)
	@$(PYTEST) $(TESTS)

unit: $(READY)  ## tests without I/O
	@$(PYTEST) tests/unit

integration: $(READY)  ## tests on a real PostgreSQL
	@$(PYTEST) tests/integration

infrastructure: $(READY)  ## tests of the synthesised templates
	@$(PYTEST) tests/infrastructure

e2e: $(READY)  ## tests on the local cloud
	@$(PYTEST) tests/e2e

# Hours: whatever is searched longer is found more surely. A share of each search is in `make test` (tests/README.md says how much).
INPUTS ?= 1000000
SEED ?= $(shell date +%Y%m%d)
nightly: $(READY)  ## the long searches (INPUTS=1000000 SEED=date): fuzzers, 5,000 examples a unit test, 20,000 schedules, bad words
	@$(MAKE) --no-print-directory fuzz
	@HYPOTHESIS_PROFILE=nightly $(PYTEST) --timeout=14400 tests/unit tests/e2e/test_command_walk.py tests/e2e/test_observe.py

fuzz: $(READY)  ## the fuzzers of messages, files and venues' answers (INPUTS=1000000 SEED=date), one after the other
	@$(BIN)/python -m tests.fuzz_wire $(INPUTS) $(SEED)
	@$(BIN)/python -m tests.fuzz_files $(INPUTS) $(SEED)
	@$(BIN)/python -m tests.fuzz_venues $$(($(INPUTS) / 20)) $(SEED)

bench: $(READY)  ## the features of years and of the newest bar beside plain pandas
	@$(BIN)/signalbox bench features $(ARGS)

# What `signalbox bench backtest` is compared with pins other versions than ours, so it lives apart. Nothing else needs it.
NAUTILUS := .venv-nautilus

nautilus: $(NAUTILUS)/.ready  ## nautilus_trader, in an environment of its own, for signalbox bench backtest

$(NAUTILUS)/.ready: requirements/nautilus.lock $(READY)
	@test -x $(NAUTILUS)/bin/python || $(PYTHON) -m venv $(NAUTILUS)
	@$(NAUTILUS)/bin/python -m pip --quiet --disable-pip-version-check install --require-hashes -r requirements/nautilus.lock
	@touch $@

# What `signalbox library export --format bentoml|mlflow` writes is tried there: they pin what we do not. Nothing else needs it.
SERVING := .venv-serving

serving: $(SERVING)/.ready  ## bentoml and mlflow, in an environment of their own, for models exported to them

$(SERVING)/.ready: requirements/serving.lock $(READY)
	@test -x $(SERVING)/bin/python || $(PYTHON) -m venv $(SERVING)
	@$(BIN)/uv pip sync --quiet --system-certs --python $(SERVING)/bin/python --require-hashes requirements/serving.lock || \
	  $(SERVING)/bin/python -m pip --quiet --disable-pip-version-check install --require-hashes -r requirements/serving.lock
	@touch $@

docs: $(READY)  ## the generated pages of docs/: the APIs, errors, features, risk codes, order states, venues, the starter's card
	@for page in api_docs library_api_docs error_tree feature_docs model_card risk_codes order_states; do $(BIN)/python -m tools.$$page || exit 1; done
	@$(BIN)/python -m tests.unit.adapters.venue_table

agent: $(READY)  ## the MetaTrader 5 agent as a wheel for its Windows machine, in out/agent
	@rm -rf agents/mt5/build out/agent
	@$(PIP) wheel --no-deps --no-build-isolation --wheel-dir out/agent agents/mt5
	@cp agents/mt5/requirements.lock out/agent/

check: lint  ## lint, format, types, import contracts, scanners
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(MAKE) --no-print-directory scan

lint: $(READY)  ## lint and format: seconds
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

scan: $(READY)  ## unsafe code and secrets in what is committed (.ci/accepted.toml has the reasons)
	@$(BIN)/python .ci/scan.py

# What looks at the lock files from outside lives apart: it brings a pip of its own.
AUDIT := .venv-audit

$(AUDIT)/.ready: requirements/audit.lock $(READY)
	@test -x $(AUDIT)/bin/python || $(PYTHON) -m venv $(AUDIT)
	@$(AUDIT)/bin/python -m pip --quiet --disable-pip-version-check install --require-hashes -r requirements/audit.lock
	@touch $@

CHECKOV := .venv-checkov

$(CHECKOV)/.ready: requirements/checkov.lock $(READY)
	@test -x $(CHECKOV)/bin/python || $(PYTHON) -m venv $(CHECKOV)
	@$(BIN)/uv pip sync --quiet --system-certs --python $(CHECKOV)/bin/python --require-hashes requirements/checkov.lock || \
	  $(CHECKOV)/bin/python -m pip --quiet --disable-pip-version-check install --require-hashes -r requirements/checkov.lock
	@touch $@

templates: $(CHECKOV)/.ready  ## checkov over the synthesised templates (.ci/accepted-templates.toml has the reasons)
	@$(BIN)/python .ci/templates.py $(CURDIR)/$(CHECKOV)/bin/checkov

sbom: $(AUDIT)/.ready  ## what is in it: out/sbom/*.cdx.json (CycloneDX) from each lock file
	@mkdir -p out/sbom
	@for lock in requirements/*.lock layers/*/requirements.txt agents/*/requirements.lock; do \
	  name=$$(echo $$lock | sed 's|/requirements\.[a-z]*$$||; s|.*/||; s|\.lock||'); \
	  case $$lock in layers/*) name=layer-$$name;; agents/*) name=agent-$$name;; esac; \
	  grep -qE '^[A-Za-z0-9]' $$lock || continue; \
	  $(AUDIT)/bin/cyclonedx-py requirements $$lock --output-reproducible --of JSON -o out/sbom/$$name.cdx.json || exit 1; \
	done
	@ls out/sbom

audit: $(AUDIT)/.ready  ## known vulnerabilities of what is locked, where a database can be reached
	@$(AUDIT)/bin/python .ci/audit.py

format: $(READY)  ## rewrite in the house format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

gallery: $(READY)  ## docs/gallery.md with a picture of each page (needs Chromium)
	@PYTHONPATH=layers/core/python:agents/mt5:. $(BIN)/python -m tests.gallery

lock: $(READY)  ## resolve the requirements again (needs the package index)
	@cd requirements && for name in setup run training training-cpu training-gpu audit checkov nautilus serving; do \
	  ../$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	    $$(test $$name != training-gpu || echo --no-deps) --output-file $$name.lock $$name.in || exit 1; done
	@cd agents/mt5 && ../../$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	  --constraints ../../requirements/run.lock --output-file requirements.lock requirements.in

clean:  ## remove the environment and everything the local cloud stored
	rm -rf $(VENV) $(AUDIT) $(CHECKOV) $(NAUTILUS) $(SERVING) .signalbox out
