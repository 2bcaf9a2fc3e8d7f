# What one types. Each target makes the virtual environment that it needs (scripts/environment).
#
#   make demo      a network on this machine, with code on its nodes
#   make test      everything that has to hold: lint, types, tests
#   make pytest    the tests alone; make pytest ARGS="-k nat -n 0" picks from them
#   make guest-tests    the tests inside the guest kernel, in virtual time; TIME=real in real time
#   make lint      ruff and mypy alone; make format mends what a program can mend
#   make bench     the numbers
#   make kernel    the guest kernel, into the user's cache: some minutes
#   make kernel-wheel    the package patchbay-kernel with it, into dist
#   make docs      the documentation, into docs/_site
#   make clean     remove what the others made

export VENV ?= .venv
python := $(VENV)/bin/python
ARGS ?=
TIME ?= virtual

.PHONY: guest-tests demo test lint style format-check types format pytest docs bench kernel kernel-wheel clean
.PHONY: environment environment-test environment-bench environment-docs
.NOTPARALLEL:

demo: environment
	@$(python) examples/demo.py

test: lint pytest

lint: style format-check types

style: environment-test
	$(python) -m ruff check

format-check: environment-test
	$(python) -m ruff format --check

types: environment-test
	$(python) -m mypy

format: environment-test
	$(python) -m ruff check --fix
	$(python) -m ruff format

pytest: environment-test
	$(python) -m pytest -n auto $(ARGS)

# A guest is several times slower than its host: a test that takes long there does not hang.
guest-tests: kernel environment-test
	$(python) -m pytest --patchbay-guest=$(TIME) --patchbay-guest-options="--memory 4G" \
	    -o faulthandler_timeout=900 $(ARGS)

docs: environment-docs
	$(python) docs/build.py

kernel: environment
	@$(python) -m patchbay kernel build

kernel-wheel: kernel
	PATCHBAY_KERNEL=$$($(python) -m patchbay kernel path) \
	    $(python) -m pip wheel --quiet --no-deps --wheel-dir dist packaging/kernel

bench: environment-bench
	$(python) -m benchmarks $(ARGS)

environment:
	@scripts/environment

environment-test environment-bench environment-docs: environment-%:
	@scripts/environment $*

clean:
	rm -rf $(VENV) dist build docs/_site .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
