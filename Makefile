# SPDX-License-Identifier: Apache-2.0
# A wrapper around meson: see meson.build and HACKING.md for what really happens.
BUILD ?= build
MESON ?= meson

.PHONY: all demo build check test sanitize tsan fuzz bench format clean install

all: build

## make demo: install what is missing, build, caption the bundled clip
demo:
	.ci/packages.sh demo
	$(MAKE) build
	.ci/demo.sh $(BUILD)

## make check: install what is missing, build, run every test
check:
	.ci/packages.sh check
	.ci/check.sh

build: $(BUILD)/build.ninja
	ninja -C $(BUILD)

$(BUILD)/build.ninja:
	$(MESON) setup $(BUILD)

## make test: the tests alone, without sanitizers and fuzzing
test: build
	$(MESON) test -C $(BUILD) --print-errorlogs

## make sanitize | tsan | fuzz: one part of make check each
sanitize tsan fuzz:
	.ci/check.sh $@

bench: build
	$(MESON) test -C $(BUILD) --benchmark --verbose

format:
	git ls-files '*.c' '*.h' | xargs clang-format -i

install: build
	$(MESON) install -C $(BUILD)

clean:
	rm -rf build build-*
