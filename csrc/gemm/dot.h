// SPDX-License-Identifier: BSD-3-Clause
// c[i][j] += sum_k a[i][k] * b[j][k] without packing b: the product whose cost is reading b once.
//
// With few rows in a, packing b would cost more than it saves. Here the vector dimension is k,
// along which both matrices are contiguous. kColumns rows of b stream side by side, kDepth of each,
// so that they stay in L1 for all rows of a; kRows x kColumns accumulators hide the latency of the
// multiply-adds. At the end of that their lanes are added up, those of a row's columns together,
// which takes a transposition and a few additions of whole vectors.
#pragma once

#include "gemm/tile.h"

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
  static constexpr int kColumnsOfOneRow = N == 4 ? 4 : 8;
  static constexpr int64_t kDepth = 1024;
  // Rows of b whose first cache lines are prefetched, since hardware has to notice each row anew.
  static constexpr int64_t kLongRow = 2048, kLineFloats = 16;
  static constexpr int64_t kNearFloats = 128 << 10;  // of a, that stay in L2 while b passes by

  // Columns [j0, j1) of c.
  static void run(const DotOperands& o, int64_t j0, int64_t j1) {
    const int64_t width = o.m == 1 ? kColumnsOfOneRow : kColumns;
    const int64_t step = o.m <= kRows ? kChain * N : kDepth;  // b is not needed again
    const int64_t depth = max(step, kNearFloats / o.m / step * step);
    for (int64_t k0 = 0; k0 < max(o.k, 1); k0 += depth) {
      for (int64_t j = j0; j < j1; j += width) {
        for (int64_t k = k0; k < max(min(o.k, k0 + depth), 1); k += step) {
          multiply(o, k, min(step, o.k - k), j, min(width, j1 - j));
        }
      }
    }
  }

 private:
  // Steps [k, k + depth) of some columns from j on.
  static void multiply(const DotOperands& o, int64_t k, int64_t depth, int64_t j, int64_t columns) {
    DotOperands part = o;
    part.k = depth;
    part.a += k;
    part.b += k;
    part.accumulate = o.accumulate || k > 0;
    for (int64_t i = 0, count; i < o.m; i += count) {
      count = even_share(o.m - i, kRows);
      rows<kRows>(count, part, i, j, columns);
    }
  }

  template <int Rows>
  static void rows(int64_t count, const DotOperands& o, int64_t i, int64_t j, int64_t columns) {
    if (count == Rows) {
      blocks<Rows, Rows == 1 ? kColumnsOfOneRow : kColumns>(o, i, j, columns);
    } else if constexpr (Rows > 1) {
      rows<Rows - 1>(count, o, i, j, columns);
    }
  }

  // A block, or else what is left in blocks of half the width.
  template <int Rows, int Columns>
  static void blocks(const DotOperands& o, int64_t i, int64_t j, int64_t columns) {
    if (columns >= Columns) {
      block<Rows, Columns>(o, i, j);
      j += Columns;
      columns -= Columns;
    }
    if constexpr (Columns > 1) {
      if (columns > 0) blocks<Rows, Columns / 2>(o, i, j, columns);
    }
  }

  // The compiler takes sums through memory whose loops it does not unroll early.
  template <int Rows, int Columns>
  static void block(const DotOperands& o, int64_t row, int64_t column) {
    const float *a[Rows], *b[Columns];
    CNNEXT_UNROLL(16)
    for (int i = 0; i < Rows; ++i) a[i] = o.a + (row + i) * o.a_row;
    CNNEXT_UNROLL(16)
    for (int j = 0; j < Columns; ++j) b[j] = o.b + (column + j) * o.b_row;

    f32<N> acc[Rows][Columns] = {};
    const auto add = [&](const auto& load_at) {
      f32<N> a_vec[Rows];
      CNNEXT_UNROLL(16)
      for (int i = 0; i < Rows; ++i) a_vec[i] = load_at(a[i]);
      CNNEXT_UNROLL(16)
      for (int j = 0; j < Columns; ++j) {
        const f32<N> b_vec = load_at(b[j]);
        CNNEXT_UNROLL(16)
        for (int i = 0; i < Rows; ++i) acc[i][j] += a_vec[i] * b_vec;
      }
    };
    if (Rows == 1 && o.k >= kLongRow) {
      CNNEXT_UNROLL(16)
      for (int j = 0; j < Columns; ++j) {
        const float* const next = b[j] + Columns * o.b_row;
        __builtin_prefetch(next);
        __builtin_prefetch(next + kLineFloats);
      }
    }
    int64_t k = 0;
    for (; k + N <= o.k; k += N) {
      add([&](const float* p) { return load<N>(p + k); });
    }
    if (k < o.k) {
      add([&](const float* p) { return load_partial<N>(p + k, o.k - k); });
    }
    CNNEXT_UNROLL(16)
    for (int i = 0; i < Rows; ++i) {
      store_sums(acc[i], o.c + (row + i) * o.c_row + column, o.accumulate);
    }
  }

  template <int Columns>
  CNNEXT_INLINE static void store_sums(f32<N> (&acc)[Columns], float* c, bool accumulate) {
    if constexpr (Columns >= 4) {
      const f32<Columns> sums = sums_of_lanes<N>(acc);
      store<Columns>(c, accumulate ? load<Columns>(c) + sums : sums);
    } else {
      CNNEXT_UNROLL(16)
      for (int j = 0; j < Columns; ++j) {
        const float sum = sum_of_lanes<N>(acc[j]);
        c[j] = accumulate ? c[j] + sum : sum;
      }
    }
  }
};

}  // namespace
}  // namespace cnnext
