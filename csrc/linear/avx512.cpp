// SPDX-License-Identifier: BSD-3-Clause
// linear for AVX-512.
#include "linear/dot.h"
#include "linear/gemm.h"
#include "linear/transposed.h"

namespace cnnext {
namespace {
using Tile = WideTile<16>;
}

#define CNNEXT_DEFINE(name, ...) \
  CNNEXT_DEFINE_KERNEL(LinearShape, LinearOperands<float>, name##_avx512, __VA_ARGS__)

CNNEXT_DEFINE(linear_gemm_f32, LinearGemm<Tile, Pass::forward>)
CNNEXT_DEFINE(linear_gemm_bwd_input_f32, LinearGemm<Tile, Pass::bwd_input>)
CNNEXT_DEFINE(linear_gemm_bwd_weight_f32, LinearGemm<Tile, Pass::bwd_weight>)
CNNEXT_DEFINE(linear_transposed_f32, LinearTransposed<Tile>)
CNNEXT_DEFINE(linear_dot_f32, LinearDot<Tile::kLanes>)

}  // namespace cnnext
