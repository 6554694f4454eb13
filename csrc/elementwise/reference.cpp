// SPDX-License-Identifier: BSD-3-Clause
// The element-wise operators as their formulas say them: the oracle, and the float64 path.
#include <cmath>

#include "elementwise/dropout.h"
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

template <Pass kPass, class T>
struct DropoutReference {
  static Plan plan(const DropoutShape&, int) {
    Plan plan;
    plan.tasks[0] = 1;
    return plan;
  }

  static void run(const DropoutShape& s, const Plan&, const DropoutOperands<T>& o, const Slice&) {
    for (int64_t i = 0; i < s.size; ++i) {
      uint8_t kept;
      if constexpr (kPass == Pass::forward) {
        const double u = static_cast<double>(o.numbers[i] & ((int64_t{1} << 53) - 1)) / kDrawn;
        o.new_mask[i] = kept = u < s.keep;
      } else {
        kept = o.mask[i];
      }
      o.to[i] = o.from[i] * (static_cast<T>(kept) / static_cast<T>(s.keep));
    }
  }
};

}  // namespace

#define CNNEXT_KERNELS "elementwise/kernels.inc"
#define CNNEXT_ISA reference
#include "common/kernel/define_kernels.inc"

}  // namespace cnnext
