# Two commands for a fresh Debian 12 machine: `make demo` and `make test`. They install what is
# missing (scripts/setup.sh says what and why) and build outside the tree (see scripts/env.sh).
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

ENV := . scripts/env.sh

.PHONY: help setup build demo test soak fuzz lint bench docs clean

help: ## what can be made
	@echo "Tarn: make demo | make test"
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

setup: ## install what is missing: compiler, linker, Python environment
	@scripts/setup.sh

build: ## the release binary, at $CARGO_TARGET_DIR/release/tarn and linked from target/release/tarn (FEATURES=tarn/postgres)
	@scripts/setup.sh build
	$(ENV)
	cargo build --release --locked --workspace --bins --features "$(FEATURES)"
	if [ "$$CARGO_TARGET_DIR" != "$$PWD/target" ]; then
		mkdir -p target/release
		ln -sfn "$$CARGO_TARGET_DIR/release/tarn" target/release/tarn
	fi
	echo "built $$CARGO_TARGET_DIR/release/tarn"

demo: ## three labs, one SQL, and the number that was wrong
	@scripts/setup.sh
	$(ENV)
	if [ -z "$${TARN_BIN:-}" ]; then
		$(MAKE) build
		export TARN_BIN="$$CARGO_TARGET_DIR/release/tarn"
	fi
	demo/run

test: ## unit, integration and end-to-end tests, on one build
	@scripts/setup.sh test
	$(ENV)
	# Random tests draw the same cases in every run, so that a failure is the change's; see `make soak`.
	export PROPTEST_RNG_SEED="$${PROPTEST_RNG_SEED:-20261122}"
	# With the door for clients of PostgreSQL, which adds no crate; `make lint` looks at the build without it too.
	cargo build --locked --workspace --features tarn/postgres
	if command -v cargo-nextest >/dev/null 2>&1; then
		cargo nextest run --locked --workspace --features tarn/postgres
	else
		cargo test --locked --workspace --all-targets --features tarn/postgres
	fi
	scripts/pytest.sh tests $(wildcard python/tests)

soak: ## the random tests again and again with new cases, until one fails (ROUNDS=3)
	@scripts/setup.sh
	$(ENV)
	for round in $$(seq "$${ROUNDS:-3}"); do
		export PROPTEST_RNG_SEED="$$RANDOM$$RANDOM" TARN_TEST_SEED="$$RANDOM"
		echo "PROPTEST_RNG_SEED=$$PROPTEST_RNG_SEED TARN_TEST_SEED=$$TARN_TEST_SEED"
		cargo nextest run --locked --workspace --retries 0
	done

fuzz: ## damaged and random bytes for every reader, until one fails (MINUTES=2 a target)
	@scripts/setup.sh
	scripts/fuzz.sh

lint: ## format, clippy, and the rules of structure, versions and licences
	@scripts/setup.sh
	$(ENV)
	cargo fmt --all -- --check
	python3 scripts/check_structure.py
	python3 scripts/check_licences.py
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked --workspace --all-targets --features tarn/postgres -- -D warnings

bench: ## Tarn beside h5py, netCDF4, xarray, beacondb, DuckDB and training loaders; a catalog of RECORDS (1000000) records
	@scripts/setup.sh
	$(ENV)
	if [ -z "$${TARN_BIN:-}" ]; then
		$(MAKE) build
		export TARN_BIN="$$CARGO_TARGET_DIR/release/tarn"
	fi
	cargo build --release --locked --workspace --example scan --example scale
	export TARN_SCAN="$$CARGO_TARGET_DIR/release/examples/scan"
	rival="$$TARN_CACHE/beacon-venv"
	if [ ! -x "$$rival/bin/python" ]; then
		echo "setup: making $$rival with beacondb, which is measured and never linked (AGPL)"
		python3 -m venv "$$rival"
		"$$rival/bin/python" -m pip install -q --disable-pip-version-check -r benches/requirements.txt ||
			{ rm -rf "$$rival"; echo "setup: beacondb cannot be installed; it is left out" >&2; }
	fi
	export TARN_BEACON_PYTHON="$$rival/bin/python"
	"$$TARN_VENV/bin/python" benches/run.py $(BENCH)
	"$$TARN_VENV/bin/python" benches/tpch/run.py
	loaders="$$TARN_CACHE/streams-venv"
	if [ ! -x "$$loaders/bin/python" ]; then
		echo "setup: making $$loaders with the loaders that streams are measured beside"
		python3 -m venv "$$loaders"
		"$$TARN_VENV/bin/python" -c 'import site; print(site.getsitepackages()[0])' \
			> "$$("$$loaders/bin/python" -c 'import site; print(site.getsitepackages()[0])')/tarn.pth"
		"$$loaders/bin/python" -m pip install -q --disable-pip-version-check -r benches/streams/requirements.txt &&
			"$$loaders/bin/python" -m pip install -q --disable-pip-version-check --target "$$loaders/hub" huggingface_hub==0.36.2 ||
			echo "setup: not every loader can be installed; those are left out" >&2
	fi
	"$$loaders/bin/python" benches/streams/run.py
	"$$CARGO_TARGET_DIR/release/examples/scale" "$${RECORDS:-1000000}"

docs: ## the reference of every crate
	@scripts/setup.sh build
	$(ENV)
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps

clean: ## remove what was built (the shared cache stays: see scripts/env.sh)
	@rm -rf target benches/data
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	echo "removed target/ and caches of Python; the build cache is $${CARGO_TARGET_DIR:-$${XDG_CACHE_HOME:-$$HOME/.cache}/tarn/target}"
