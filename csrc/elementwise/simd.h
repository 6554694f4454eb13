// SPDX-License-Identifier: BSD-3-Clause
// Element-wise operators on vectors. Little to compute, everything to move: memory bandwidth is the
// limit (sigmoid and tanh, with an exponential each, come near it), and a task is a block large
// enough (128 KB) that handing it to another core costs nothing beside it. What is left of a block
// is a part of a vector, so that the bits of a result do not depend on its place.
#pragma once

#include "common/simd/math.h"
#include "elementwise/operators.h"

namespace cnnext {
namespace {

template <class V>
struct Transcendental {
  static constexpr int kLanes = sizeof(V) / sizeof(float);
  CNNEXT_INLINE static V sigmoid(V x) { return cnnext::sigmoid<kLanes>(x); }
  CNNEXT_INLINE static V tanh(V x) { return cnnext::tanh<kLanes>(x); }
};

template <class Op, Pass kPass, int N>
struct ElementwiseSimd {
  using Shape = ElementwiseShape<Op>;
  using Operands = ElementwiseOperands<float>;
  static constexpr int64_t kTaskSize = 32 * 1024;

  static Plan plan(const Shape& s, int) {
    Plan plan;
    plan.tasks[0] = ceil_div(s.size, kTaskSize);
    return plan;
  }

  static void run(const Shape& s, const Plan&, const Operands& o, const Slice& slice) {
    const int64_t end = min(s.size, slice.end * kTaskSize);
    int64_t i = slice.begin * kTaskSize;
    for (; i + N <= end; i += N) {
      const f32<N> first = load<N>(o.first + i);
      const f32<N> second = kPass == Pass::forward ? first : load<N>(o.second + i);
      store<N>(o.result + i, evaluate<Op, kPass>(first, second, s.parameters));
    }
    if (i == end) return;
    const f32<N> first = load_partial<N>(o.first + i, end - i);
    const f32<N> second = kPass == Pass::forward ? first : load_partial<N>(o.second + i, end - i);
    store_partial<N>(o.result + i, evaluate<Op, kPass>(first, second, s.parameters), end - i);
  }
};

}  // namespace
}  // namespace cnnext
