# Bare `make` prints help, made from the comments behind the targets.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help figures test lab clean
SHELL := /bin/bash

PYTHON ?= python3
PROFILE ?= quick
DATA ?= er-like

VENV := .venv
RUN := $(VENV)/bin/python
CODE := $(wildcard metalib/*)
# Real data and own folders go through the training curves; the other notebooks need embedded data only.
NOTEBOOKS := $(if $(filter er-like,$(DATA)),$(sort $(wildcard notebooks/[0-9]*.ipynb)),notebooks/02_training_curves.ipynb)
EXECUTED := .cache/executed/$(notdir $(DATA)).$(PROFILE)
DEFAULT := $(filter er-like.quick,$(notdir $(DATA)).$(PROFILE))

help: ## this list
	@echo "make TARGET [PROFILE=smoke|quick|paper] [DATA=er-like|mito-like|nuc-like|nuc|FOLDER]"
	@sed -n 's/^\([a-z]*\):.*## /  \1\t/p' $(MAKEFILE_LIST) | expand -t 12

figures: $(EXECUTED)/README.done ## train what is not cached, redraw every figure, renew the verdicts in README.md

test: $(VENV)/ready ## lint, unit tests, notebooks in small, outputs of checked cells
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(RUN) -m pytest tests
	METALIB_SOURCE=record METALIB_FIGURES=$(CURDIR)/.cache/checked $(RUN) -m pytest --nbval-lax --nbval-current-env notebooks

lab: $(VENV)/ready ## JupyterLab on this machine, in notebooks/
	$(VENV)/bin/jupyter lab --ip=127.0.0.1 notebooks

clean: ## remove cached runs, executed notebooks and the virtual environment
	rm -rf .cache $(VENV)

$(EXECUTED)/README.done: $(NOTEBOOKS:notebooks/%=$(EXECUTED)/%)
	$(RUN) -m metalib.claims
	@touch $@

$(EXECUTED)/%.ipynb: notebooks/%.ipynb $(CODE) $(VENV)/ready
	$(RUN) -m metalib.execute $< $@ $(if $(DEFAULT),--sync) profile=$(PROFILE) $(if $(filter-out er-like,$(DATA)),data=$(if $(wildcard $(DATA)/train),$(abspath $(DATA)),$(DATA)))

$(VENV)/ready: requirements.txt pyproject.toml
	@$(PYTHON) -c "import sys; v = sys.version_info; v >= (3, 11) or sys.exit(f'Python 3.11 or newer is needed, this is {v[0]}.{v[1]}: call make PYTHON=/path/to/python3.11')"
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r requirements.txt
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@
