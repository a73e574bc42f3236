# `make run` and `make test` install what they need into .venv. Needed beforehand: Python 3.11+, a C++ compiler, make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# llama.cpp is compiled once for each set of options, and kept outside the checkout.
CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/llm-inference-api
LLAMA_VERSION := $(shell sed -n 's/.*"llama-cpp-python==\([0-9.]*\)".*/\1/p' pyproject.toml)
export CMAKE_ARGS ?= -DLLAVA_BUILD=OFF -DLLAMA_BUILD_TOOLS=OFF
# GCC 12 breaks llama.cpp's AMX kernels without it.
AMX_CONFIG := tools/llama_build/amx_config.h
WHEELS := $(CACHE)/wheels/$(LLAMA_VERSION)-$(shell (echo "$(CMAKE_ARGS) $$($(PYTHON) -V) $$(uname -m)"; cat $(AMX_CONFIG)) | cksum | cut -d' ' -f1)
LLAMA_INSTALLED := $(VENV)/.llama-$(notdir $(WHEELS))
CPU_VARIANTS := $(CACHE)/cpu-variants/$(LLAMA_VERSION)

# The contract as it was released last; buf.yaml says when it is renewed.
RELEASED_CONTRACT = $(wildcard proto/released/*.binpb)
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)

.PHONY: run test fuzz lint generate released-contract cpu-variants clean help

help:
	@echo "make run       serve the demo model: REST on 8091, gRPC on 50051"
	@echo "make test      lint, type check and test"
	@echo "make fuzz      send thousands of requests that the OpenAPI document allows or forbids; some minutes"
	@echo "make generate  write the stubs and the Envoy bootstrap again after a change of proto/"
	@echo "make released-contract  when a version is released: keep its contract, which later ones are compared with"
	@echo "make cpu-variants  compile llama.cpp as the container image has it, and try it on emulated processors"

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
	$(BIN)/buf breaking proto --against $(RELEASED_CONTRACT)

generate: $(VENV)/.installed-dev
	$(BIN)/python -m tools.generate

released-contract: $(VENV)/.installed-dev
	rm -f $(RELEASED_CONTRACT)
	$(BIN)/buf build proto --exclude-source-info -o proto/released/$(VERSION).binpb

cpu-variants: $(CPU_VARIANTS)/.installed
	$(CPU_VARIANTS)/venv/bin/python -m tools.cpu_variants

clean:
	rm -rf $(VENV)

$(WHEELS)/.built:
	@echo "compiling llama.cpp once; this takes some minutes"
	@mkdir -p $(WHEELS)
	$(PYTHON) -m venv $(WHEELS)/.venv
	CXXFLAGS="$(CXXFLAGS) -include $(CURDIR)/$(AMX_CONFIG)" $(WHEELS)/.venv/bin/pip wheel -q --no-cache-dir --no-deps -w $(WHEELS) "llama-cpp-python==$(LLAMA_VERSION)" \
		-C "build.targets=llama;llama-common"
	@rm -rf $(WHEELS)/.venv
	@touch $@

$(CPU_VARIANTS)/.built: tools/cpu_variants/build_wheel.sh
	@mkdir -p $(CPU_VARIANTS)
	PYTHON=$(PYTHON) tools/cpu_variants/build_wheel.sh $(CPU_VARIANTS)
	@touch $@

$(CPU_VARIANTS)/.installed: pyproject.toml constraints.txt $(CPU_VARIANTS)/.built
	$(PYTHON) -m venv $(CPU_VARIANTS)/venv
	$(CPU_VARIANTS)/venv/bin/pip install -q -c constraints.txt $(CPU_VARIANTS)/llama_cpp_python-*.whl -e .
	@touch $@

# Another build of llama.cpp, such as one with other CMAKE_ARGS, takes the place of the one that is installed.
$(LLAMA_INSTALLED): $(WHEELS)/.built
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	@rm -f $(VENV)/.llama-*
	$(BIN)/pip install -q --no-deps --force-reinstall $(WHEELS)/llama_cpp_python-*.whl
	@touch $@

$(VENV)/.installed: pyproject.toml constraints.txt $(LLAMA_INSTALLED)
	$(BIN)/pip install -q -c constraints.txt --find-links $(WHEELS) -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/pip install -q -c constraints.txt --find-links $(WHEELS) -e ".[dev]"
	@touch $@
