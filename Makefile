# Bare `make` prints help, made from the comments behind the targets.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help figures test lab clean

PYTHON ?= python3
PROFILE ?= $(or $(METALIB_PROFILE),quick)
DATA ?= er-like
$(if $(word 2,$(DATA)),$(error DATA="$(DATA)" has a space: use a path without one))

VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/ready
CODE := $(wildcard metalib/*.py metalib/*.mplstyle)
# The committed results; everything else draws into .cache/figures, so that no try of one's own replaces them.
PUBLISHED := $(filter er-like.quick nuc.quick er-like.paper nuc.paper,$(DATA).$(PROFILE))
FIGURES := $(or $(METALIB_FIGURES),$(CURDIR)/$(if $(PUBLISHED),figures,.cache/figures))
# Real data and own folders go through the training curves; the other notebooks need embedded data only.
NAMES := $(if $(filter er-like,$(DATA)),$(sort $(basename $(notdir $(wildcard notebooks/[0-9]*.ipynb)))),02_training_curves)
EXECUTED := .cache/executed/$(subst /,_,$(DATA)).$(PROFILE)
# Files of real data, and figures that somebody removed, are nothing that make can see: these notebooks run again.
STALE := $(if $(filter %-like,$(DATA)),$(foreach n,$(NAMES),$(if $(wildcard $(FIGURES)/$(n)*.png),,$(n))),$(NAMES))
PARAMETERS = profile=$(PROFILE) $(if $(filter-out er-like,$(DATA)),data=$(if $(wildcard $(DATA)/train),$(abspath $(DATA)),$(DATA)))

help: ## this list
	@echo "make TARGET [PROFILE=smoke|quick|paper] [DATA=er-like|mito-like|nuc-like|nuc|FOLDER]"
	@sed -n 's/^\([a-z]*\):.*## /  \1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 12

figures: $(EXECUTED)/done ## train what is not cached, redraw every figure, renew the verdicts in README.md

test: $(READY) ## lint, unit tests, notebooks in small, outputs of checked cells
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m pytest tests
	METALIB_PROFILE= METALIB_SOURCE=record METALIB_FIGURES="$(CURDIR)/.cache/checked" $(RUN) -m pytest --nbval-lax --nbval-current-env notebooks

lab: $(READY) ## JupyterLab on this machine; figures drawn there go to .cache/lab
	METALIB_FIGURES="$(CURDIR)/.cache/lab" $(RUN) -m jupyterlab --ip=127.0.0.1 --LabApp.default_url=/lab/tree/notebooks

clean: ## remove cached runs, executed notebooks and the virtual environment
	rm -rf .cache $(VENV)

$(EXECUTED)/done: $(NAMES:%=$(EXECUTED)/%.ipynb)
	$(if $(PUBLISHED),$(RUN) -m metalib.claims,@echo "figures and verdicts are in $(FIGURES)")
	@touch $@

$(EXECUTED)/%.ipynb: notebooks/%.ipynb $(CODE) $(READY)
	METALIB_FIGURES="$(FIGURES)" $(RUN) -m metalib.execute $< $@ $(if $(filter er-like.quick,$(DATA).$(PROFILE)),--sync) $(PARAMETERS)

FORCE:
$(STALE:%=$(EXECUTED)/%.ipynb): FORCE

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c "import sys; v = sys.version_info; v >= (3, 11) or sys.exit(f'Python 3.11 or newer is needed, this is {v[0]}.{v[1]}: call make PYTHON=/path/to/python3.11')"
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@
