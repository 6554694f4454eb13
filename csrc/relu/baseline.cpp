// SPDX-License-Identifier: BSD-3-Clause
// relu for the ISA every build has (SSE on x86, NEON on Arm).
#include "relu/simd.h"

namespace cnnext {

#define CNNEXT_DEFINE(name, ...) \
  CNNEXT_DEFINE_KERNEL(ReluShape, ReluOperands<float>, name##_baseline, __VA_ARGS__)

CNNEXT_DEFINE(relu_simd_f32, ReluSimd<4, Pass::forward>)
CNNEXT_DEFINE(relu_simd_bwd_input_f32, ReluSimd<4, Pass::bwd_input>)

}  // namespace cnnext
