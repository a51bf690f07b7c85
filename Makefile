# rlnotes. `make` lists the targets. Nothing is needed but Python 3.11 or newer.
PYTHON ?= python3
VENV   ?= .venv
NB     ?=

BIN    := $(VENV)/bin
STAMP  := $(VENV)/.rlnotes-installed
EXTRAS := notebooks,trl,tasks,dev

# A thread that waits sleeps. Without this, two threads that meet another process on
# their two cores spin against it, and a training step takes several times as long.
export OMP_WAIT_POLICY ?= PASSIVE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help env run test test-isa check format notebooks html lab table mutants clean

help:  ## list the targets
	@echo "usage: make TARGET [NB=03_grpo] [PYTHON=python3.12] [VENV=.venv]"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

env: $(STAMP)  ## make .venv if there is none and install the pinned packages

run: env  ## fetch the model, execute the notebooks in order, write runs/<time>/
	$(BIN)/rlnotes run $(if $(NB),--only $(NB))

# Two processes, a file each; the two longest notebooks first, or one ends alone.
PARALLEL := -n 2 --dist loadfile
UNIT     := tests
LONGEST  := notebooks/11_train.ipynb notebooks/05_r1_zero.ipynb

test: env  ## unit tests, then every notebook with its outputs compared
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PARALLEL) -m "not slow" $(UNIT)
	rm -rf build/test-runs
	OMP_NUM_THREADS=1 RLNOTES_RUNS="$(CURDIR)/build/test-runs" TQDM_DISABLE=1 \
	  $(BIN)/python -m pytest $(PARALLEL) \
	  --nbval-lax --nbval-current-env --nbval-cell-timeout=1200 \
	  $(if $(NB),$(NB:%=notebooks/%.ipynb),$(LONGEST) notebooks)

# torch and oneDNN as on a processor before AVX-512; QUICK=1: what depends on it most.
OLDER_CPU := ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2
QUICK_UNIT := tests/training tests/rollouts tests/machine tests/equations/test_fused.py

test-isa: env  ## the same as on an older processor (a quick part: QUICK=1)
	$(OLDER_CPU) $(MAKE) test $(if $(QUICK),NB=03_grpo UNIT="$(QUICK_UNIT)")

check: env  ## format, lint, types, floors, and notebooks equal to their sources
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m rlnotes.teaching.notebook_pairs check
	$(BIN)/python -m pytest -q tests/project/test_markdown.py tests/project/test_prose_numbers.py

format: env  ## let ruff reformat the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

notebooks: env  ## rebuild and execute the notebooks from notebooks/src (one: NB=03_grpo)
	$(BIN)/python -m rlnotes.teaching.notebook_pairs build $(NB)

html: env  ## the committed notebooks as HTML in build/html (THEME=dark)
	$(BIN)/jupyter nbconvert --to html --template html --theme $(or $(THEME),light) \
	  --TemplateExporter.extra_template_basedirs=notebooks --output-dir build/html \
	  $(or $(NB:%=notebooks/%.ipynb),notebooks/*.ipynb)

lab: env  ## open JupyterLab on the notebooks
	$(BIN)/jupyter lab notebooks

table: env  ## the results table of the recorded runs, as Markdown
	$(BIN)/rlnotes table

mutants: env  ## mutation testing of the equations, an hour (one module: MOD=objectives)
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[mutants]"
	PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 OMP_NUM_THREADS=1 \
	  $(BIN)/mutmut run $(if $(MOD),"rlnotes.*.$(MOD).*")
	$(BIN)/mutmut results | grep -v "not checked" || true

clean:  ## remove caches and build output; keeps .venv, runs/ and the model cache
	rm -rf build dist .pytest_cache .ruff_cache .mypy_cache .hypothesis mutants
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { \
	  echo "make: no '$(PYTHON)' found; name a Python >= 3.11: make PYTHON=python3.12" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "make: $(PYTHON) is $$($(PYTHON) -V 2>&1), rlnotes needs Python >= 3.11;" \
	    "name one: make PYTHON=python3.12" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV) || { rm -f $@; exit 1; }

$(STAMP): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install -c constraints.txt -e ".[$(EXTRAS)]"
	@touch $@
