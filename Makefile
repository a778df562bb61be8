# `make` alone lists the targets. Everything lives in .venv and runs/; `make clean` removes both.
PYTHON ?= python3
EPOCHS ?=
SET ?=
GPU ?=
PORT ?= 8866
SLIDES ?=
COUNT ?= 2000
SEED ?= 0
LOCK ?= requirements.lock
JAX ?= jax[cpu]>=0.7,<0.13
TORCH ?= torch>=2.6,<3
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

VENV_PYTHON = .venv/bin/python
NOTEBOOKS = $(VENV_PYTHON) tools/run_notebooks.py
BACKENDS = jax torch

# Not empty where TensorFlow gets its CUDA libraries: with GPU=1, or where an NVIDIA card answers,
# unless GPU=0. They exist for Linux on x86_64 alone. A broken driver must not hang the set-up.
CUDA = $(if $(filter 0 1,$(GPU)),$(filter 1,$(GPU)),$(shell \
	[ "$$(uname -sm)" = 'Linux x86_64' ] && timeout 30 nvidia-smi >/dev/null 2>&1 && echo 1))

# This checkout is what gets imported, even after its folder was moved or renamed.
export PYTHONPATH := $(CURDIR)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# Exact versions, as constraints: what is installed is said by requirements*.txt. `make LOCK= setup`
# takes the newest versions within their ranges instead.
LOCKED = $(if $(LOCK),-c $(LOCK))

.DEFAULT_GOAL = help
.PHONY: help setup run app test notebooks train quantize refit average measure results lint fuzz \
	torture test-backends benchmark lock audit licences clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' Makefile

setup: .venv/installed ## make .venv and install into it, once; GPU=0: no CUDA, GPU=1: CUDA anyway
	@$(if $(CUDA),$(MAKE) --silent .venv/installed-gpu)

run: setup ## execute every notebook; copies, graphs and a results table go to runs/
	@$(NOTEBOOKS) run

app: setup ## serve notebooks/try_it.ipynb as a page on this computer: make app [PORT=8866] [SLIDES=folder]
	@$(VENV_PYTHON) tools/app.py --port $(PORT) $(if $(SLIDES),--slides "$(SLIDES)")

# On the CPU: several tests at once would each ask for all the memory of a card. One thread for each
# test, because several tests run at once.
test: setup lint ## run the tests; those on real data need MONUSEG_DIR
	@CUDA_VISIBLE_DEVICES= OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 \
		$(VENV_PYTHON) -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal

notebooks: setup ## execute every notebook in place, ready to commit
	@$(NOTEBOOKS) rewrite

# TensorFlow is faster with the kernels of oneDNN, which it uses by itself only with AVX-512.
train refit average: export TF_ENABLE_ONEDNN_OPTS ?= 1

# Only from the command line: some systems have a variable NAME, which is that of the computer.
train: setup ## train a network: make train MODEL=unet [EPOCHS=25] [DATA=folder NAME=my_unet START=unet]
	@$(NOTEBOOKS) train "$(MODEL)" $(if $(EPOCHS),"EPOCHS=$(EPOCHS)") \
		$(foreach one,DATA NAME START,$(if $(filter command,$(origin $(one))),"$(one)=$($(one))")) $(SET)

measure: setup ## measure the shipped models again, on MoNuSeg: make measure [MODEL=unet]
	@$(VENV_PYTHON) tools/measure.py $(MODEL)

refit: setup ## train a model once more, now also on the validation images: make refit MODEL=unet [START=] [PRECISION=]
	@$(VENV_PYTHON) tools/refit.py $(MODEL) $(if $(START),--start $(START)) \
		$(if $(PRECISION),--precision $(PRECISION))

average: setup ## mix a model with what its training began with: make average MODEL=unet START=folder
	@$(VENV_PYTHON) tools/average.py $(MODEL) $(START)

quantize: setup ## make the int8 form of the models: make quantize [MODEL=unet]; needs MoNuSeg
	$(VENV_PYTHON) -m pip install --quiet -r requirements-quantize.txt
	@$(VENV_PYTHON) tools/quantize.py $(MODEL)

results: setup ## write the tables of results and the models' cards from their metrics
	@$(VENV_PYTHON) tools/results.py

lint: setup ## check code, format and notebooks
	@$(VENV_PYTHON) -m ruff check .
	@$(VENV_PYTHON) -m ruff format --check .
	@$(VENV_PYTHON) tools/check_notebooks.py

