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
  static constexpr int kRows = 2;
  static constexpr int kColumns = 4;

  // Rows [0, m) of a, columns [j0, j1); c starts from `bias` (of c's columns, or null for zero), or
  // from what it holds if `accumulate`.
  static void run(int64_t m, int64_t k, const float* a, const float* b, const float* bias, float* c,
                  int64_t c_row, int64_t j0, int64_t j1, bool accumulate) {
    for (int64_t j = j0; j < j1; j += kColumns) {
      const bool wide = j + kColumns <= j1;
      for (int64_t i = 0; i < m; i += kRows) {
        const int64_t rows = least(kRows, m - i);
        for (int64_t jj = j; jj < least(j + kColumns, j1); jj += wide ? kColumns : 1) {
          const float* const a_rows = a + i * k;
          const float* const b_rows = b + jj * k;
          float* const out = c + i * c_row + jj;
          const float* const start = bias == nullptr ? nullptr : bias + jj;
          if (wide) {
            rows == 2 ? block<2, kColumns>(k, a_rows, b_rows, start, out, c_row, accumulate)
                      : block<1, kColumns>(k, a_rows, b_rows, start, out, c_row, accumulate);
          } else {
            rows == 2 ? block<2, 1>(k, a_rows, b_rows, start, out, c_row, accumulate)
                      : block<1, 1>(k, a_rows, b_rows, start, out, c_row, accumulate);
          }
        }
      }
    }
  }

 private:
  template <int Rows, int Columns>
  static void block(int64_t k, const float* a, const float* b, const float* bias, float* c,
                    int64_t c_row, bool accumulate) {
    f32<N> acc[Rows][Columns] = {};
    int64_t p = 0;
    for (; p + N <= k; p += N) {
      f32<N> a_vec[Rows];
      for (int i = 0; i < Rows; ++i) a_vec[i] = load<N>(a + i * k + p);
      for (int j = 0; j < Columns; ++j) {
        const f32<N> b_vec = load<N>(b + j * k + p);
        for (int i = 0; i < Rows; ++i) acc[i][j] += a_vec[i] * b_vec;
      }
    }
    if (p < k) {
      for (int j = 0; j < Columns; ++j) {
        const f32<N> b_vec = load_partial<N>(b + j * k + p, k - p);
        for (int i = 0; i < Rows; ++i) acc[i][j] += load_partial<N>(a + i * k + p, k - p) * b_vec;
      }
    }
    for (int i = 0; i < Rows; ++i) {
      for (int j = 0; j < Columns; ++j) {
        const float start = accumulate ? c[i * c_row + j] : bias == nullptr ? 0.0f : bias[j];
        c[i * c_row + j] = start + sum_of_lanes<N>(acc[i][j]);
      }
    }
  }
};

}  // namespace
}  // namespace cnnext
