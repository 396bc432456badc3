# Everything runs in .venv, which the first target makes. Needs Python 3.10 or newer; nothing else for the demo.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test test-agent-sdk sdk-matrix fuzz crash determinism lint bench soak coverage docs goldens clean

demo: $(VENV)/.demo
	@$(BIN)/stack-emu demo

test: $(STAMP)
	@$(BIN)/python -m pytest -n 2 --cov --cov-report=term:skip-covered $(ARGS)

test-agent-sdk: $(VENV)/.agent-sdk
	@$(BIN)/python -m pytest tests/agent_sdk $(ARGS)

sdk-matrix: $(STAMP)
	@SDK_VERSIONS=all $(BIN)/python -m pytest -n 2 tests/sdk_matrix $(ARGS)

fuzz: $(STAMP)
	@FUZZ_EXAMPLES=$${FUZZ_EXAMPLES:-100} $(BIN)/python -m pytest -n 2 -rP tests/fuzz $(ARGS)

lint: $(VENV)/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

crash: $(STAMP)
	@CRASHES=$${CRASHES:-200} $(BIN)/python -m pytest -rP tests/state/test_crashes.py -o junit_family=xunit1 --timeout=900 $(ARGS)

# A hundred runs, and every Python from 3.10 on that is found on this machine.
determinism: $(STAMP)
	@DETERMINISM_PYTHONS=all $(BIN)/python -m tests.determinism.pythons
	@DETERMINISM_PYTHONS=all DETERMINISM_RUNS=$${DETERMINISM_RUNS:-100} $(BIN)/python -m pytest -rP tests/determinism $(ARGS)

bench: $(STAMP)
	$(BIN)/python benchmarks/run.py $(ARGS)

soak: $(STAMP)
	$(BIN)/python benchmarks/soak.py $(ARGS)

coverage: $(STAMP)
	$(BIN)/stack-emu coverage

docs: $(STAMP)
	$(BIN)/stack-emu coverage --markdown > docs/coverage.md
	$(BIN)/python docs/scenario_tables.py
	$(BIN)/stack-emu schema --write scenarios/scenario.schema.json > /dev/null
	$(BIN)/python docs/scan_patterns_page.py
	$(BIN)/python docs/upstreams_page.py

goldens: $(STAMP)
	@for folder in scenarios/*/; do echo $$folder; \
	  $(BIN)/stack-emu exec $$folder --audit $$folder/audit.jsonl -- $(BIN)/python $$folder/agent.py > /dev/null || exit 1; \
	done
	@$(BIN)/python -m tests.agents.goldens
	@$(BIN)/python -m tests.diagnosis.goldens
	@$(BIN)/python -m tests.routes.goldens

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.demo: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet -e . "getstack==4.0.0" "anthropic>=2.10" "slack-sdk>=3.34"
	@touch $@

$(STAMP): $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet -e . --group test
	@touch $@

$(VENV)/.agent-sdk: $(STAMP) pyproject.toml
	@$(BIN)/python -m pip install --quiet -e ".[agent-sdk]"
	@touch $@

$(VENV)/.lint: $(STAMP) pyproject.toml
	$(BIN)/python -m pip install --quiet --group lint
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .cache
