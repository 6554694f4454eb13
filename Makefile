# `make demo` and `make test` need Python >= 3.10 (with venv and headers), make and g++; the rest
# goes into .venv. ARGS is passed on: make test ARGS="-k conv2d", make demo ARGS="lenet5" (to
# `compare` alone).
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

SOURCES := $(shell find csrc -type f)
ENGINE := $(shell find tests/cuda_on_cpu -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.txt')
CXX_FILES := $(filter %.h %.cpp %.cu %.inc,$(SOURCES) $(ENGINE))

.PHONY: help demo test bench fuzz check gpu-check asan tsan format clean
help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile

demo: $(VENV)/.built ## compare cnnext with PyTorch on this machine, then train LeNet-5
	$(PY) -m cnnext compare $(ARGS)
	$(PY) -m cnnext train lenet5 --data digits --out build/demo --overwrite

# Several tests at a time, whose idle threads leave the cores to each other.
test: $(VENV)/.built build/cmake/.built build/cuda_on_cpu/.built ## run the test suite
	PYTHONPATH=build/cmake OMP_WAIT_POLICY=passive \
	    $(PY) -m pytest --numprocesses=logical --maxprocesses=8 $(ARGS)

bench: $(VENV)/.built ## run the benchmarks
	$(PY) -m pytest benchmarks $(ARGS)

fuzz: $(VENV)/.built ## compare drawn calls with native PyTorch, for an hour or --minutes
	$(PY) -m tests.fuzz $(ARGS)

check: $(VENV)/.built ## format, lint, types, dependency rule, ISA symbols, CUDA budget
	ruff check
	ruff format --check
	clang-format --dry-run -Werror $(CXX_FILES)
	mypy
	$(PY) tools/check_dependencies.py
	$(PY) tools/check_symbols.py
	$(PY) tools/check_cuda.py

# With the environment's Python or else the system's: whichever has a PyTorch with CUDA.
gpu-check: ## check the CUDA kernels on this machine's GPU, then time them
	$(PYTHON) tools/gpu_check.py $(ARGS)

# Builds the kernels without torch under a sanitizer and runs their tests.
define sanitize
	cmake -S . -B build/$@ -G Ninja -D CNNEXT_SANITIZE=$(1) -D Python_EXECUTABLE=$(CURDIR)/$(PY)
	cmake --build build/$@
	ctest --test-dir build/$@ --output-on-failure
endef

asan: $(VENV)/.installed ## test the kernels for bad accesses and undefined behaviour
	$(call sanitize,address)

tsan: $(VENV)/.installed ## test the kernels for data races
	$(call sanitize,thread)

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

build/cmake/.built: $(VENV)/.installed $(SOURCES) CMakeLists.txt
	cmake -S . -B build/cmake -G Ninja -D Python_EXECUTABLE=$(CURDIR)/$(PY)
	cmake --build build/cmake
	touch $@

# The CUDA kernels' own source, compiled for the CPU.
build/cuda_on_cpu/.built: $(VENV)/.installed $(SOURCES) $(ENGINE)
	cmake -S tests/cuda_on_cpu -B build/cuda_on_cpu -G Ninja -D Python_EXECUTABLE=$(CURDIR)/$(PY)
	cmake --build build/cuda_on_cpu
	touch $@
