// SPDX-License-Identifier: BSD-3-Clause
// c[i][j] += sum_k a[i][k] * b[j][k] without packing b: the product whose cost is reading b once.
//
// With few rows in a, packing b would cost more than it saves. Here the vector dimension is k,
// along which both matrices are contiguous. kColumns rows of b stream side by side, kDepth of each,
// so that they stay in L1 for all rows of a; kRows x kColumns accumulators, added up across lanes
// at the end of that, hide the latency of the multiply-adds.
#pragma once

#include "common/kernel/kernel.h"
#include "common/simd/simd.h"

namespace cnnext {
namespace {

struct DotOperands {
  int64_t m, k;
  const float* a;
  int64_t a_row;
  const float* b;
  int64_t b_row;
  float* c;
  int64_t c_row;
  bool accumulate;  // start from what c holds
};

template <int N>
struct DotProducts {
  static constexpr int kRows = N == 16 ? 3 : 2;  // 24 accumulators of 32 registers, or 8 of 16
  static constexpr int kColumns = N == 16 ? 8 : 4;
  static constexpr int64_t kDepth = 1024;
  static constexpr int64_t kNearFloats = 128 << 10;  // of a, that stay in L2 while b passes by

  // Columns [j0, j1) of c.
  static void run(const DotOperands& o, int64_t j0, int64_t j1) {
    const int64_t depth = max(kDepth, kNearFloats / o.m / kDepth * kDepth);
    for (int64_t k0 = 0; k0 < max(o.k, 1); k0 += depth) {
      for (int64_t j = j0; j < j1; j += kColumns) {
        for (int64_t k = k0; k < max(min(o.k, k0 + depth), 1); k += kDepth) {
          multiply(o, k, j, min(kColumns, j1 - j));
        }
      }
    }
  }

 private:
  // Up to kDepth steps from k on, and some columns from j on.
  static void multiply(const DotOperands& o, int64_t k, int64_t j, int64_t columns) {
    DotOperands part = o;
    part.k = min(kDepth, o.k - k);
    part.a += k;
    part.b += k;
    part.accumulate = o.accumulate || k > 0;
    for (int64_t i = 0, count; i < o.m; i += count) {
      // Even tiles: 4 rows run as 2 + 2 rather than 3 + 1.
      count = ceil_div(o.m - i, ceil_div(o.m - i, kRows));
      rows<kRows>(count, part, i, j, columns);
    }
  }

  template <int Rows>
  static void rows(int64_t count, const DotOperands& o, int64_t i, int64_t j, int64_t width) {
    if (count == Rows) {
      columns<Rows, kColumns>(width, o, i, j);
    } else if constexpr (Rows > 1) {
      rows<Rows - 1>(count, o, i, j, width);
    }
  }

  template <int Rows, int Columns>
  static void columns(int64_t width, const DotOperands& o, int64_t i, int64_t j) {
    if (width == Columns) {
      block<Rows, Columns>(o, i, j);
    } else if constexpr (Columns > 1) {
      columns<Rows, Columns - 1>(width, o, i, j);
    }
  }

  template <int Rows, int Columns>
  static void block(const DotOperands& o, int64_t row, int64_t column) {
    // One address register serves three rows, as in micro_kernels.h.
    constexpr int kRowsPerBase = 3;
    constexpr int kBases = (Columns + kRowsPerBase - 1) / kRowsPerBase;
    const float* a = o.a + row * o.a_row;
    const float* b[kBases];
    for (int g = 0; g < kBases; ++g) b[g] = o.b + (column + g * kRowsPerBase) * o.b_row;
    const auto at = [&](int j) { return b[j / kRowsPerBase] + j % kRowsPerBase * o.b_row; };

    f32<N> acc[Rows][Columns] = {};
    int64_t left = o.k;
    for (; left >= N; left -= N) {
      f32<N> a_vec[Rows];
      for (int i = 0; i < Rows; ++i) a_vec[i] = load<N>(a + i * o.a_row);
      for (int j = 0; j < Columns; ++j) {
        const f32<N> b_vec = load<N>(at(j));
        for (int i = 0; i < Rows; ++i) acc[i][j] += a_vec[i] * b_vec;
      }
      a += N;
      for (int g = 0; g < kBases; ++g) b[g] += N;
    }
    if (left > 0) {
      for (int j = 0; j < Columns; ++j) {
        const f32<N> b_vec = load_partial<N>(at(j), left);
        for (int i = 0; i < Rows; ++i) {
          acc[i][j] += load_partial<N>(a + i * o.a_row, left) * b_vec;
        }
      }
    }
    for (int i = 0; i < Rows; ++i) {
      for (int j = 0; j < Columns; ++j) {
        float& c = o.c[(row + i) * o.c_row + column + j];
        const float sum = sum_of_lanes<N>(acc[i][j]);
        c = o.accumulate ? c + sum : sum;
      }
    }
  }
};

}  // namespace
}  // namespace cnnext
