# Everything runs in .venv and .local, which `make` fills by itself. See `make help`.
.DEFAULT_GOAL := help
.SUFFIXES:
BIN := .venv/bin
LOCKS := development layer localstack runtime sam clients bootstrap
# One process for each core, but no more than memory is left for; each takes the next test when it is free.
PARALLEL := --numprocesses auto --maxprocesses 8 --dist worksteal

# What leads to a real account, or to another local cloud, must be asked for: see `make test`.
export SAM_CLI_TELEMETRY := 0
export AWS_EC2_METADATA_DISABLED := true

.PHONY: help
help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

.PHONY: demo
demo: .venv/.installed ## Run the samples through the whole of Batchline on this machine
	@$(BIN)/batchline local up
	@$(BIN)/batchline local deploy
	@$(BIN)/batchline --local demo

.PHONY: down
down: .venv/.installed ## Stop the local cloud and forget its data
	@$(BIN)/batchline local down

.PHONY: test
test: check ## Run every check and every test, the ones on LocalStack included
	$(BIN)/pytest $(PARALLEL) tests/unit tests/integration tests/conformance tests/faults
	$(BIN)/pytest tests/local tests/e2e

.PHONY: check
check: .venv/.installed ## Lint, types, import rules, the template
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m local validate

.PHONY: unit
unit: .venv/.installed ## Run the fast tests only
	$(BIN)/pytest $(PARALLEL) tests/unit tests/integration

.PHONY: conformance
conformance: .venv/.installed ## Hold the Bedrock emulator, or BATCHLINE_CONFORMANCE=<url or aws>, to AWS's documents
	$(BIN)/pytest tests/conformance

.PHONY: clients
clients: .local/clients/.installed ## Let the AWS CLI and other people's batch clients use the emulator
	$(BIN)/pytest tests/conformance/clients

.PHONY: fuzz
fuzz: .venv/.installed ## Send the emulator 10,000 malformed requests and records
	BATCHLINE_FUZZ_CASES=10000 $(BIN)/pytest tests/integration/bedrock/test_fuzz.py

.PHONY: chaos
chaos: .venv/.installed ## Strike at every call of the rich scenarios, and let SEEDS=2000 storms rage for at most SECONDS=3600
	BATCHLINE_FAULTS_EVERY=1 BATCHLINE_FAULTS_FIRST_SEED=$(or $(FIRST),0) BATCHLINE_FAULTS_SEEDS=$(or $(SEEDS),2000) \
	  BATCHLINE_FAULTS_SECONDS=$(or $(SECONDS),3600) $(BIN)/pytest $(PARALLEL) tests/faults

.PHONY: bench
bench: .venv/.installed ## Measure speed and memory
	$(BIN)/python bench/bedrock_emulator.py
	$(BIN)/python bench/chunking.py
	$(BIN)/python bench/cold_import.py
	$(BIN)/python bench/collecting.py
	$(BIN)/python bench/counting.py
	$(BIN)/python bench/input_building.py
	$(BIN)/python bench/large.py --gigabytes 1
	$(BIN)/python bench/packing.py
	$(BIN)/python bench/simulation.py

.PHONY: format
format: .venv/.installed ## Format the code
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

.PHONY: lock
lock: .venv/.installed ## Refresh requirements/*.txt from requirements/*.in
	for name in $(LOCKS); do \
	  $(BIN)/uv pip compile --quiet --upgrade --generate-hashes --python $(BIN)/python --no-emit-index-url \
	    --no-header --no-annotate --output-file requirements/$$name.txt requirements/$$name.in \
	    $$(case $$name in layer|bootstrap) echo --constraint requirements/development.txt;; esac) || exit 1; \
	done

.PHONY: clean
clean: ## Delete what make has installed and built
	rm -rf .venv .local .aws-sam .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

.local/clients/.installed: .venv/.installed requirements/clients.txt
	$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python .local/clients
	$(BIN)/uv pip sync --quiet --require-hashes --python .local/clients/bin/python requirements/clients.txt
	@touch $@

.venv/.installed: requirements/development.txt requirements/bootstrap.txt pyproject.toml local/install.sh
	@local/install.sh
