# Bare `make` prints help, made from the comments behind the targets.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help figures report test small processes units outputs bench lab audit clean

PYTHON ?= python3
PROFILE ?= $(or $(METALIB_PROFILE),quick)
DATA ?= er-like
# These go into shell commands: each is looked at as it was given, before make expands anything in it.
GIVEN := DATA NOTEBOOK PROFILE RUNS METALIB_PROFILE METALIB_FIGURES
PLAIN := a b c d e f g h i j k l m n o p q r s t u v w x y z A B C D E F G H I J K L M N O P Q R S T U V W X Y Z 0 1 2 3 4 5 6 7 8 9 . _ - / +
rest = $(if $(2),$(call rest,$(subst $(firstword $(2)),,$(1)),$(wordlist 2,99,$(2))),$(1))
check = $(if $(call rest,$(value $(1)),$(PLAIN)),$(error $(1)='$(value $(1))' holds other characters than letters, digits and . _ - / +, which a shell could take for commands: choose a name without them))
$(foreach name,$(GIVEN),$(if $(filter-out file,$(origin $(name))),$(call check,$(name))))

VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/ready
CODE := $(shell find metalib -name '*.py' -o -name '*.mplstyle' 2>/dev/null)
# The committed results; everything else draws into .cache/figures, so that no try of one's own replaces them.
PUBLISHED := $(filter $(foreach d,er-like nuc street,$d.quick $d.study $d.paper),$(DATA).$(PROFILE))
FIGURES := $(or $(METALIB_FIGURES),$(CURDIR)/$(if $(PUBLISHED),figures,.cache/figures))
# By default every notebook runs, on embedded data of its own. Other data go through the notebooks that train on them.
BINARY := 02_training_curves 04_perturbed_labels 05_random_labels 07_igtt 10_effective_pixels 11_text_and_code 12_igtt_choices 13_full_rank
MANY_CLASSES := $(filter street cityscapes street-like%,$(DATA)) $(wildcard $(DATA)/classes.json)
# The diagnosis reads what the others recorded in `figures`, which has no sets of one's own; the start counts verdicts.
DIAGNOSIS := 08_label_diagnosis
START := 00_start_here
# What takes a GPU is computed elsewhere, see README, and drawn from the runs that are in this file by now. The study trains
# here, for hours, unless it is given a file.
RUNS := $(if $(filter paper,$(PROFILE)),figures/runs.paper.jsonl)
STUDY := 02_training_curves 03_multiclass_labels 04_perturbed_labels 05_random_labels 10_effective_pixels 11_text_and_code 13_full_rank
OTHER := $(or $(NOTEBOOK),$(sort $(if $(filter er-like,$(DATA)),$(if $(filter study,$(PROFILE)),$(STUDY),$(RUNS:%=03_multiclass_labels $(BINARY))),$(if $(strip $(MANY_CLASSES)),03_multiclass_labels,$(BINARY)) $(if $(filter nuc street,$(DATA)),$(DIAGNOSIS)))))
WITH_RUNS := 03_multiclass_labels $(BINARY)
ALL := $(sort $(basename $(notdir $(wildcard notebooks/[0-9]*.ipynb))))
# In the order of their numbers, two side by side; which notebooks wait for others, the diagnosis and the start, two rules below say.
NAMES := $(or $(OTHER),$(filter-out $(START),$(ALL)) $(START))
EXECUTED := .cache/executed/$(subst /,_,$(DATA)).$(PROFILE)$(NOTEBOOK:%=.%)
# Files of real data, and figures that somebody removed, are nothing that make can see: these notebooks run again.
STALE := $(if $(filter %-like,$(DATA)),$(foreach n,$(NAMES),$(if $(wildcard $(FIGURES)/$(n)*.png),,$(n))),$(NAMES))
PLACE := $(if $(filter er-like,$(DATA)),,$(if $(wildcard $(DATA)/train),$(abspath $(DATA)),$(DATA)))

help: ## this list
	@echo "make TARGET [PROFILE=smoke|quick|study|paper] [DATA=real|nuc|street|er|mito|cityscapes|mito-like|nuc-like|FOLDER] [NOTEBOOK=07_igtt]"
	@sed -n 's/^\([a-z]*\):.*## /  \1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 12

ifeq ($(DATA),real)
figures: # the real sets of METALIB_DATA, or ../shared/data
	$(MAKE) figures DATA=nuc
	$(MAKE) figures DATA=street
else
figures: $(EXECUTED)/trained ## train what is not cached (PROFILE=paper: nothing; PROFILE=study: for hours), redraw every figure, renew the verdicts
	@$(MAKE) --no-print-directory --jobs=2 TRAINED=yes $(EXECUTED)/done
