SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

# The first Python on the path that is new enough; `make PYTHON=/path/to/python3.12 ...` takes another.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3 python; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	&& echo $$p && break; done)
VENV := .venv
OLDEST := .venv-oldest
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALLED := $(VENV)/.installed

# Two processes: each holds TensorFlow (0.6 GiB), and most of a test is single-threaded tracing. Each takes
# one half of the tests in their order, so that what a module builds once is built once, and who is done
# first takes from the other.
TEST_WORKERS ?= 2
PYTEST := $(BIN)/python -m pytest
SHARED := -n $(TEST_WORKERS) --dist worksteal --durations 10
# What must hold on every backend; data, exports and the command line need TensorFlow.
JAX_TESTS := $(wildcard $(addprefix tests/,test_specs.py test_spec_fields.py test_objective.py test_build_model.py test_logs.py \
	test_keras_private.py \
	kept labels backend dependence heads layers metrics sharing trunks \
	training/test_fit_phases.py training/test_per_task_stopping.py \
	$(addprefix balancers/test_,by_losses.py by_elements.py by_pairs.py levels.py \
	degenerate.py optimizers.py compiling.py)))
# JAX compiles most operations of a test to run them once, so that compiling them well does not pay.
JAX_QUICKLY := KERAS_BACKEND=jax JAX_DISABLE_MOST_OPTIMIZATIONS=1 XLA_FLAGS=--xla_cpu_use_fusion_emitters=false
# The core in a minute: what is computed, logged, saved and refused, without data, recipes, searches.
QUICK_TESTS := $(addprefix tests/,test_objective.py test_logs.py test_specs.py test_build_model.py \
	backend heads/test_losses.py metrics layers/test_crf.py trunks/test_mlp_trunk.py \
	$(addprefix balancers/test_,by_losses.py by_elements.py) training/test_divergence.py)

OLDEST_JAX_TESTS := $(addprefix tests/,test_keras_private.py test_objective.py test_logs.py test_specs.py test_build_model.py \
	kept dependence sharing heads/test_losses.py metrics $(addprefix balancers/test_,by_losses.py by_elements.py))

# TensorFlow's greeting about instruction sets and oneDNN; warnings and errors still show.
export TF_CPP_MIN_LOG_LEVEL ?= 1

.PHONY: help demo test test-quick test-slow test-oldest lint format bench docs clean

help:
	@echo "make demo       train the digits recipe, print its table, leave a SavedModel (about 3 minutes at first)"
	@echo "make test       all tests on TensorFlow, then the backend-neutral ones on JAX"
	@echo "make test-quick the core on TensorFlow, for the inner loop (about a minute)"
	@echo "make test-slow  the tests that train for longer, and all in graphs as users have them"
	@echo "make test-oldest all tests on TensorFlow, the core on JAX, with the lower bounds of all requirements"
	@echo "make lint       ruff, mypy and the order of imports;  make format  rewrites the code style"
	@echo "make bench      step time and import time against plain Keras"
	@echo "make docs       writes the reference from the docstrings to docs/reference"
	@echo "Each sets up $(VENV) first if it is not there, with nothing but Python 3.11 and pip."

