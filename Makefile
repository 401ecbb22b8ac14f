# `make demo` shows the product, `make test` proves it. Everything lives in .venv and .tierwise; nothing else is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DISTRIBUTIONS := shared services/ingest services/scoring services/profile-api deploy/embedded
SETUP_DONE := $(VENV)/.setup-done

.DEFAULT_GOAL := help
.PHONY: help setup demo test long check format bench torture kafka audit sbom lock clean

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(SETUP_DONE): requirements.lock $(addsuffix /pyproject.toml,$(DISTRIBUTIONS))
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Tierwise needs Python 3.11 or newer, this is " + sys.version.split()[0] + ": make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation $(addprefix --editable ./,$(DISTRIBUTIONS))
	@touch $@

setup: $(SETUP_DONE) ## .venv from requirements.lock

demo: setup ## everything on this machine, with sample traffic; Ctrl-C stops it
	$(BIN)/tierwise up --demo

test: setup ## every test, in three processes
	$(BIN)/python -m pytest -n 3 --dist loadfile

check: setup ## format, lint, types, import contracts, migrations in step with the tables
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/tierwise migrate --check

format: setup ## ruff, in place
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

long: setup ## tests that take minutes: outages, full disks, hanging workers; LONG=name for one file
	$(BIN)/python -m pytest -rA $(if $(LONG),tests/long/$(LONG).py,tests/long/outages.py tests/long/zombies.py tests/long/merges.py)

bench: setup ## tests/load; BENCH=name for one, WRITE=yes into docs/performance.md
	$(BIN)/python -m tests.load $(if $(WRITE),--write) $(BENCH)

torture: setup ## kill -9 under traffic; KILLS=200 STREAM=embedded|kafka (both) SEED=1; goes on where it stopped
	$(BIN)/python -m tests.torture $(if $(KILLS),--kills $(KILLS)) $(if $(STREAM),--stream $(STREAM)) \
	  $(if $(SEED),--seed $(SEED)) $(if $(DOCUMENT),--document $(DOCUMENT))

kafka: setup ## a local Apache Kafka on 127.0.0.1:9092 (needs Java 17 and Maven)
	$(BIN)/python deploy/kafka/run.py

audit: setup ## known flaws in what we depend on (needs pip-audit on the PATH, and the network)
	pip-audit --requirement requirements.lock --require-hashes --disable-pip

sbom: setup ## CycloneDX of what services run with, to .tierwise/sbom.json (needs cyclonedx-py on the PATH)
	@mkdir -p .tierwise
	$(BIN)/python deploy/runtime.py requirements.lock | cyclonedx-py requirements - --pyproject shared/pyproject.toml \
	  --output-reproducible --output-format JSON --output-file .tierwise/sbom.json

lock: ## make requirements.lock again (needs uv on the PATH)
	printf -- '-e ./%s\n' $(DISTRIBUTIONS) | uv pip compile - --quiet --group pyproject.toml:dev --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header \
	  --no-emit-package tierwise --no-emit-package tierwise-shared --no-emit-package tierwise-ingest \
	  --no-emit-package tierwise-scoring --no-emit-package tierwise-profile-api --output-file requirements.lock

clean: ## remove .venv and all data under .tierwise
	rm -rf $(VENV) .tierwise
