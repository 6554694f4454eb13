"""Faults in the CUDA kernels, which run on the engine of tests/cuda_on_cpu."""

from __future__ import annotations

from faults.fault import Fault

CUDA = (
    Fault(
        name="threads-beyond-the-last-element",
        kind="bound of a CUDA grid",
        file="csrc/pooling/cuda_max_pool2d.h",
        old="if (number >= size) return;",
        new="if (number > size) return;",
        within="  if (number >= size) return;\n  const Element y = outputs.split(number);\n"
        "  const int64_t h0",
        tests=("tests/cuda/test_operators.py", "-k", "max_pool2d and (float32 or views)"),
    ),
    Fault(
        name="tile-overwritten-while-it-is-read",
        kind="CUDA barrier",
        file="csrc/conv2d/cuda.cu",
        old="__syncthreads();",
        new="",
        within="sum[i][j] += a[i] * b[j];\n      }\n    }\n    __syncthreads();",
        tests=("tests/cuda/test_operators.py", "-k", "conv2d and cases and float32"),
    ),
    Fault(
        name="tile-stores-columns-that-are-not-there",
        kind="CUDA mask",
        file="csrc/conv2d/cuda.cu",
        old="row < tiling.rows && column < tiling.columns",
        new="row < tiling.rows",
        tests=("tests/cuda/test_operators.py", "-k", "conv2d and cases and float32"),
    ),
    Fault(
        name="half-precision-sums-in-half-precision",
        kind="CUDA dtype",
        file="csrc/pooling/cuda_average.h",
        old="row_sum += widen(o.in[outputs.other(y, h, w)]);",
        new="row_sum = widen(narrow<T>(row_sum + widen(o.in[outputs.other(y, h, w)])));",
        tests=("tests/cuda/test_operators.py", "-k", "avg_pool2d"),
    ),
    Fault(
        name="packs-that-are-not-aligned",
        kind="CUDA alignment",
        file="csrc/elementwise/cuda.cu",
        old="aligned(o.first) && aligned(o.second) && aligned(o.result)",
        new="aligned(o.first) && aligned(o.result)",
        tests=("tests/cuda/test_elementwise.py",),
    ),
)
