// SPDX-License-Identifier: BSD-3-Clause
// Padding, a row of the result a task. Memory is the limit.
#pragma once

#include "common/simd/simd.h"
#include "reorder/pad.h"

namespace cnnext {
namespace {

struct PadRows {
  static Plan plan(const PadShape& s, int) {
    Plan plan;
    plan.tasks[0] = s.n * s.h_out();
    return plan;
  }

  static void run(const PadShape& s, const Plan&, const PadOperands<float>& o, const Slice& slice) {
    for (int64_t task = slice.begin; task < slice.end; ++task) {
      const int64_t row = task % s.h_out() - s.top, image = task / s.h_out();
      float* const y = o.y + task * s.w_out() * s.y_pixel;
      if (row < 0 || row >= s.h_in) {
        clear(s, y, s.w_out());
        continue;
      }
      clear(s, y, s.left);
      copy_pixels(s, o.x + (image * s.h_in + row) * s.w_in * s.x_pixel, y + s.left * s.y_pixel);
      clear(s, y + (s.left + s.w_in) * s.y_pixel, s.right);
    }
  }

 private:
  static void clear(const PadShape& s, float* y, int64_t pixels) {
    if (s.y_pixel == s.c) return fill_zero(y, pixels * s.c);
    for (int64_t j = 0; j < pixels; ++j) fill_zero(y + j * s.y_pixel, s.c);
  }

  static void copy_pixels(const PadShape& s, const float* x, float* y) {
    if (s.x_pixel == s.c && s.y_pixel == s.c) return copy(y, x, s.w_in * s.c);
    for (int64_t j = 0; j < s.w_in; ++j) copy(y + j * s.y_pixel, x + j * s.x_pixel, s.c);
  }
};

}  // namespace
}  // namespace cnnext
