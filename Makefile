# Two commands: `make train` and `make test`. Everything they need goes into .venv, in the versions of constraints.txt.
# `make test-all` tests every Python found, and the oldest and the newest versions that pyproject.toml allows.
PYTHON ?= python3
VENV   ?= .venv
# versions to install; empty: the newest that pyproject.toml allows
CONSTRAINTS ?= constraints.txt
ALGO   ?= dqn_dueling
ENV    ?= PongNoFrameskip-v4
# number of environment steps; empty: as configured in hyperparams/
N      ?=
# any further argument of `python -m rl_zoo3.train`
ARGS   ?=

# How long OpenMP threads spin before they sleep: its default disturbs whatever else runs (docs/performance.md).
export GOMP_SPINCOUNT ?= 10000

BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: train test test-fast test-all lint docs package

train: $(READY)
	$(BIN)/python -m rl_zoo3.train --algo $(ALGO) --env $(ENV) $(if $(N),-n $(N)) -P \
	  --save-freq 100000 --tensorboard-log runs -f logs $(ARGS)

test: $(READY)
	$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

# In two to three minutes, while one works: no programs, browsers, servers or long trainings.
test-fast: $(READY)
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow and not browser and not postgres and not gpu" $(ARGS)

test-all:
	@PYTHONS='$(PYTHONS)' .ci/test-all

lint: $(READY)
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

# Into docs/_build/html; a warning fails the build, a broken link or anchor is one.
docs: $(READY)
	$(BIN)/python -m sphinx -W --keep-going $(ARGS) docs docs/_build/html

# Source distribution and wheel into dist/. The wheel, built from the source distribution, must work in an empty environment.
package: $(READY)
	BIN=$(BIN) PYTHON=$(PYTHON) CONSTRAINTS=$(CONSTRAINTS) .ci/package

$(READY): pyproject.toml $(CONSTRAINTS) sb3_atari_dqn.pth sb3_atari_dqn_autoload.py
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "make: $(PYTHON) is not Python 3.11 to 3.13; name another one: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "make: $(PYTHON) has no venv module; install it: apt-get install python3-venv" >&2; exit 1; }
	@echo 'Installing $(or $(CONSTRAINTS),the newest versions) into $(VENV); this takes a few minutes.'
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(CONSTRAINTS:%=-c %) -e '.[dev,docs,postgres,ray]'
	@touch $@
