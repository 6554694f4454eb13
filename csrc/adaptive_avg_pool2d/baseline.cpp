// SPDX-License-Identifier: BSD-3-Clause
// adaptive_avg_pool2d for the ISA every build has (SSE on x86, NEON on Arm).
#include "adaptive_avg_pool2d/adaptive_avg_pool2d.h"
#include "pooling/average_backward.h"
#include "pooling/average_forward.h"

namespace cnnext {

#define CNNEXT_DEFINE(name, ...) \
  CNNEXT_DEFINE_KERNEL(AdaptivePoolShape, AverageOperands<float>, name##_baseline, __VA_ARGS__)

CNNEXT_DEFINE(adaptive_avg_pool2d_simd_f32, AverageForward<AdaptivePoolShape, 4>)
CNNEXT_DEFINE(adaptive_avg_pool2d_simd_bwd_input_f32, AverageBackwardInput<AdaptivePoolShape, 4>)

}  // namespace cnnext
