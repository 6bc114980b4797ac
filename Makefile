# What people and CI type. Everything is built once, with the dev profile, in which dependencies and hashing are optimised.
SHELL := /bin/bash
export PATH := $(CURDIR)/.cache/tools:$(PATH)
export DROVER_CORPORA ?= $(CURDIR)/../shared/corpora

.DEFAULT_GOAL := help
.PHONY: help demo demo-guix test check bench bench-core bench-farm bench-makespan build sim

help: ## show this
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1	\2/p' Makefile

build: ## the programs: drover, drover-agent and the rest, in target/debug
	cargo build --workspace --bins

demo: ## real software through two agents, a cache and a third store; DEMO_NONCE=N chooses what hello says
	demo/run

demo-guix: ## the same with Guix: two guix-daemons build packages, a third one fetches them; needs root and Debian
	demo/guix/run

test: ## all tests, with real NATS servers and store daemons where this machine has them
	setup/install --with-guix || echo "going on with what is here"
	.ci/test

sim: ## the scheduler against farms that lose, repeat, crash and are restored; SEEDS=n chooses how many of each kind
	DROVER_SIM_SEEDS=$(or $(SEEDS),500) cargo test --package drover-scheduler-core --test simulation -- --nocapture

check: ## formatting, lints, licences of dependencies
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	@if cargo deny --version >/dev/null 2>&1; then cargo deny check licenses bans sources; \
	else echo "SKIPPED: licences of dependencies (cargo-deny is not installed)"; fi
	@if command -v shellcheck >/dev/null; then git ls-files | xargs awk 'FNR == 1 && /^#!.*sh$$/ || /^# shellcheck shell=/ { print FILENAME }' \
	  | sort -u | xargs shellcheck -x; \
	else echo "SKIPPED: scripts (shellcheck is not installed)"; fi

bench: ## overhead over the bare daemon; ends in lines "result NAME VALUE UNIT"
	setup/install --with-guix
	cargo build --release --workspace --bins
	cargo run --release --package drover-tests --bin bench
	cargo run --release --package drover-store --example drv_verify -- --ours

bench-core: ## the scheduler's core alone, over a graph of 30,000 builds: how fast, and how much memory
	cargo run --release --package drover-scheduler-core --example bench_core -- --by-input
	cargo run --release --package drover-scheduler-core --example bench_core_peak

bench-farm: ## a real scheduler and broker with simulated agents over guix-large; QUEUED=N measures N queued builds instead
	setup/install
	cargo build --release --package drover-scheduler --package drover-tests --bins
	cargo run --release --package drover-tests --bin bench_farm -- $(if $(QUEUED),--queued $(QUEUED) queued)

bench-makespan: ## how near to the best that is possible the scheduler's order comes, beside plain first-in-first-out, in virtual time
	@if [ ! -e "$$DROVER_CORPORA/guix-large.tar.zst" ]; then echo "SKIPPED: there is no guix-large.tar.zst in $$DROVER_CORPORA"; exit; fi; \
	set -x; cargo run --release --package drover-cli -- simulate --graph "$$DROVER_CORPORA/guix-large.tar.zst" \
	  --fleet cli/fleets/uneven.toml --seed 1 --known --bench
