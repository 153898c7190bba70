# Steelyard. `make` lists the targets; each prepares what it needs in .venv.

PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python app/pip_install.py
RUNTIME := .venv/.runtime-installed
TOOLS := .venv/.tools-installed
COMPILED := .venv/.compiled
HOT_PATH := $(shell find orderbook deribit models app/processing app/hot_path -name '*.py')
# What is tested once more as pure Python where the set-up has compiled it, within half a minute.
PURE_TESTS := tests/orderbook/test_side.py tests/orderbook/test_oracles.py tests/orderbook/test_hopping.py \
	tests/orderbook/test_trades.py tests/orderbook/test_units.py tests/deribit/test_decode_books_trades.py \
	tests/deribit/test_decode_quotes_states.py \
	tests/processing/test_processor.py tests/processing/test_differential.py tests/processing/test_quote_audit.py \
	tests/processing/test_memory.py \
	tests/fuzz tests/checker/test_checker.py
CHECKED := app agents models orderbook deribit exchange faust_exact

.DEFAULT_GOAL := help
.PHONY: help setup demo live worker test test-pure check lock clean chaos chaos-quick chaos-long soak fuzz simulate prove bench

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(COMPILED) ## install the locked dependencies into .venv

demo: $(COMPILED) ## run everything here with a simulated exchange; ARGS="--instruments 30"
	@$(BIN)/python -m app demo $(ARGS)

live: $(COMPILED) ## run everything here with Deribit's public feed; ARGS="--testnet"
	@$(BIN)/python -m app live $(ARGS)

worker: $(COMPILED) ## add one more worker to what runs here
	@$(BIN)/python -m app worker

test: $(TOOLS) $(COMPILED) ## run the tests; ARGS="-k book"
	EXPECT_HOT_PATH="$$(cat $(COMPILED))" $(BIN)/python -m pytest $(ARGS)
	@test -n "$(ARGS)" -o "$$(cat $(COMPILED))" = pure || $(MAKE) --no-print-directory test-pure

test-pure: $(TOOLS) ## run the tests of the hot path, as pure Python
	EXPECT_HOT_PATH=pure STEELYARD_COMPILED=0 $(BIN)/python -m pytest -q $(PURE_TESTS)

check: $(TOOLS) ## lint, format, types, import contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy --strict $(CHECKED)
	$(BIN)/lint-imports

lock: $(TOOLS) ## resolve the dependencies and the broker's jars anew
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
		--upgrade pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
		--upgrade --constraint requirements.lock --group dev pyproject.toml -o requirements-dev.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
		--upgrade --constraint requirements-dev.lock --group build -o requirements-build.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
		--upgrade --group compiler -o requirements-compiler.lock
	$(BIN)/python -m app kafka --lock-jars
	$(BIN)/python -m bench.peers.java

clean: ## delete all data, caches and the virtual environment
	rm -rf var .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Steelyard needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) -V 2>&1)."; \
		echo "Name another: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 2; } >&2
	@$(PYTHON) -c 'import ensurepip, venv' || { \
		echo "'$(PYTHON)' has no venv module: install it (Debian: apt install python3-venv)."; \
		exit 2; } >&2
	@echo "making .venv with $$($(PYTHON) -V)" >&2
	@$(PYTHON) -m venv .venv

$(RUNTIME): requirements.lock | .venv/bin/python
	@$(INSTALL) "Python packages into .venv (about 150 MB, once)" -r requirements.lock
	@touch $@

# Without a C compiler one is installed, too: only then, as it is 100 MB.
$(COMPILED): $(RUNTIME) requirements-build.lock requirements-compiler.lock $(HOT_PATH)
	@$(INSTALL) "what compiles the hot path" -r requirements-build.lock || true
	@test "$$($(BIN)/python -m app.hot_path.build --missing)" != compiler || \
		$(INSTALL) "a C compiler, as there is none (ziglang, about 100 MB, once)" -r requirements-compiler.lock || true
	@$(BIN)/python -m app.hot_path.build $@

$(TOOLS): requirements-dev.lock $(RUNTIME)
	@$(INSTALL) "tools for tests and checks" -r requirements-dev.lock
	@touch $@

chaos-quick: $(TOOLS) ## run the quick set of the fault suite, about 6 minutes
	$(BIN)/python -m pytest -m chaos_quick $(ARGS)

chaos: $(TOOLS) ## run the whole fault suite, about an hour and a half, and write docs/guarantees.md
	$(BIN)/python -m pytest -m "chaos or chaos_quick" tests/system/chaos
	$(BIN)/python -m tests.system.chaos $(ARGS)
	$(BIN)/python -m tests.system.chaos.render

chaos-long: chaos soak ## the whole fault suite, then random faults

soak: $(TOOLS) ## run random faults; ARGS="--minutes 60 --seed 1"
	$(BIN)/python -m tests.system.chaos.soak $(ARGS)

simulate: $(TOOLS) ## run workers on a simulated Kafka with random faults; ARGS="--seeds 1000 --from 0"
	$(BIN)/python -m tests.simulation $(ARGS)

prove: $(TOOLS) ## explore the model of checkpoints and take-overs; ARGS="--quick", ARGS="--without doubt"
	$(BIN)/python -m tests.model $(ARGS)

fuzz: $(TOOLS) ## decode a million broken messages; ARGS="--cases 1000000 --seed 1"
	$(BIN)/python -m tests.fuzz $(ARGS)

bench: $(TOOLS) $(COMPILED) ## measure speed beside other frameworks; ARGS="--quick", parts by name
	$(BIN)/python -m bench $(ARGS)
