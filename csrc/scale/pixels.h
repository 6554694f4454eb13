// SPDX-License-Identifier: BSD-3-Clause
// Scaling, some pixels of an image a task. Memory is the limit.
#pragma once

#include "common/simd/finish.h"
#include "scale/scale.h"

namespace cnnext {
namespace {

template <int N>
struct ScalePixels {
  static constexpr int kPixels = 4;  // that share the loads of factors and bias

  static Plan plan(const ScaleShape& s, int) {
    Plan plan;
    plan.tasks[0] = s.n * ceil_div(s.pixels, block(s));
    return plan;
  }

  static void run(const ScaleShape& s, const Plan&, const ScaleOperands<float>& o,
                  const Slice& slice) {
    const int64_t blocks = ceil_div(s.pixels, block(s));
    const TileEpilogue epilogue = epilogue_of_pixels(o.epilogue, s.c);
    for (int64_t task = slice.begin; task < slice.end; ++task) {
      const int64_t image = task / blocks, first = task % blocks * block(s);
      const int64_t last = min(s.pixels, first + block(s));
      const float* const factor = o.factor + image * s.factor_image;
      for (int64_t i = first; i < last; i += kPixels) {
        const int64_t pixel = image * s.pixels + i, count = min(kPixels, last - i);
        scale_pixels(count, s, o.x + pixel * s.x_pixel, factor, epilogue.at(pixel, 0),
                     o.y + pixel * s.y_pixel);
      }
    }
  }

 private:
  static int64_t block(const ScaleShape& s) {
    constexpr int64_t kFloats = 8192;
    return round_up(ceil_div(kFloats, s.c), kPixels);
  }

  template <int Pixels = kPixels>
  static void scale_pixels(int64_t count, const ScaleShape& s, const float* x, const float* factor,
                           const TileEpilogue& epilogue, float* y) {
    if constexpr (Pixels > 1) {
      if (count < Pixels) return scale_pixels<Pixels - 1>(count, s, x, factor, epilogue, y);
    }
    for (int64_t c = 0; c < s.c; c += N) {
      const int64_t lanes = min(N, s.c - c);
      const f32<N> factors = load_partial<N>(factor + c, lanes);
      f32<N> scaled[Pixels][1];
      for (int i = 0; i < Pixels; ++i) {
        scaled[i][0] = load_partial<N>(x + i * s.x_pixel + c, lanes) * factors;
      }
      finish<N>(scaled, epilogue.at(0, c), lanes);
      for (int i = 0; i < Pixels; ++i) store_partial<N>(y + i * s.y_pixel + c, scaled[i][0], lanes);
    }
  }
};

}  // namespace
}  // namespace cnnext
