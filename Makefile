# The same verbs for people and for CI. On a fresh Debian machine, Rust (rustup) and Go are all that must be there: `setup` installs the rest.
.DEFAULT_GOAL := help
.PHONY: help demo demo-kubernetes test bench sim chaos fmt lint gen fuzz setup guest-target control-plane guests languages programs

CARGO := cargo
# Members that are built for wasm32-wasip2 only. `cargo guests` (.cargo/config.toml) selects them the same way.
GUESTS := --workspace --exclude 'propeller-*' --target wasm32-wasip2

FUZZ_TARGETS := component json manifest wave
FUZZ_SECONDS ?= 600

help: ## Show the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

# Nothing is selected with `-p`: members selected alone get other features of shared dependencies, which would then be built twice.
demo: programs ## From a component's source to `results: 42`, in one process
	$(CARGO) run --locked --bin demo

demo-kubernetes: programs ## The same on Kubernetes: with an API server, the operator, Mosquitto and a registry
	@scripts/setup servers control_plane
	$(CARGO) run --locked --bin demo -- kubernetes

# The tests would build programs and guests themselves, but with other tests beside them, whose deadlines run meanwhile.
test: setup programs languages ## Every test
	$(CARGO) test --locked

# In a release build: the figures of any other mean nothing.
bench: setup guests ## What things cost, each beside its floor; BENCH="engine --output json" for programs
	@scripts/wasmtime >/dev/null
	@$(MAKE) --no-print-directory -C examples go
	$(CARGO) build --locked --release --bins
	$(CARGO) run --locked --release --bin bench -- $(or $(BENCH),engine)

# Alone, since it needs next to nothing of the workspace.
sim: ## Simulated worlds, with the promises of delivery checked in each; SIM="--worlds 1000", SIM="--seed 7"
	$(CARGO) run --locked --release -p propeller-sim -- $(SIM)

chaos: programs ## Real tasks while real servers are killed, frozen and cut off; CHAOS="--seed 7 --seconds 60"
	@scripts/setup servers control_plane
	$(CARGO) run --locked --bin chaos -- $(CHAOS)
	$(CARGO) run --locked --bin chaos -- --on up $(CHAOS)

fmt: ## Format the code
	$(CARGO) fmt --all

lint: guest-target ## Formatting, clippy, and cargo-deny where it is installed; nothing is changed
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(CARGO) clippy --locked $(GUESTS) -- -D warnings
	@if command -v cargo-deny >/dev/null; then cargo deny --locked check; \
	else echo "lint: cargo-deny isn't installed, so licenses and advisories weren't checked: cargo install --locked cargo-deny"; fi

gen: ## Write the CRDs and the golden messages anew from the Rust types
	$(CARGO) run --locked -q --bin propeller-operator -- crds operator/crds
	PROPELLER_GEN=1 $(CARGO) test --locked -q -p propeller-protocol

# What is fuzzed is what is shipped, so the lock file is the workspace's. There is no unsafe code for a sanitizer to watch, and without one stable
# Rust will do.
fuzz: ## Run each fuzz target for FUZZ_SECONDS (600); needs cargo-fuzz
	cp Cargo.lock fuzz/Cargo.lock
	cd fuzz && for target in $(FUZZ_TARGETS); do \
		mkdir -p found/$$target && $(CARGO) fuzz run --sanitizer none $$target found/$$target corpus/$$target \
			-- -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=2048 || exit; \
	done

setup: ## Install or build what is missing: the guests' target, Mosquitto, docker-registry, clang, node, the control plane
	@scripts/setup

guest-target:
	@scripts/setup guest_target

control-plane: ## Build the Kubernetes API server of the tests, once; prints its folder
	@scripts/control-plane

programs: guests
	$(CARGO) build --locked --bins

guests: guest-target ## Build the guests
	$(CARGO) guests --locked

languages: ## Build the examples in C, Go, JavaScript and Python
	@scripts/setup languages
	@$(MAKE) --no-print-directory -C examples
