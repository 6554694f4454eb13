// SPDX-License-Identifier: BSD-3-Clause
// Reordering a block of pixels of an image a task: channels side by side are copied, others pass
// through transposed vectors. Memory is the limit, so a block is what L1 holds of both orders.
#pragma once

#include "common/simd/simd.h"
#include "reorder/reorder.h"

namespace cnnext {
namespace {

template <int N>
struct ReorderBlocks {
  static Plan plan(const ReorderShape& s, int) {
    Plan plan;
    plan.tasks[0] = s.n * ceil_div(s.pixels, block(s));
    return plan;
  }

  static void run(const ReorderShape& s, const Plan&, const ReorderOperands<float>& o,
                  const Slice& slice) {
    const int64_t blocks = ceil_div(s.pixels, block(s));
    for (int64_t task = slice.begin; task < slice.end; ++task) {
      const int64_t image = task / blocks, first = task % blocks * block(s);
      const int64_t count = min(block(s), s.pixels - first), pixel = image * s.pixels + first;
      const int64_t plane = image * s.c * s.pixels + first;
      if (s.from == s.to) {
        copy_pixels(s, o.x + pixel * s.x_pixel, o.y + pixel * s.y_pixel, count);
      } else if (s.from == Layout::nchw) {
        transpose_block<N>(o.x + plane, s.pixels, o.y + pixel * s.y_pixel, s.y_pixel, s.c, count);
      } else {
        transpose_block<N>(o.x + pixel * s.x_pixel, s.x_pixel, o.y + plane, s.pixels, count, s.c);
      }
    }
  }

 private:
  static int64_t block(const ReorderShape& s) {
    constexpr int64_t kFloats = 4096;
    return round_up(ceil_div(kFloats, s.c), N);
  }

  static void copy_pixels(const ReorderShape& s, const float* x, float* y, int64_t count) {
    if (s.x_pixel == s.c && s.y_pixel == s.c) return copy(y, x, count * s.c);
    for (int64_t i = 0; i < count; ++i) copy(y + i * s.y_pixel, x + i * s.x_pixel, s.c);
  }
};

}  // namespace
}  // namespace cnnext
