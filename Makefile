# `make demo` and `make test` need Python >= 3.10 (with venv and headers), make and g++; the rest
# goes into .venv. ARGS is passed on: make test ARGS="-k conv2d", make demo ARGS="lenet5" (to
# `compare` alone).
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

SOURCES := $(shell find csrc -type f)
ENGINE := $(shell find tests/cuda_on_cpu -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.txt')
LOOPS := $(wildcard benchmarks/loops/*)
CXX_FILES := $(filter %.h %.cpp %.cu %.inc,$(SOURCES) $(ENGINE) $(LOOPS))

# What `test-all` runs beside `make test`; PART chooses among them.
PARTS := slow large baseline avx2 benchmarks cuda asan tsan
PART ?= $(PARTS)

.PHONY: help demo test test-all $(PARTS:%=test-%) bench ceilings layers fuzz check faults gpu-check asan tsan races format clean
help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile

demo: $(VENV)/.built ## compare cnnext with PyTorch on this machine, then train LeNet-5
	$(PY) -m cnnext compare $(ARGS)
	$(PY) -m cnnext train lenet5 --data digits --out build/demo --overwrite

# Several tests at a time, whose idle threads leave the cores to each other.
test: $(VENV)/.built build/cmake/.built build/cuda_on_cpu/.built ## run the test suite
	PYTHONPATH=build/cmake OMP_WAIT_POLICY=passive \
	    $(PY) -m pytest --numprocesses=logical --maxprocesses=8 $(ARGS)

test-all: $(PART:%=test-%) ## run all that `test` leaves out, or PART="slow asan"

# Some of the slow tests take most of a machine's memory, and run one at a time.
LARGE := tests/ops/test_int64_sizes.py tests/models
test-slow:
	$(MAKE) test ARGS="-m slow $(LARGE:%=--ignore=%)"
test-large:
	$(MAKE) test ARGS="-m slow --numprocesses=0 $(LARGE)"

# Another ISA changes the choice among kernels, which all have run by their names. What asks for
# none, or calls only operators, it does not change.
ANY_ISA := kernels cuda cuda_on_cpu pytorch_integration cli testing convert \
    upstream_suites/test_adversarial_inputs.py ops/test_recurrent_layers.py
test-baseline:
	CNNEXT_ISA=baseline $(MAKE) test \
	    ARGS="-m 'not slow and not by_name' $(ANY_ISA:%=--ignore=tests/%)"

# As on a processor without AVX-512, where native PyTorch has other kernels, too.
AVX2_LIMITS := CNNEXT_ISA=avx2 ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 \
    MKL_ENABLE_INSTRUCTIONS=AVX2
test-avx2:
	$(AVX2_LIMITS) $(MAKE) test

test-benchmarks:
	$(MAKE) bench ARGS=--benchmark-disable
test-cuda: $(VENV)/.installed
	$(PY) tools/check_cuda.py --all
test-asan: asan
test-tsan: tsan

bench: $(VENV)/.built ## run the benchmarks
	$(PY) -m pytest benchmarks $(ARGS)

ceilings: build/cmake/.built ## measure what this machine can do at best, into ARGS=FILE
layers: build/cmake/.built ## time convolutions against that and native PyTorch: ARGS="measure FILE"
ceilings layers:
	PYTHONPATH=build/cmake $(PY) benchmarks/$@.py $(ARGS)

fuzz: $(VENV)/.built ## compare drawn calls with native PyTorch, for an hour or --minutes
	$(PY) -m tests.fuzz $(ARGS)

check: $(VENV)/.built ## format, lint, types, dependency rule, words, ISA symbols, CUDA budget
	ruff check
	ruff format --check
	clang-format --dry-run -Werror $(CXX_FILES)
	mypy
	$(PY) tools/check_layers.py
	$(PY) tools/check_words.py
	$(PY) tools/check_symbols.py
	$(PY) tools/check_cuda.py

# In a copy of the tree, with a build of its own.
faults: $(VENV)/.installed ## seed faults one by one, and see the tests catch each
	$(PY) tools/seed_faults.py $(ARGS)

# With the environment's Python or else the system's: whichever has a PyTorch with CUDA.
gpu-check: ## check the CUDA kernels on this machine's GPU, then time them
	$(PYTHON) tools/gpu_check.py $(ARGS)

# Builds the kernels without torch under a sanitizer and runs their tests.
define sanitize
	cmake -S . -B build/$@ -G Ninja -D CNNEXT_SANITIZE=$(1) -D Python_EXECUTABLE=$(CURDIR)/$(PY) $(2)
	cmake --build build/$@
	ctest --test-dir build/$@ --output-on-failure
endef

asan: $(VENV)/.installed ## test the kernels for bad accesses and undefined behaviour
	$(call sanitize,address)

tsan: $(VENV)/.installed ## test the kernels for data races
	$(call sanitize,thread)

# A part of them, and of what other processors get, that takes a minute.
races: $(VENV)/.installed ## test portable kernels for data races
	$(call sanitize,thread,-D CNNEXT_PORTABLE=ON -D CNNEXT_TESTS="threads or faults")

format: $(VENV)/.installed ## format all sources
	ruff check --fix
	ruff format
	clang-format -i $(CXX_FILES)

clean: ## remove what was built, keep the environment
	rm -rf build dist *.egg-info cnnext/*.so $(VENV)/.built

$(VENV)/.installed: requirements-dev.txt
	@test -x $(PY) || $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and \
	    "Python 3.10 or newer is needed: make PYTHON=...")'
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --requirement requirements-dev.txt
	touch $@

$(VENV)/.built: $(VENV)/.installed $(SOURCES) setup.py build_backend.py build_cuda.py pyproject.toml
	$(PY) -m pip install --no-build-isolation --no-deps --editable .
	touch $@

# The bindings alone: the kernels are those that pip has compiled.
build/cmake/.built: $(VENV)/.built CMakeLists.txt $(LOOPS)
	cmake -S . -B build/cmake -G Ninja -D Python_EXECUTABLE=$(CURDIR)/$(PY) \
	    -D CNNEXT_OBJECTS=$(CURDIR)/build/objects
	cmake --build build/cmake
	touch $@

# The CUDA kernels' own source, compiled for the CPU.
build/cuda_on_cpu/.built: $(VENV)/.installed $(SOURCES) $(ENGINE)
	cmake -S tests/cuda_on_cpu -B build/cuda_on_cpu -G Ninja -D Python_EXECUTABLE=$(CURDIR)/$(PY)
	cmake --build build/cuda_on_cpu
	touch $@
