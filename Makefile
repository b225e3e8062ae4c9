# One door to everything: `make help`.
VENV ?= .venv
BIN := $(VENV)/bin
SEEDS ?= 500
FIRST ?= 1
SECONDS ?= 120
EXTRINSICS ?= 10000
RUNS ?= 20
SEED ?= 1
HISTORIES ?= 2000
CODES ?= 10000
PEOPLE ?= 1000
TIMES ?= 3
ARGS ?=
PYTHON ?=

.PHONY: help runtime setup devnet demo test test-interop check format sim histories zoo billing faults power campaign fuzz fuzz-state heist links soak bench bench-check weights docs clean

help:  ## this list
	@awk -F ':.*## *' '/^[a-z-]+:.*##/ { printf "%-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# What runs a node, installed by hash; the marker makes a second call free. The lists are whole, so pip looks for nothing
# else (--no-deps): what others release tomorrow changes nothing here.
$(VENV)/.runtime: requirements/runtime.txt pyproject.toml
	@PYTHON=$(PYTHON) sh scripts/make-venv $(VENV)
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes --no-deps --only-binary :all: -r requirements/runtime.txt
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# What develops one: the runtime, the checkers and the test tools.
$(VENV)/.dev: $(VENV)/.runtime requirements/dev.txt
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes --no-deps --only-binary :all: -r requirements/dev.txt
	@touch $@

runtime: $(VENV)/.runtime  ## only what runs a node (VENV=folder PYTHON=python3.12)

setup: $(VENV)/.dev  ## make the virtual environment with everything in it

devnet: $(VENV)/.runtime  ## four validators on this machine (ARGS="--clean -n 7")
	@$(BIN)/aitoken devnet $(ARGS)

demo: $(VENV)/.runtime  ## a market in a minute: two sellers, a proxy that pays, what the chain sees
	@$(BIN)/python -m cli.demo

test: $(VENV)/.dev  ## the tests
	@$(BIN)/python -m pytest -n auto --dist loadgroup -q -m "not interop" $(ARGS)

test-interop: $(VENV)/.dev  ## unmodified wallets' libraries against a devnet (needs node and npm)
	@$(BIN)/python -m pytest -q -m interop tests/interop $(ARGS)

check: $(VENV)/.dev  ## format, lint, types, import contracts, house rules
	@$(BIN)/ruff format --check -q .
	@$(BIN)/ruff check -q .
	@$(BIN)/mypy
	@found=$$($(BIN)/lint-imports --no-cache) || { echo "$$found"; exit 1; }
	@$(BIN)/python -m pytest -q tests/tidy

format:  ## put the code into house format
	@$(BIN)/ruff format -q . && $(BIN)/ruff check -q --fix .

sim: $(VENV)/.dev  ## the network simulator: SEEDS=n FIRST=s
	@$(BIN)/python -m simulation --seeds $(SEEDS) --first $(FIRST) $(ARGS)

billing: $(VENV)/.dev  ## the billing kit against a gateway, in full numbers
	@AITOKEN_BILLING=full $(BIN)/python -m pytest -q tests/billing $(ARGS)

histories: $(VENV)/.dev  ## random histories of payment sessions: HISTORIES=n FIRST=s
	@HISTORIES=$(HISTORIES) FIRST=$(FIRST) $(BIN)/python -m pytest -n auto -q tests/property/test_session_histories.py $(ARGS)

zoo: $(VENV)/.dev  ## strategies of farming rewards, none of which pays: SEEDS=n FIRST=s ARGS=name
	@$(BIN)/python -m tests.zoo --seeds $(SEEDS) --first $(FIRST) $(ARGS)

faults: $(VENV)/.dev  ## real nodes killed, frozen and cut off at random under load: SECONDS=n SEED=s
	@$(BIN)/python -m faults --seconds $(SECONDS) --seed $(SEED) $(ARGS)

power: $(VENV)/.dev  ## power cuts at exact syncs of real nodes' disks, as root: RUNS=n SEED=s
	@$(BIN)/python -m faults.power --runs $(RUNS) --seed $(SEED) $(ARGS)

campaign: $(VENV)/.dev  ## a campaign of many people on a devnet, one in ten dishonest: PEOPLE=n ARGS="--skip"
	@$(BIN)/python -m faults.campaign --people $(PEOPLE) $(ARGS)

fuzz: $(VENV)/.dev  ## every decoder fed with damaged input: SECONDS=n SEED=s ARGS="proto. file."
	@$(BIN)/python -m tests.fuzz --seconds $(SECONDS) --seed $(SEED) $(ARGS)

heist: $(VENV)/.dev  ## codes claimed before the eyes of a thief: CODES=n SEED=s
	@$(BIN)/python -m tests.heist --codes $(CODES) --seed $(SEED) $(ARGS)

links: $(VENV)/.dev  ## finality of seven real nodes 100 ms apart that lose 3 % of packets: SECONDS=n SEED=s
	@$(BIN)/python -m faults.far_apart --seconds $(SECONDS) --seed $(SEED) $(ARGS)

soak: $(VENV)/.dev  ## a devnet under load: does memory, descriptors or the loop's lag grow? SECONDS=n ARGS="--csv soak.csv"
	@$(BIN)/python -m faults.soak --seconds $(SECONDS) --seed $(SEED) $(ARGS)

fuzz-state: $(VENV)/.dev  ## random transactions on the whole runtime: EXTRINSICS=n SEED=s
	@$(BIN)/python -m tests.fuzz.state --extrinsics $(EXTRINSICS) --seed $(SEED) $(ARGS)

bench: $(VENV)/.dev  ## all aims, three times each, about an hour; writes bench/README.md's table: TIMES=1 ARGS=devnet
	@$(BIN)/python -m bench --write --times $(TIMES) $(or $(ARGS),--aims)

bench-check: $(VENV)/.dev  ## does a ratio fall below nine tenths of the recorded one? ARGS=--record records
	@$(BIN)/python -m bench.check $(ARGS)

weights: $(VENV)/.dev  ## measure what calls cost and freeze it: ARGS="Balances Sudo"
	@$(BIN)/python -m bench.weights $(ARGS)

docs: $(VENV)/.dev  ## write the generated documents
	@$(BIN)/python scripts/make_docs.py

clean:  ## remove what the build made (never chain data)
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
