// SPDX-License-Identifier: BSD-3-Clause
// linear for some rows of input (gemm/dot.h): the weight is read once, at memory speed.
#pragma once

#include "common/simd/finish.h"
#include "gemm/dot.h"
#include "linear/linear.h"

namespace cnnext {
namespace {

template <int N>
struct LinearDot {
  static constexpr int64_t kOutputsPerTask = 16;

  static Plan plan(const LinearShape& s, int) {
    Plan plan;
    plan.tasks[0] = ceil_div(s.n, kOutputsPerTask);
    return plan;
  }

  static void run(const LinearShape& s, const Plan&, const LinearOperands<float>& o,
                  const Slice& slice) {
    const DotOperands p{s.m, s.k,      o.first,      o.x_pixel(s), o.second,
                        s.k, o.result, o.y_pixel(s), false};
    const int64_t first = slice.begin * kOutputsPerTask;
    const int64_t last = min(s.n, slice.end * kOutputsPerTask);
    DotProducts<N>::run(p, first, last);
    const TileEpilogue e = epilogue_of_pixels(o.epilogue, s.n);
    finish_rows<N>(o.result + first, o.y_pixel(s), s.m, last - first, e.at(0, first));
  }
};

}  // namespace
}  // namespace cnnext
