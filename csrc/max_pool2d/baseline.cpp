// SPDX-License-Identifier: BSD-3-Clause
// max_pool2d for the ISA every build has (SSE on x86, NEON on Arm).
#include "max_pool2d/backward.h"
#include "max_pool2d/forward.h"

namespace cnnext {

#define CNNEXT_DEFINE(name, ...) \
  CNNEXT_DEFINE_KERNEL(MaxPool2dShape, MaxPool2dOperands<float>, name##_baseline, __VA_ARGS__)

CNNEXT_DEFINE(max_pool2d_simd_f32, MaxPool2dForward<4>)
CNNEXT_DEFINE(max_pool2d_simd_bwd_input_f32, MaxPool2dBackwardInput<4>)

}  // namespace cnnext
