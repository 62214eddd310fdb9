# Two commands: `make demo` and `make test`. `make help` lists the rest.
PYTHON ?= $(shell command -v python3.11 || command -v python3 || echo python3)
BIN := .venv/bin
CONTEXTS := $(patsubst %/context.py,%,$(wildcard svc_*/context.py))
LIBRARIES := $(patsubst %/__init__.py,%,$(wildcard soma_*/__init__.py))
LOCKS := requirements/dev.txt requirements/assets.txt

.DEFAULT_GOAL := help
.PHONY: help install demo up down check test clients polyglot chaos scenarios bench proto lock format clean release

help: ## This list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

install: .venv/.installed ## Make .venv from the locked requirements

.venv/.installed: $(LOCKS) pyproject.toml
	@python=$(BIN)/python; test -x $$python || python=$(PYTHON); \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or later is needed, and $$python is not: remove .venv if it is there, then make install PYTHON=python3.11" >&2; \
		exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing the locked requirements into .venv"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
		-r requirements/dev.txt -r requirements/assets.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: install ## The main job, from nothing to files in out/
	@$(BIN)/soma demo

up: install ## Start the mesh and stay in the foreground
	@$(BIN)/soma up

down: install ## Stop a mesh that runs in the background
	@$(BIN)/soma down

check: install ## Format, lint, types, architecture, contracts, policy, sizes
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy mesh $(LIBRARIES) $(CONTEXTS) tools examples clients/python/soma_client
	$(BIN)/python -m tools.import_rules
	$(BIN)/buf format --diff --exit-code --path protos/soma
	$(BIN)/buf lint
	$(BIN)/python -m tools.released
	$(BIN)/python tools/generate.py --check
	$(BIN)/python tools/rego_test.py
	$(BIN)/python tools/sizes.py
	$(BIN)/python tools/settings_doc.py --check
	$(BIN)/python tools/scrape_targets.py --check
	$(BIN)/python tools/grants_doc.py --check
	$(BIN)/python -m tools.house_plan
	$(BIN)/python tools/house_rules.py

test: install ## Every test that a pull request needs, against real engines
	$(BIN)/pytest -n 2 --dist loadscope --no-loadscope-reorder

clients: install ## Build the clients in Go, TypeScript and Java, those whose tools are here
	@$(BIN)/python tools/polyglot.py

polyglot: clients ## Build those clients and run their tests, also against a mesh
	$(BIN)/pytest tests/clients/polyglot tests/e2e/clients/test_programs.py

chaos: install ## The long forms of the invariants
	$(BIN)/pytest -m slow tests/chaos tests/e2e tests/integration/mesh

scenarios: install ## Defects that were found once, as scenarios against a mesh of its own
	$(BIN)/python -m tests.scenarios --mesh

# `make bench growth` compares empty tables with full ones; `make bench edge jobs` measures those parts.
ifeq (bench,$(firstword $(MAKECMDGOALS)))
PARTS := $(wordlist 2,$(words $(MAKECMDGOALS)),$(MAKECMDGOALS))
.PHONY: $(PARTS)
$(eval $(PARTS):;@:)
endif
BENCH := $(if $(filter growth,$(PARTS)),tests.bench.growth,$(if $(filter soak,$(PARTS)),tests.bench.soak,tests.bench $(PARTS)))

bench: install ## Figures, as ratios within one run; parts may be named: make bench growth
	$(BIN)/python -m $(BENCH)

proto: install ## Make everything that follows from the protos and from the declarations of the contexts
	$(BIN)/buf format --write --path protos/soma
	$(BIN)/python tools/generate.py
	$(BIN)/python tools/settings_doc.py
	$(BIN)/python tools/scrape_targets.py
	$(BIN)/python tools/grants_doc.py

lock: install ## Lock the requirements anew
	$(BIN)/python tools/lock.py

format: install ## Format and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# `make release CONTEXT=critic` releases one context; without CONTEXT all that have a new version.
release: install ## Keep contracts as they are now as the ones to stay compatible with
	$(BIN)/python -m tools.released --keep $(CONTEXT)

clean: ## Stop the mesh and remove what was made
	@test ! -x $(BIN)/soma || SA01_HOME=$(CURDIR)/.soma $(BIN)/soma down || true
	rm -rf .venv .soma out build dist .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	rm -rf clients/go/gen clients/go/build clients/java/gen clients/java/build
	rm -rf clients/typescript/gen clients/typescript/build clients/typescript/node_modules
