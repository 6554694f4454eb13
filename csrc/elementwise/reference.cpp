// SPDX-License-Identifier: BSD-3-Clause
// The element-wise operators as their formulas say them: the oracle, and the float64 path.
#include <cmath>

#include "elementwise/operators.h"

namespace cnnext {
namespace {

template <class T>
struct Transcendental {
  static T sigmoid(double x) { return static_cast<T>(1 / (1 + std::exp(-x))); }
  static T tanh(double x) { return static_cast<T>(std::tanh(x)); }
};

template <class Op, Pass kPass, class T>
struct ElementwiseReference {
  using Shape = ElementwiseShape<Op>;

  static Plan plan(const Shape&, int) {
    Plan plan;
    plan.tasks[0] = 1;
    return plan;
  }

  static void run(const Shape& s, const Plan&, const ElementwiseOperands<T>& o, const Slice&) {
    for (int64_t i = 0; i < s.size; ++i) {
      const T second = kPass == Pass::forward ? 0 : o.second[i];
      o.result[i] = evaluate<Op, kPass>(o.first[i], second, s.parameters);
    }
  }
};

}  // namespace

#define CNNEXT_KERNELS "elementwise/kernels.inc"
#define CNNEXT_ISA reference
#include "common/kernel/define_kernels.inc"

}  // namespace cnnext
