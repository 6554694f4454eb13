// SPDX-License-Identifier: BSD-3-Clause
// Windows of slices: a task is what a window has of a channel; of the gradient, a slice of a
// channel. Memory is the limit.
#pragma once

#include "common/simd/simd.h"
#include "reorder/depth_windows.h"

namespace cnnext {
namespace {

struct DepthWindowsForward {
  static Plan plan(const DepthWindowsShape& s, int) {
    Plan plan;
    plan.tasks[0] = s.n * s.d_out() * s.c;
    return plan;
  }

  static void run(const DepthWindowsShape& s, const Plan&, const DepthWindowsOperands<float>& o,
                  const Slice& slice) {
    for (int64_t task = slice.begin; task < slice.end; ++task) {
      const int64_t c = task % s.c, i = task / s.c % s.d_out(), n = task / s.c / s.d_out();
      const float* const x = o.x + (n * s.c + c) * s.d_in * s.pixels;
      float* y = o.y + task * s.taps * s.pixels;
      for (int64_t t = 0; t < s.taps; ++t, y += s.pixels) {
        const int64_t d = i * s.stride - s.pad + t * s.dilation;
        if (d < 0 || d >= s.d_in) {
          fill_zero(y, s.pixels);
        } else {
          copy(y, x + d * s.pixels, s.pixels);
        }
      }
    }
  }
};

struct DepthWindowsBackwardInput {
  static Plan plan(const DepthWindowsShape& s, int) {
    Plan plan;
    plan.tasks[0] = s.n * s.c * s.d_in;
    return plan;
  }

  static void run(const DepthWindowsShape& s, const Plan&, const DepthWindowsOperands<float>& o,
                  const Slice& slice) {
    for (int64_t task = slice.begin; task < slice.end; ++task) {
      const int64_t d = task % s.d_in, c = task / s.d_in % s.c, n = task / s.d_in / s.c;
      float* const dx = o.y + task * s.pixels;
      bool is_first = true;
      for (int64_t t = 0; t < s.taps; ++t) {
        const int64_t begin = d + s.pad - t * s.dilation;
        if (begin < 0 || begin % s.stride != 0 || begin / s.stride >= s.d_out()) continue;
        const int64_t image = n * s.d_out() + begin / s.stride;
        const float* const dy = o.x + ((image * s.c + c) * s.taps + t) * s.pixels;
        if (is_first) {
          copy(dx, dy, s.pixels);
        } else {
          add(dx, dy, s.pixels);
        }
        is_first = false;
      }
      if (is_first) fill_zero(dx, s.pixels);
    }
  }

 private:
  static void add(float* __restrict sum, const float* __restrict term, int64_t count) {
    for (int64_t p = 0; p < count; ++p) sum[p] += term[p];
  }
};

}  // namespace
}  // namespace cnnext
