// SPDX-License-Identifier: BSD-3-Clause
// relu on vectors. Nothing to compute, everything to move: memory bandwidth is the limit, and a
// task is a block large enough (128 KB) that handing it to another core costs nothing beside it.
#pragma once

#include "common/simd/simd.h"
#include "relu/relu.h"

namespace cnnext {
namespace {

template <int N, Pass kPass>
struct ReluSimd {
  static constexpr int64_t kTaskSize = 32 * 1024;

  static Plan plan(const ReluShape& s, int) {
    Plan plan;
    plan.tasks[0] = ceil_div(s.size, kTaskSize);
    return plan;
  }

  static void run(const ReluShape& s, const Plan&, const ReluOperands<float>& o,
                  const Slice& slice) {
    const int64_t end = min(s.size, slice.end * kTaskSize);
    int64_t i = slice.begin * kTaskSize;
    for (; i + N <= end; i += N) store<N>(o.result + i, value(o, i));
    for (; i < end; ++i) {
      if constexpr (kPass == Pass::forward) {
        o.result[i] = o.first[i] < 0 ? 0 : o.first[i];
      } else {
        o.result[i] = o.second[i] <= 0 ? 0 : o.first[i];
      }
    }
  }

 private:
  CNNEXT_INLINE static f32<N> value(const ReluOperands<float>& o, int64_t i) {
    const f32<N> zero{};
    const f32<N> first = load<N>(o.first + i);
    if constexpr (kPass == Pass::forward) {
      return first < zero ? zero : first;
    } else {
      return load<N>(o.second + i) <= zero ? zero : first;
    }
  }
};

}  // namespace
}  // namespace cnnext