endif

report: figures ## every notebook and figure in one HTML file, report.html
	METALIB_FIGURES="$(FIGURES)" $(RUN) -m metalib report $(EXECUTED) report.html

test: $(READY) ## lint, then the next four, two at a time
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=line small processes units outputs

small: $(READY) ## every notebook in small
	$(RUN) -m pytest tests/test_notebooks.py

# Apart from the unit tests, which use the cores while these wait for processes.
processes: $(READY) ## tests of what goes on in several processes, and in a browser
	$(RUN) -m pytest tests -m processes --ignore=tests/test_notebooks.py

units: $(READY) ## unit tests
	$(RUN) -m pytest tests -m "not processes and not drawn" --ignore=tests/test_notebooks.py

outputs: $(READY) ## outputs of checked cells, and figures, from the committed records
	@rm -rf .cache/checked
	METALIB_PROFILE= METALIB_SOURCE=record METALIB_FIGURES="$(CURDIR)/.cache/checked" $(RUN) -m pytest --nbval-lax --nbval-current-env notebooks
	$(RUN) -m pytest tests/test_vintage.py -m drawn

bench: $(READY) ## time every step against a plain version of it, renew the table in README.md
	@mkdir -p .cache
	TQDM_DISABLE=1 $(RUN) -m pytest benchmarks --benchmark-quiet --benchmark-json=.cache/benchmarks.json
	TQDM_DISABLE=1 $(RUN) -m benchmarks.growth
	TQDM_DISABLE=1 $(RUN) -m benchmarks.waits
	$(RUN) -m benchmarks.table .cache/benchmarks.json

# In a container one is often root, which JupyterLab wants to be told.
lab: $(READY) ## JupyterLab on this machine, at its start page; figures drawn there go to .cache/lab
	METALIB_FIGURES="$(CURDIR)/.cache/lab" $(RUN) -m jupyterlab --ip=127.0.0.1 $(if $(filter 0,$(shell id -u)),--allow-root) --LabApp.default_url=/lab/tree/notebooks/$(START).ipynb

# Strict, as pip-audit else calls safe what its database does not answer for.
audit: ## list the pinned versions, and look up their known vulnerabilities where pip-audit is installed
	@grep == requirements.txt
	@if command -v pip-audit >/dev/null; then pip-audit --strict --disable-pip --no-deps -r requirements.txt; else echo "not audited: pip-audit is not installed"; fi

clean: ## remove cached runs, executed notebooks and the virtual environment
	rm -rf .cache $(VENV)

$(EXECUTED)/done: $(NAMES:%=$(EXECUTED)/%.ipynb)
	$(if $(PUBLISHED),$(RUN) -m metalib readme,@echo "figures and verdicts are in $(FIGURES)")
	@touch $@

# One thread, as two run side by side, and threads that wait for each other on busy cores take four times as long.
$(EXECUTED)/%.ipynb: notebooks/%.ipynb $(CODE) $(READY) $(wildcard $(RUNS)) | $(EXECUTED)/trained
	$(RUNS:%=METALIB_SOURCE="$(abspath %)") OMP_NUM_THREADS=1 METALIB_FIGURES="$(FIGURES)" $(RUN) -m metalib execute $< $@ $(if $(filter er-like.quick,$(DATA).$(PROFILE)),--sync) profile=$(PROFILE) $(PLACE:%=data=%)

$(EXECUTED)/$(DIAGNOSIS).ipynb: $(patsubst %,$(EXECUTED)/%.ipynb,$(filter $(WITH_RUNS),$(NAMES)))
$(EXECUTED)/$(START).ipynb: $(filter-out %/$(START).ipynb,$(NAMES:%=$(EXECUTED)/%.ipynb))

# One sweep over the runs of all notebooks, which then find them in the cache; with a file of runs, a count of what it holds.
$(EXECUTED)/trained: $(CODE) $(READY)
	@mkdir -p $(EXECUTED)
	METALIB_FIGURES="$(FIGURES)" $(RUN) -m metalib experiments $(OTHER) $(or $(RUNS:%=--limit-s=0 --runs=%),--no-records) --profile $(PROFILE) $(PLACE:%=--data=%)
	@touch $@

FORCE:
$(STALE:%=$(EXECUTED)/%.ipynb): FORCE
$(if $(filter %-like,$(DATA))$(TRAINED),,$(EXECUTED)/trained): FORCE

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c "import sys; v = sys.version_info; v >= (3, 11) or sys.exit(f'Python 3.11 or newer is needed, this is {v[0]}.{v[1]}: call make PYTHON=/path/to/python3.11')"
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@
