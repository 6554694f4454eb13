// SPDX-License-Identifier: BSD-3-Clause
// adaptive_max_pool2d for AVX2.
#include "adaptive_max_pool2d/forward.h"

namespace cnnext {

#define CNNEXT_DEFINE(name, ...)                                                         \
  CNNEXT_DEFINE_KERNEL(AdaptivePoolShape, AdaptiveMaxPool2dOperands<float>, name##_avx2, \
                       __VA_ARGS__)

CNNEXT_DEFINE(adaptive_max_pool2d_simd_f32, AdaptiveMaxPool2dForward<8>)

}  // namespace cnnext
