// SPDX-License-Identifier: BSD-3-Clause
// Shuffling, a row of pixels a task. Memory is the limit; of the few groups that networks have the
// compiler makes interleaving stores, of other matrices blocks go through transposed vectors.
#pragma once

#include "common/simd/simd.h"
#include "reorder/shuffle.h"

namespace cnnext {
namespace {

template <int N>
struct ShufflePixels {
  static Plan plan(const ShuffleShape& s, int) {
    Plan plan;
    plan.tasks[0] = s.n * s.h;
    return plan;
  }

  static void run(const ShuffleShape& s, const Plan&, const ShuffleOperands<float>& o,
                  const Slice& slice) {
    const int64_t u = s.upscale;
    for (int64_t task = slice.begin; task < slice.end; ++task) {
      const float* const x = o.x + task * s.w * s.x_pixel;
      float* const y = o.y + task * s.w * u * u * s.y_pixel;
      for (int64_t i = 0; i < s.w; ++i) {
        if (u == 1) {
          shuffle_channels(s, x + i * s.x_pixel, y + i * s.y_pixel);
          continue;
        }
        for (int64_t a = 0; a < u; ++a) {
          transpose_block<N>(x + i * s.x_pixel + a * u, s.columns,
                             y + (a * s.w + i) * u * s.y_pixel, s.y_pixel, s.rows, u);
        }
      }
    }
  }

 private:
  static void shuffle_channels(const ShuffleShape& s, const float* x, float* y) {
    switch (s.rows) {
      case 2:
        return interleave<2>(x, s.columns, y);
      case 3:
        return interleave<3>(x, s.columns, y);
      case 4:
        return interleave<4>(x, s.columns, y);
      default:
        transpose_block<N>(x, s.columns, y, s.rows, s.rows, s.columns);
    }
  }

  template <int Rows>
  static void interleave(const float* __restrict x, int64_t columns, float* __restrict y) {
    for (int64_t j = 0; j < columns; ++j) {
      for (int i = 0; i < Rows; ++i) y[j * Rows + i] = x[i * columns + j];
    }
  }
};

}  // namespace
}  // namespace cnnext
