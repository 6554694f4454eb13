// SPDX-License-Identifier: BSD-3-Clause
// Softmax, some pixels a task. The channels of a pixel are copied to whole vectors, filled up with
// -inf, whose exponential is zero.
#pragma once

#include "common/simd/math.h"
#include "softmax/softmax.h"

namespace cnnext {
namespace {

template <int N>
struct SoftmaxPixels {
  static Plan plan(const SoftmaxShape& s, int) {
    Plan plan;
    plan.tasks[0] = ceil_div(s.pixels, block(s));
    plan.chunk_bytes = round_up(s.c, N) * static_cast<int64_t>(sizeof(float));
    return plan;
  }

  static void run(const SoftmaxShape& s, const Plan&, const SoftmaxOperands<float>& o,
                  const Slice& slice) {
    float* const padded = reinterpret_cast<float*>(slice.chunk);
    const int64_t last = min(s.pixels, slice.end * block(s));
    for (int64_t pixel = slice.begin * block(s); pixel < last; ++pixel) {
      store<N>(padded + round_up(s.c, N) - N, broadcast<N>(-__builtin_inff()));
      copy(padded, o.x + pixel * s.x_pixel, s.c);
      softmax(s, padded, o.y + pixel * s.y_pixel);
    }
  }

 private:
  static int64_t block(const SoftmaxShape& s) {
    constexpr int64_t kFloats = 1024;
    return ceil_div(kFloats, s.c);
  }

  static void softmax(const SoftmaxShape& s, float* x, float* y) {
    const f32<N> largest = broadcast<N>(largest_of(x, s.c));
    f32<N> sums{};
    for (int64_t c = 0; c < s.c; c += N) {
      const f32<N> e = exponential<N>(load<N>(x + c) - largest).value();
      sums += e;
      if (!s.log) store<N>(x + c, e);
    }
    const float sum = sum_of_lanes<N>(sums);
    const float log_sum = s.log ? __builtin_logf(sum) : 0;
    for (int64_t c = 0; c < s.c; c += N) {
      const f32<N> v = load<N>(x + c);
      const f32<N> result = s.log ? v - largest - log_sum : v / sum;
      store_partial<N>(y + c, result, min(N, s.c - c));
    }
  }

  // NaN may be lost here: its exponential is not.
  static float largest_of(const float* x, int64_t count) {
    f32<N> largest = load<N>(x);
    for (int64_t c = N; c < count; c += N) largest = at_least<N>(load<N>(x + c), largest);
    float result = largest[0];
    for (int lane = 1; lane < N; ++lane) result = largest[lane] > result ? largest[lane] : result;
    return result;
  }
};

}  // namespace
}  // namespace cnnext
