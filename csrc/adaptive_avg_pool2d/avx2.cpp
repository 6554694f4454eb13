// SPDX-License-Identifier: BSD-3-Clause
// adaptive_avg_pool2d for AVX2.
#include "adaptive_avg_pool2d/adaptive_avg_pool2d.h"
#include "pooling/average_backward.h"
#include "pooling/average_forward.h"

namespace cnnext {

#define CNNEXT_DEFINE(name, ...) \
  CNNEXT_DEFINE_KERNEL(AdaptivePoolShape, AverageOperands<float>, name##_avx2, __VA_ARGS__)

CNNEXT_DEFINE(adaptive_avg_pool2d_simd_f32, AverageForward<AdaptivePoolShape, 8>)
CNNEXT_DEFINE(adaptive_avg_pool2d_simd_bwd_input_f32, AverageBackwardInput<AdaptivePoolShape, 8>)

}  // namespace cnnext
