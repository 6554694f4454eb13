// SPDX-License-Identifier: BSD-3-Clause
// Scaling as its formula says it: the oracle.
#include "common/kernel/reference_epilogue.h"
#include "scale/scale.h"

namespace cnnext {
namespace {

template <class T>
struct ScaleReference {
  static Plan plan(const ScaleShape&, int) {
    Plan plan;
    plan.tasks[0] = 1;
    return plan;
  }

  static void run(const ScaleShape& s, const Plan&, const ScaleOperands<T>& o, const Slice&) {
    const Epilogue<T>& e = o.epilogue;
    const int64_t residual_pixel = pixel_distance(e.residual_pixel, s.c);
    const auto at = [](const T* p, int64_t offset) { return p == nullptr ? p : p + offset; };
    for (int64_t p = 0; p < s.n * s.pixels; ++p) {
      for (int64_t c = 0; c < s.c; ++c) {
        const T scaled = o.x[p * s.x_pixel + c] * o.factor[p / s.pixels * s.factor_image + c];
        o.y[p * s.y_pixel + c] =
            finish_exactly(scaled, at(e.bias, c), at(e.residual, p * residual_pixel + c), e);
      }
    }
  }
};

}  // namespace

#define CNNEXT_KERNELS "scale/kernels.inc"
#define CNNEXT_ISA reference
#include "common/kernel/define_kernels.inc"

}  // namespace cnnext
