// SPDX-License-Identifier: BSD-3-Clause
// The epilogue alone, on tiles as large as those of the micro-kernels of products: x in the place
// of their sums. A task is a row of tiles.
#pragma once

#include "common/simd/finish.h"
#include "epilogue/finish.h"

namespace cnnext {
namespace {

template <int N>
struct FinishTile {
  static constexpr int kRows = N == 16 ? 14 : 6, kVectors = 2;

  static Plan plan(const FinishShape& s, int) {
    Plan plan;
    plan.tasks[0] = ceil_div(s.rows, kRows);
    return plan;
  }

  static void run(const FinishShape& s, const Plan&, const FinishOperands<float>& o,
                  const Slice& slice) {
    TileEpilogue e = epilogue_of_pixels(o.epilogue, s.residual_row);
    e.bias_row = s.bias_row;
    e.bias_column = s.bias_column;
    for (int64_t i = slice.begin * kRows; i < min(s.rows, slice.end * kRows); i += kRows) {
      for (int64_t j = 0; j < s.columns; j += kVectors * N) {
        const int64_t at = i * s.columns + j;
        finish_tile(min(kRows, s.rows - i), min(kVectors * N, s.columns - j), o.x + at, o.y + at,
                    s.columns, e.at(i, j));
      }
    }
  }

 private:
  // Finds the size of the tile among the template's.
  template <int Rows = kRows, int Vectors = kVectors>
  static void finish_tile(int64_t rows, int64_t columns, const float* x, float* y, int64_t row,
                          const TileEpilogue& e) {
    if constexpr (Vectors > 1) {
      if (columns <= (Vectors - 1) * N) {
        return finish_tile<Rows, Vectors - 1>(rows, columns, x, y, row, e);
      }
    }
    if constexpr (Rows > 1) {
      if (rows < Rows) return finish_tile<Rows - 1, Vectors>(rows, columns, x, y, row, e);
    }
    const int64_t rest = columns - (Vectors - 1) * N;
    const auto count = [&](int j) { return j < Vectors - 1 ? N : rest; };
    f32<N> sums[Rows][Vectors];
    for_each_sum<N>(sums, [&](int i, int j, f32<N>& sum) {
      sum = load_partial<N>(x + i * row + j * N, count(j));
    });
    finish<N>(sums, e, columns);
    for_each_sum<N>(sums, [&](int i, int j, f32<N>& sum) {
      store_partial<N>(y + i * row + j * N, sum, count(j));
    });
  }
};

}  // namespace
}  // namespace cnnext
