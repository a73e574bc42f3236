# `make run` and `make test` install what they need into .venv. Needed beforehand: Python 3.11+, a C++ compiler, make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# llama.cpp is compiled once for each set of options, and kept outside the checkout.
CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/llm-inference-api
LLAMA_VERSION := $(shell sed -n 's/.*"llama-cpp-python==\([0-9.]*\)".*/\1/p' pyproject.toml)
export CMAKE_ARGS ?= -DLLAVA_BUILD=OFF -DLLAMA_BUILD_TOOLS=OFF
WHEELS := $(CACHE)/wheels/$(LLAMA_VERSION)-$(shell echo "$(CMAKE_ARGS) $$($(PYTHON) -V) $$(uname -m)" | cksum | cut -d' ' -f1)

.PHONY: run test fuzz lint generate clean help

help:
	@echo "make run       serve the demo model: REST on 8091, gRPC on 50051"
	@echo "make test      lint, type check and test"
	@echo "make fuzz      send thousands of requests that the OpenAPI document allows or forbids; some minutes"
	@echo "make generate  write the stubs and the Envoy bootstrap again after a change of proto/"

run: $(VENV)/.installed
	@exec $(BIN)/llm-inference-api serve

test: lint
	$(BIN)/pytest -q

fuzz: $(VENV)/.installed-dev
	$(BIN)/pytest -q -m fuzz

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check -q .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code

generate: $(VENV)/.installed-dev
	$(BIN)/python -m tools.generate

clean:
	rm -rf $(VENV)

$(WHEELS)/.built:
	@echo "compiling llama.cpp once; this takes some minutes"
	@mkdir -p $(WHEELS)
	$(PYTHON) -m venv $(WHEELS)/.venv
	$(WHEELS)/.venv/bin/pip wheel -q --no-deps -w $(WHEELS) "llama-cpp-python==$(LLAMA_VERSION)" \
		-C "build.targets=llama;llama-common"
	@rm -rf $(WHEELS)/.venv
	@touch $@

$(VENV)/.installed: pyproject.toml constraints.txt | $(WHEELS)/.built
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -c constraints.txt --find-links $(WHEELS) -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/pip install -q -c constraints.txt --find-links $(WHEELS) -e ".[dev]"
	@touch $@
