// SPDX-License-Identifier: BSD-3-Clause
// Softmax as its formula says it: the oracle.
#include <algorithm>
#include <cmath>

#include "softmax/softmax.h"

namespace cnnext {
namespace {

template <class T>
struct SoftmaxReference {
  static Plan plan(const SoftmaxShape&, int) {
    Plan plan;
    plan.tasks[0] = 1;
    return plan;
  }

  static void run(const SoftmaxShape& s, const Plan&, const SoftmaxOperands<T>& o, const Slice&) {
    for (int64_t p = 0; p < s.pixels; ++p) {
      const T* const x = o.x + p * s.x_pixel;
      T* const y = o.y + p * s.y_pixel;
      const double largest = *std::max_element(x, x + s.c);
      double sum = 0;
      for (int64_t c = 0; c < s.c; ++c) sum += std::exp(x[c] - largest);
      for (int64_t c = 0; c < s.c; ++c) {
        const double centred = x[c] - largest;
        y[c] = static_cast<T>(s.log ? centred - std::log(sum) : std::exp(centred) / sum);
      }
    }
  }
};

}  // namespace

#define CNNEXT_KERNELS "softmax/kernels.inc"
#define CNNEXT_ISA reference
#include "common/kernel/define_kernels.inc"

}  // namespace cnnext
