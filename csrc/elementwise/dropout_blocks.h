// SPDX-License-Identifier: BSD-3-Clause
// dropout in plain loops, of which compilers make vectors, as whether an element is kept is a
// comparison of integers. It is no branch, which nothing could predict. Drawing the numbers takes
// most of the time; a task is a block as large as that of the other element-wise operators.
#pragma once

#include "elementwise/dropout.h"

namespace cnnext {
namespace {

template <Pass kPass>
struct DropoutBlocks {
  static constexpr int64_t kTaskSize = 32 * 1024;

  static Plan plan(const DropoutShape& s, int) {
    Plan plan;
    plan.tasks[0] = ceil_div(s.size, kTaskSize);
    return plan;
  }

  static void run(const DropoutShape& s, const Plan&, const DropoutOperands<float>& o,
                  const Slice& slice) {
    constexpr int64_t kBits = (int64_t{1} << 53) - 1;
    const int64_t begin = slice.begin * kTaskSize, end = min(s.size, slice.end * kTaskSize);
    const int64_t limit = s.limit();
    const float scale = 1.0f / static_cast<float>(s.keep);
    const float* const from = o.from;
    float* __restrict const to = o.to;
    const int64_t* const numbers = o.numbers;
    uint8_t* __restrict const new_mask = o.new_mask;
    const uint8_t* const mask = o.mask;
    for (int64_t i = begin; i < end; ++i) {
      bool kept;
      if constexpr (kPass == Pass::forward) {
        kept = (numbers[i] & kBits) < limit;
        new_mask[i] = kept;
      } else {
        kept = mask[i] != 0;
      }
      to[i] = from[i] * (kept ? scale : 0.0f);
    }
  }
};

}  // namespace
}  // namespace cnnext