fuzz: setup ## damage files in thousands of ways and read them: make fuzz [COUNT=2000] [SEED=0]
	@CUDA_VISIBLE_DEVICES= $(VENV_PYTHON) tests/fuzz.py --count $(COUNT) --seed $(SEED)

torture: setup ## kill runs and break their disks, and see whether they end as undisturbed: make torture [SEED=0]
	@CUDA_VISIBLE_DEVICES= $(VENV_PYTHON) tests/torture.py --seed $(SEED)

test-backends: $(BACKENDS:%=test-%) ## run the tests under JAX and under PyTorch, on the CPU

benchmark: setup ## time the steps whose speed matters
	@for script in benchmarks/*.py; do $(VENV_PYTHON) "$$script" || exit 1; done

lock: .venv-supply/installed ## write requirements.lock anew: the newest versions that fit together
	@.venv-supply/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 \
		--strip-extras --no-annotate --no-emit-package nuclei --custom-compile-command 'make lock' \
		requirements.txt requirements-dev.txt --output-file requirements.lock

# The versions are exact, so nothing has to be installed or resolved. A package that the index does
# not answer for is an error.
audit: .venv-supply/installed ## look for known vulnerabilities in requirements.lock; needs the network
	@.venv-supply/bin/pip-audit --strict --no-deps --disable-pip --progress-spinner off \
		-r requirements.lock || { echo 'The audit failed: it found a vulnerability, or could not ask' \
		'PyPI for each package, for which it needs the network.' >&2; exit 1; }

licences: setup ## write docs/licences.md from the metadata of the installed packages
	@$(VENV_PYTHON) tools/licences.py

clean: ## remove environments, runs/ and caches; data/, models/ and Graphs/ stay
	rm -rf .venv .venv-supply $(BACKENDS:%=.venv-%) runs *.egg-info .pytest_cache .ruff_cache
	find nuclei notebooks tests tools benchmarks experiments -name __pycache__ -prune -exec rm -rf {} +

.PHONY: $(BACKENDS:%=test-%)
$(BACKENDS:%=test-%): test-%: .venv-%/installed
	KERAS_BACKEND=$* CUDA_VISIBLE_DEVICES= JAX_PLATFORMS=cpu \
		.venv-$*/bin/python -m pytest -m "not tensorflow"

# The stamp is written last: an install that was interrupted starts over, from an empty folder.
.venv/installed: requirements.txt requirements-dev.txt requirements-export.txt requirements-app.txt \
		$(LOCK)
	$(new-environment)
	@$(if $(CUDA),,echo 'TensorFlow is installed for the CPU alone:' \
		'`make setup GPU=1` adds the CUDA libraries that an NVIDIA card needs.')
	.venv/bin/python -m pip install --no-compile -r requirements.txt -r requirements-dev.txt $(LOCKED)
	@# On all cores, where pip uses one, and without the tests of packages. Templates in some
	@# packages are no Python and are skipped.
	@.venv/bin/python -m compileall -qq -j 0 -x '/tests/' .venv/lib || true
	@touch $@

# A stamp of its own: a card that comes later gets its libraries without a new .venv, and a new .venv
# starts without it. As a prerequisite of `setup` it would make even `make help` ask for a card.
.venv/installed-gpu: requirements-gpu.txt $(LOCK)
	@echo 'TensorFlow gets the CUDA libraries that an NVIDIA card needs, 2.8 GB: GPU=0 prevents it.'
	.venv/bin/python -m pip install -r requirements-gpu.txt $(LOCKED)
	@touch $@

.venv-supply/installed: requirements-supply.txt
	$(new-environment)
	@$(@D)/bin/python -m pip install --quiet -r $<
	@touch $@

.venv-jax/installed: EXTRA = "$(JAX)"
.venv-torch/installed: EXTRA = "$(TORCH)" $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
.venv-%/installed: requirements.txt requirements-dev.txt requirements-export.txt requirements-app.txt
	$(new-environment)
	@grep -v '^tensorflow' requirements.txt > $(@D)/requirements.txt
	$(@D)/bin/python -m pip install -r $(@D)/requirements.txt -r requirements-dev.txt $(EXTRA)
	@touch $@

define new-environment
@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || { \
	echo 'Python 3.11, 3.12 or 3.13 is needed and $(PYTHON) is none of them:' \
		'install one and name it, as in: make PYTHON=python3.12 $(MAKECMDGOALS)' >&2; exit 1; }
$(PYTHON) -m venv --clear $(@D)
@# Up to 23.2, which comes with Python 3.11, pip takes three times as long to resolve all this.
@$(@D)/bin/python -m pip install --quiet 'pip>=25'
endef
