# The commands that people and CI share. `make demo` and `make test` are enough
# on a fresh machine; both install what they run with.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

CARGO ?= cargo
# The tools of `make audit` and `make fuzz` stand here, beside the components of `make setup`.
TOOLS := $(CURDIR)/.tools
CARGO_FUZZ_VERSION := 0.13.2
CARGO_DENY_VERSION := 0.20.2
# Each fuzz target runs for this long.
FUZZ_SECONDS ?= 60
FUZZ_TARGETS := path token config check_request walk hook scim

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-22s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: setup
setup: cargo-is-there ## install the real proxies and apps that demo and tests run, into .tools/
	@bash testbed/setup/setup.sh

.PHONY: demo
demo: setup ## apps behind Envoy and nginx, and a table of who is let in; CHECK=1 ends after the table
	@[ -x "$${CARGO_TARGET_DIR:-target}/debug/tiergate" ] || echo "demo: building (on two cores the first time takes 10 to 15 minutes, without a word)"
	$(CARGO) build --quiet --locked --workspace --bins
	$(CARGO) run --quiet --locked --package tiergate-testbed --bin tiergate-demo -- $(if $(filter-out 0 no false,$(CHECK)),--check)

.PHONY: secrets
secrets: ## secrets for docker-compose.yml, into deploy/secrets/
	@bash deploy/compose/secrets.sh

.PHONY: example-seismic-portal example-drinks-api example-hello-api example-web-login
example-seismic-portal: ## Flask apps in tiers, with sign-in; PROXY=nginx in place of Envoy, here and below
example-drinks-api: ## an API with permissions over methods
example-hello-api: ## an API for the pages of one other origin
example-web-login: ## a page with login, profile and logout
example-seismic-portal example-drinks-api example-hello-api example-web-login: setup
	@$(CARGO) build --quiet --locked --workspace --bins
	$(CARGO) run --quiet --locked --package tiergate-testbed --bin tiergate-example -- $(@:example-%=%) $(or $(PROXY),envoy)

.PHONY: test
test: setup ## every test, against the real proxies, and the instructions of a check against their baseline
	@$(CARGO) test --locked --workspace
	$(MAKE) instructions

# Counted and not timed: the same on a busy machine. docs/development.md says what to do when it fails.
.PHONY: instructions
instructions: setup ## instructions of each part of a check against bench/instructions.json (3 %); BLESS=1 writes them there
	@$(CARGO) build --quiet --locked --profile gate --package tiergate-micro --bin tiergate-instructions
	"$${CARGO_TARGET_DIR:-target}/gate/tiergate-instructions" bench/instructions.json $(if $(filter-out 0 no false,$(BLESS)),--bless)

.PHONY: micro
micro: setup ## time and instructions of each part of a check, into bench/results/micro.json (some minutes)
	@$(CARGO) bench --quiet --locked --profile gate --package tiergate-micro --bench micro
	$(CARGO) build --quiet --locked --profile gate --package tiergate-micro --bin tiergate-instructions
	target="$${CARGO_TARGET_DIR:-target}"
	"$$target/gate/tiergate-instructions" bench/instructions.json --results bench/results/micro.json "$$target/criterion"

.PHONY: lint
lint: cargo-is-there ## format, clippy with warnings denied, fuzz targets, scripts and sample configs
	@$(CARGO) fmt --all --check
	$(CARGO) clippy --quiet --locked --workspace --all-targets -- --deny warnings
	$(CARGO) fmt --check --manifest-path fuzz/Cargo.toml
	$(CARGO) check --quiet --locked --no-default-features --manifest-path fuzz/Cargo.toml
	for script in testbed/setup/setup.sh deploy/compose/secrets.sh deploy/compose/nginx.sh fuzz/run.sh .ci/run; do bash -n "$$script"; done
	for config in examples/{demo,readme,drinks-api,hello-api,web-login}/tiergate.yaml; do
	  $(CARGO) run --quiet --locked --bin tiergate -- config check -c "$$config" >/dev/null
	done
	echo "lint: format, clippy, fuzz targets, scripts and sample configs are fine"

# Not part of `lint`: an advisory published tomorrow would break a tree that has
# not changed, and the list of advisories has to be fetched.
.PHONY: audit
audit: cargo-is-there ## known advisories, licences, bans and sources of all dependencies (needs the network)
	@$(call install,cargo-deny,$(CARGO_DENY_VERSION))
	PATH="$(TOOLS)/bin:$$PATH" $(CARGO) deny check

.PHONY: fuzz
fuzz: cargo-is-there ## each fuzz target for FUZZ_SECONDS (60) with a nightly toolchain
	@rustup run nightly rustc --version >/dev/null 2>&1 || {
	  echo "fuzz: a nightly toolchain is missing; install one with: rustup toolchain install nightly --profile minimal" >&2
	  exit 1
	}
	$(call install,cargo-fuzz,$(CARGO_FUZZ_VERSION))
	bash fuzz/run.sh $(FUZZ_SECONDS) $(FUZZ_TARGETS)

# The binary that is measured is built last: the benches bring the test bed's features along.
.PHONY: bench
bench: setup ## what a check costs beside servers that decide nothing, into bench/results/ (25 minutes); QUICK=1 only prints (5)
	@echo "bench: building (on two cores the first time takes 15 to 25 minutes, without a word)"
	$(CARGO) bench --quiet --locked --no-run --bench directory --bench sessions
	$(CARGO) bench --quiet --locked --no-run --package tiergate-micro --bench micro
	$(CARGO) build --quiet --locked --package tiergate-testbed --bin tiergate-bench
	$(CARGO) build --quiet --release --locked --package tiergate-floor
	$(CARGO) build --quiet --release --locked --bin tiergate
	release="$${CARGO_TARGET_DIR:-target}/release"
	$(CARGO) run --quiet --locked --package tiergate-testbed --bin tiergate-bench -- "$$release/tiergate" "$$release/tiergate-floor" \
	  $(if $(filter-out 0 no false,$(QUICK)),--quick,$(if $(PHASES),,--out bench/results)) $(if $(PHASES),--only $(PHASES))

.PHONY: cargo-is-there
cargo-is-there:
	@command -v $(CARGO) >/dev/null 2>&1 || {
	  echo "cargo is missing: install Rust with rustup (rust-toolchain.toml names the version), then run make again" >&2
	  exit 1
	}

# install NAME,VERSION: a cargo tool at a pinned version, once.
define install
[ "$$("$(TOOLS)/bin/$(1)" --version 2>/dev/null | awk '{ print $$2 }')" = "$(2)" ] || {
  echo "installing $(1) $(2) into .tools/ (some minutes, once)"
  $(CARGO) install --quiet --locked --root "$(TOOLS)" --version $(2) $(1)
}
endef
