# make demo | test | lint | bench | bench-live | bench-filter | bench-export | bench-correlation | sanitize | accuracy | fuzz | wheel | clean
# Set-up (system packages, .venv, compiled core) happens by itself; see deploy/setup.sh.

SHELL := /bin/bash
VENV := .venv
PYTHON := $(VENV)/bin/python
BUILT_FROM := pyproject.toml deploy/setup.sh $(wildcard sensor/core/*.[ch])
CORE := $(wildcard sensor/core/*.c)
C_TESTS := $(wildcard tests/core/*.c tests/fuzz/*.c tests/bench/*.c)
WARNINGS := -std=c11 -D_GNU_SOURCE -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Werror
FUZZ_SECONDS ?= 60
FUZZ_MESSAGES ?= 1000000

.DELETE_ON_ERROR:
.PHONY: demo test lint bench bench-live bench-filter bench-export bench-correlation sanitize accuracy fuzz wheel clean

demo: $(VENV)/.ready-demo
	$(PYTHON) -m sensor.cli demo

test: $(VENV)/.ready-test
	$(PYTHON) -m pytest

lint: $(VENV)/.ready-test
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	include=$$($(PYTHON) -c 'import sysconfig; print(sysconfig.get_paths()["include"])'); \
	for compiler in gcc clang; do \
	    for source in $(CORE); do \
	        $$compiler $(WARNINGS) -O2 -DPy_LIMITED_API=0x030B0000 -Isensor/core -isystem $$include \
	            -c -o /dev/null $$source || exit 1; \
	    done; \
	    $$compiler $(WARNINGS) -Wno-missing-field-initializers -Isensor/core -Itests/core \
	        -fsyntax-only $(C_TESTS) || exit 1; \
	done

# tests/core under both compilers, with AddressSanitizer and UndefinedBehaviorSanitizer
sanitize: $(VENV)/.ready-test
	$(PYTHON) -m pytest tests/core/test_c.py --compiler gcc --compiler clang

bench: $(VENV)/.ready-test
	$(PYTHON) -m tests.bench.bench
	$(PYTHON) -m tests.bench.decryption
	$(PYTHON) -m tests.bench.tap

# packets lost beside tcpdump on a veth pair; needs root
bench-live: $(VENV)/.ready-test
	$(PYTHON) -m tests.bench.live

# what the kernel's part costs a packet: the classic program, the eBPF one, packets cut; needs root
bench-filter: $(VENV)/.ready-test
	$(PYTHON) -m tests.bench.kernelfilter

# records per second and CPU per record, through each sink to a receiver that counts
bench-export: $(VENV)/.ready-test
	$(PYTHON) -m tests.bench.export
	$(PYTHON) -m tests.bench.evidence

# calls per second, memory and longest waits of the soft layer of correlation, over a million calls of each kind
bench-correlation: $(VENV)/.ready-test
	$(PYTHON) -m tests.bench.correlation

# who caused what, scored; DATASETS is the directory of score.py
accuracy: $(VENV)/.ready-test
	$(PYTHON) -m tests.accuracy.table $(DATASETS)

fuzz: $(VENV)/.ready-test
	$(PYTHON) -m tests.fuzz.run --seconds $(FUZZ_SECONDS)
	$(PYTHON) -m tests.fuzz.messages --count $(FUZZ_MESSAGES)

wheel: $(VENV)/.ready-demo
	$(PYTHON) -m pip wheel --quiet --no-build-isolation --no-deps --wheel-dir dist .

$(VENV)/.ready-demo: $(BUILT_FROM)
	deploy/setup.sh demo

$(VENV)/.ready-test: $(BUILT_FROM)
	deploy/setup.sh test

clean:
	rm -rf build dist *.egg-info sensor/_core*.so .pytest_cache .mypy_cache .ruff_cache
	rm -f $(VENV)/.ready-demo $(VENV)/.ready-test
