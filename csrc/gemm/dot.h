// SPDX-License-Identifier: BSD-3-Clause
// c[i][j] += sum_k a[i][k] * b[j][k] for a few rows of a: the product whose cost is reading b once.
//
// With so few rows, packing b would cost more than it saves. Here the vector dimension is k, along
// which both matrices are contiguous; kColumns rows of b stream side by side and kRows x kColumns
// accumulators, added up across lanes at the end, hide the latency of the multiply-adds.
#pragma once

#include "common/kernel.h"
#include "common/simd.h"

namespace cnnext {
namespace {

template <int N>
struct DotProducts {
  static constexpr int kRows = N == 16 ? 4 : 2;  // 16 accumulators of 32 registers, or 8 of 16
  static constexpr int kColumns = 4;

  // Rows [0, m) of a, columns [j0, j1); c starts from `bias` (of c's columns, or null for zero), or
  // from what it holds if `accumulate`.
  static void run(int64_t m, int64_t k, const float* a, const float* b, const float* bias, float* c,
                  int64_t c_row, int64_t j0, int64_t j1, bool accumulate) {
    for (int64_t j = j0; j < j1; j += kColumns) {
      for (int64_t i = 0; i < m; i += kRows) {
        const float* const start = bias == nullptr ? nullptr : bias + j;
        const Operands o{k, a + i * k, b + j * k, start, c + i * c_row + j, c_row, accumulate};
        rows<kRows>(least(kRows, m - i), least(kColumns, j1 - j), o);
      }
    }
  }

 private:
  struct Operands {
    int64_t k;
    const float *a, *b, *bias;
    float* c;
    int64_t c_row;
    bool accumulate;
  };

  template <int Rows>
  static void rows(int64_t rows_left, int64_t columns_left, const Operands& o) {
    if (rows_left == Rows) {
      columns<Rows, kColumns>(columns_left, o);
    } else if constexpr (Rows > 1) {
      rows<Rows - 1>(rows_left, columns_left, o);
    }
  }

  template <int Rows, int Columns>
  static void columns(int64_t columns_left, const Operands& o) {
    if (columns_left == Columns) {
      block<Rows, Columns>(o);
    } else if constexpr (Columns > 1) {
      columns<Rows, Columns - 1>(columns_left, o);
    }
  }

  template <int Rows, int Columns>
  static void block(const Operands& o) {
    f32<N> acc[Rows][Columns] = {};
    int64_t p = 0;
    for (; p + N <= o.k; p += N) {
      f32<N> a_vec[Rows];
      for (int i = 0; i < Rows; ++i) a_vec[i] = load<N>(o.a + i * o.k + p);
      for (int j = 0; j < Columns; ++j) {
        const f32<N> b_vec = load<N>(o.b + j * o.k + p);
        for (int i = 0; i < Rows; ++i) acc[i][j] += a_vec[i] * b_vec;
      }
    }
    if (p < o.k) {
      const int64_t rest = o.k - p;
      for (int j = 0; j < Columns; ++j) {
        const f32<N> b_vec = load_partial<N>(o.b + j * o.k + p, rest);
        for (int i = 0; i < Rows; ++i)
          acc[i][j] += load_partial<N>(o.a + i * o.k + p, rest) * b_vec;
      }
    }
    for (int i = 0; i < Rows; ++i) {
      for (int j = 0; j < Columns; ++j) {
        float& c = o.c[i * o.c_row + j];
        const float start = o.accumulate ? c : o.bias == nullptr ? 0.0f : o.bias[j];
        c = start + sum_of_lanes<N>(acc[i][j]);
      }
    }
  }
};

}  // namespace
}  // namespace cnnext
