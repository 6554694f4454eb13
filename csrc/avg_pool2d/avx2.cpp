// SPDX-License-Identifier: BSD-3-Clause
// avg_pool2d for AVX2.
#include "avg_pool2d/avg_pool2d.h"
#include "pooling/average_backward.h"
#include "pooling/average_forward.h"

namespace cnnext {

#define CNNEXT_DEFINE(name, ...) \
  CNNEXT_DEFINE_KERNEL(AvgPool2dShape, AverageOperands<float>, name##_avx2, __VA_ARGS__)

CNNEXT_DEFINE(avg_pool2d_simd_f32, AverageForward<AvgPool2dShape, 8>)
CNNEXT_DEFINE(avg_pool2d_simd_bwd_input_f32, AverageBackwardInput<AvgPool2dShape, 8>)

}  // namespace cnnext
