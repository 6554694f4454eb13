// SPDX-License-Identifier: BSD-3-Clause
// relu for AVX-512.
#include "relu/simd.h"

namespace cnnext {

#define CNNEXT_DEFINE(name, ...) \
  CNNEXT_DEFINE_KERNEL(ReluShape, ReluOperands<float>, name##_avx512, __VA_ARGS__)

CNNEXT_DEFINE(relu_simd_f32, ReluSimd<16, Pass::forward>)
CNNEXT_DEFINE(relu_simd_bwd_input_f32, ReluSimd<16, Pass::bwd_input>)

}  // namespace cnnext
