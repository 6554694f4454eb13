// SPDX-License-Identifier: BSD-3-Clause
// linear for some rows of input (gemm/dot.h): the weight is read once, at memory speed.
#pragma once

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
    const DotOperands p{s.m, s.k, o.first, s.k, o.second, s.k, o.bias, o.result, s.n, false};
    DotProducts<N>::run(p, slice.begin * kOutputsPerTask, min(s.n, slice.end * kOutputsPerTask));
  }
};

}  // namespace
}  // namespace cnnext
