# Everything a contributor runs. CARGO_TARGET_DIR is honoured; nothing else is needed than Rust and
# a C compiler.

target := $(or $(CARGO_TARGET_DIR),$(CARGO_BUILD_TARGET_DIR),target)
simulator := --features tee-sidecar/simulator

.DEFAULT_GOAL := help
.PHONY: help run demo test check package fuzz bench bench-parts instructions crash-long model-long
.PHONY: fleet-long invoice-long soak-long openapi clean

help: ## this list
	@awk -F ':.* ## ' '/^[a-z-]+:.* ## /{printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## the sidecar with a software TEE; UPSTREAM=http://host:port for a real model server
	cargo build --locked --release -p tee-sidecar -p examples $(simulator)
	@exec "$(target)/release/quickstart" --sidecar "$(target)/release/tee-sidecar" \
	  --upstream "$(UPSTREAM)"

demo: run ## the same as run

test: ## every test; those that need a real vLLM, npm, PostgreSQL, Prometheus, Python or tools for packages say so and pass without
	cargo test --locked --workspace --no-fail-fast $(simulator)
	@# Builds that are deployed have no simulator: that they refuse it is tested without it.
	cargo test --locked -p tee-sidecar --lib --test config --test packages
	.ci/fuzz 3

check: ## format, lints and documentation, with and without the software TEE
	cargo fmt --all --check
	cargo fmt --manifest-path tee-sidecar/fuzz/Cargo.toml --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked --workspace --all-targets $(simulator) -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps $(simulator)

package: ## provider-broker.tar.gz, a Debian package, sources and their papers, into target/package
	.ci/package

fuzz: ## ten minutes of each fuzz target; needs cargo-fuzz
	.ci/fuzz 600

bench: ## throughput and latency
	.ci/bench

bench-parts: ## the time of each part of an exchange alone (criterion); PART=stream for one of them
	cargo bench --locked -p exchange-parts --bench parts -- $(PART)

instructions: ## the instructions of each part against fixtures/instructions.txt; RENEW=1 writes that anew
	.ci/instructions

crash-long: ## 10,000 kills of the ledger, 10,000 images of its log and 10,000 power cuts
	KILLS=10000 cargo test --locked -p broker-core --test sigkill -- --nocapture
	IMAGES=10000 cargo test --locked -p broker-core --test wal_images -- --nocapture
	CUTS=10000 cargo test --locked -p broker-core --test disk -- --nocapture power_cut

model-long: ## 1,000,000 sequences on the model, 10,000 on SQLite and 2,000 on PostgreSQL
	MODEL=1000000 MODEL_SQLITE=10000 MODEL_POSTGRES=2000 cargo test --locked --release \
	  -p broker-core --features postgres --test model -- --nocapture

fleet-long: ## 512 killed writers on one PostgreSQL, and 500 killed sidecars
	FLEET=32 cargo test --locked -p broker-core --features postgres --test fleet -- --nocapture
	KILLS=500 cargo test --locked -p tee-sidecar --features simulator --test fleet -- --nocapture

invoice-long: ## a bill of 1,000,000 receipts: rate, memory, and the cost of its signatures alone
	INVOICE=1000000 cargo test --locked --release -p tee-sidecar --test audits -- --nocapture long_bill

soak-long: ## half an hour of load with clients that leave, a dying engine and a stalling ledger
	SOAK_SECS=1800 cargo test --locked -p tee-sidecar --features simulator --test soak -- --nocapture

openapi: ## fixtures/openapi.json anew, from the code
	RENEW=1 cargo test --locked -p tee-sidecar --lib openapi

clean: ## build products and the quick start's ledger
	cargo clean --locked
	rm -rf data/quickstart
