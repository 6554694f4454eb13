// SPDX-License-Identifier: BSD-3-Clause
// Resampling, a row of the result a task. Memory is the limit: where the columns of a row come from
// is found out once a chunk of rows, and the weights of a pixel are shared by its channels.
#pragma once

#include "common/simd/simd.h"
#include "resample/resample.h"

namespace cnnext {
namespace {

template <int N>
struct ResampleRows {
  static Plan plan(const ResampleShape& s, int) {
    Plan plan;
    plan.tasks[0] = s.n * s.h_out;
    plan.chunk_bytes = s.w_out * static_cast<int64_t>(sizeof(Neighbours));
    return plan;
  }

  static void run(const ResampleShape& s, const Plan&, const ResampleOperands<float>& o,
                  const Slice& slice) {
    Neighbours* const columns = reinterpret_cast<Neighbours*>(slice.chunk);
    for (int64_t j = 0; j < s.w_out; ++j) columns[j] = resampled_column(j, s);
    const int64_t row = s.w_in * s.x_pixel;
    for (int64_t task = slice.begin; task < slice.end; ++task) {
      const Neighbours rows = resampled_row(task % s.h_out, s);
      const float* const x = o.x + task / s.h_out * s.h_in * row;
      float* const y = o.y + task * s.w_out * s.y_pixel;
      if (s.interpolation == Interpolation::nearest) {
        copy_row(s, columns, x + rows.first * row, y);
      } else {
        blend_row(s, columns, x + rows.first * row, x + rows.second * row, rows.share, y);
      }
    }
  }

 private:
  static void copy_row(const ResampleShape& s, const Neighbours* columns, const float* x,
                       float* y) {
    for (int64_t j = 0; j < s.w_out; ++j) {
      copy(y + j * s.y_pixel, x + columns[j].first * s.x_pixel, s.c);
    }
  }

  static void blend_row(const ResampleShape& s, const Neighbours* columns, const float* top,
                        const float* bottom, float share, float* y) {
    for (int64_t j = 0; j < s.w_out; ++j) {
      const Neighbours& column = columns[j];
      const int64_t left = column.first * s.x_pixel, right = column.second * s.x_pixel;
      const float top_left = (1 - share) * (1 - column.share),
                  top_right = (1 - share) * column.share;
      const float bottom_left = share * (1 - column.share), bottom_right = share * column.share;
      for (int64_t c = 0; c < s.c; c += N) {
        const int64_t lanes = min(N, s.c - c);
        const f32<N> upper = load_partial<N>(top + left + c, lanes) * top_left +
                             load_partial<N>(top + right + c, lanes) * top_right;
        const f32<N> lower = load_partial<N>(bottom + left + c, lanes) * bottom_left +
                             load_partial<N>(bottom + right + c, lanes) * bottom_right;
        store_partial<N>(y + j * s.y_pixel + c, upper + lower, lanes);
      }
    }
  }
};

}  // namespace
}  // namespace cnnext
