// SPDX-License-Identifier: BSD-3-Clause
// adaptive_max_pool2d for the ISA every build has (SSE on x86, NEON on Arm).
#include "adaptive_max_pool2d/backward.h"
#include "adaptive_max_pool2d/forward.h"

namespace cnnext {

#define CNNEXT_DEFINE(name, ...)                                                             \
  CNNEXT_DEFINE_KERNEL(AdaptivePoolShape, AdaptiveMaxPool2dOperands<float>, name##_baseline, \
                       __VA_ARGS__)

CNNEXT_DEFINE(adaptive_max_pool2d_simd_f32, AdaptiveMaxPool2dForward<4>)
CNNEXT_DEFINE(adaptive_max_pool2d_scatter_bwd_input_f32, AdaptiveMaxPool2dScatter)

}  // namespace cnnext
