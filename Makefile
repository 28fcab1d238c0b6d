# SPDX-License-Identifier: Apache-2.0
# A short front for Meson. `make help` lists what there is.
BUILD ?= build
MESON_FLAGS ?=

.PHONY: help setup build run test asan tsan fuzz stress bench fmt check install clean

help:
	@sed -n 's/^\([a-z]*\):.*## /\1	/p' Makefile | expand -t 10

setup: ## install what building and testing needs (Debian packages, npm packages)
	@scripts/setup all

$(BUILD)/build.ninja:
	@scripts/setup build
	meson setup $(BUILD) $(MESON_FLAGS)

build: $(BUILD)/build.ninja ## build everything
	meson compile -C $(BUILD)

run: ## start daemon, nginx and the example application on loopback
	@scripts/setup run
	@$(MAKE) --no-print-directory $(BUILD)/build.ninja
	meson compile -C $(BUILD) product
	@scripts/run $(BUILD)

test: ## build and pass all tests
	@scripts/setup test
	@$(MAKE) --no-print-directory build
	@scripts/test $(BUILD)

asan: ## tests under AddressSanitizer and UndefinedBehaviorSanitizer
	@scripts/sanitize asan

tsan: ## tests under ThreadSanitizer
	@scripts/sanitize tsan

fuzz: ## run every fuzz target for FUZZ_SECONDS each (default 60)
	@scripts/fuzz

stress: ## full counts of races, crash loops and models; Valgrind
	@scripts/stress $(BUILD)

bench: build ## compare speed with peers, side by side
	@scripts/bench $(BUILD)

fmt: ## format all C code
	@scripts/fmt

check: ## everything that CI runs
	@scripts/check

install: build ## install under the prefix of $(BUILD)
	meson install -C $(BUILD)

clean: ## remove build folders
	rm -rf build build-*