# Most files are never imported, so Python compiles those that are when they are. Of pip's report awk shows the
# large downloads; the whole report is kept, and its end shown on failure.
$(INSTALLED): requirements.txt pyproject.toml
	@[ -n "$(PYTHON)" ] || { echo "No Python 3.11, 3.12 or 3.13 found; name one: make PYTHON=/path/to/python3.11"; exit 1; }
	@if ! $(BIN)/python -m pip --version > /dev/null 2>&1; then \
		echo "[1/3] creating $(VENV) with $$($(PYTHON) --version)"; \
		$(PYTHON) -m venv $(VENV) 2>/dev/null || { \
			echo "      this Python has no ensurepip: using its own pip"; \
			$(PYTHON) -m venv --without-pip $(VENV); \
			$(PYTHON) -m pip --python $(BIN)/python install --quiet pip; }; \
	fi
	@echo "[2/3] installing the packages of requirements.txt (about 500 MB to download, one to three minutes)"
	@$(PIP) install --no-compile --progress-bar off -r requirements.txt 2>&1 | tee $(VENV)/install.log | awk ' \
		/(Downloading|Using cached) .* MB\)/ { print "      " $$(NF-2), $$(NF-1), $$NF; fflush() } \
		/^Installing collected/ { print "      unpacking"; fflush() }' \
		|| { tail -n 20 $(VENV)/install.log; exit 1; }
	@echo "[3/3] installing mtlkeras itself"
	@$(PIP) install --no-deps --editable . >> $(VENV)/install.log 2>&1 || { tail -n 20 $(VENV)/install.log; exit 1; }
	@touch $@

demo: $(INSTALLED)
	@echo "training the digits recipe: digit and parity of scikit-learn's 8x8 images"
	@$(BIN)/mtlkeras train digits

test: $(INSTALLED)
	@echo "[1/2] all tests on TensorFlow"
	@KERAS_BACKEND=tensorflow $(PYTEST) $(SHARED)
	@echo "[2/2] the backend-neutral tests on JAX"
	@$(JAX_QUICKLY) $(PYTEST) $(SHARED) -m "not slow and not tensorflow and not data" $(JAX_TESTS)

test-quick: $(INSTALLED)
	@KERAS_BACKEND=tensorflow $(PYTEST) $(SHARED) -q $(QUICK_TESTS)

test-slow: $(INSTALLED)
	@echo "[1/3] what trains for longer, on TensorFlow"
	@KERAS_BACKEND=tensorflow MTLKERAS_TEST_TRACED=1 $(PYTEST) -m slow
	@echo "[2/3] what takes longer to compile, on JAX"
	@$(JAX_QUICKLY) $(PYTEST) $(SHARED) -m "slow and not tensorflow and not data" $(JAX_TESTS)
	@echo "[3/3] all other tests on TensorFlow, traced and optimised as users' models are"
	@KERAS_BACKEND=tensorflow MTLKERAS_TEST_TRACED=1 $(PYTEST) $(SHARED)

# The oldest versions that pyproject.toml allows, all at once in an environment of their own.
$(OLDEST)/.installed: requirements-oldest.txt
	@[ -n "$(PYTHON)" ] || { echo "No Python 3.11, 3.12 or 3.13 found; name one: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv $(OLDEST) 2>/dev/null || { \
		$(PYTHON) -m venv --without-pip $(OLDEST); \
		$(PYTHON) -m pip --python $(OLDEST)/bin/python install --quiet pip; }
	@$(OLDEST)/bin/python -m pip --disable-pip-version-check install --quiet -r requirements-oldest.txt
	@touch $@

# On JAX the core alone.
test-oldest: $(OLDEST)/.installed
	@$(OLDEST)/bin/python -m pip list 2> /dev/null | grep -iE '^(keras|tensorflow.cpu|tensorflow|jax|numpy) '
	@echo "[1/2] all tests on TensorFlow, with the oldest versions"
	@PYTHONPATH=$(CURDIR) KERAS_BACKEND=tensorflow $(OLDEST)/bin/python -m pytest $(SHARED)
	@echo "[2/2] the core on JAX, with the oldest versions"
	@PYTHONPATH=$(CURDIR) $(JAX_QUICKLY) $(OLDEST)/bin/python -m pytest $(SHARED) \
		-m "not slow and not tensorflow and not data" $(OLDEST_JAX_TESTS)

lint: $(INSTALLED)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo --no-cache

format: $(INSTALLED)
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(INSTALLED)
	@$(BIN)/python benchmarks/overhead.py

docs: $(INSTALLED)
	@$(BIN)/python docs/generate_reference.py

clean:
	rm -rf $(VENV) $(OLDEST) docs/reference .pytest_cache .mypy_cache .ruff_cache
