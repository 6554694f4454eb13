// SPDX-License-Identifier: BSD-3-Clause
// conv2d for the ISA every build has: 16 registers of 4 lanes (SSE on x86, NEON on Arm).
#include "conv2d/depthwise.h"
#include "conv2d/direct.h"
#include "conv2d/direct_weight.h"
#include "conv2d/implicit_gemm.h"
#include "conv2d/pointwise.h"
#include "conv2d/value_looks.h"
#include "conv2d/winograd.h"

namespace cnnext {
namespace {
using Tile = TallTile<4>;
using Wide = WideTile<4>;
}  // namespace

#define CNNEXT_DEFINE(name, ...) \
  CNNEXT_DEFINE_KERNEL(Conv2dShape, Conv2dOperands<float>, name##_baseline, __VA_ARGS__)

CNNEXT_DEFINE(conv2d_direct_f32, DirectConv<Tile, Pass::forward>)
CNNEXT_DEFINE(conv2d_direct_bwd_input_f32, DirectConv<Tile, Pass::bwd_input>)
CNNEXT_DEFINE(conv2d_direct_bwd_weight_f32, DirectBackwardWeight<Tile>)
CNNEXT_DEFINE(conv2d_pointwise_f32, Pointwise<Wide, Pass::forward>)
CNNEXT_DEFINE(conv2d_pointwise_bwd_input_f32, Pointwise<Wide, Pass::bwd_input>)
CNNEXT_DEFINE(conv2d_pointwise_bwd_weight_f32, PointwiseBackwardWeight<Wide>)
CNNEXT_DEFINE(conv2d_implicit_gemm_f32, ImplicitGemm<Wide>)
CNNEXT_DEFINE(conv2d_depthwise_f32, DepthwiseConv<Tile::kLanes, Pass::forward>)
CNNEXT_DEFINE(conv2d_depthwise_bwd_input_f32, DepthwiseConv<Tile::kLanes, Pass::bwd_input>)
CNNEXT_DEFINE(conv2d_depthwise_bwd_weight_f32, DepthwiseBackwardWeight<Tile::kLanes>)
CNNEXT_DEFINE(conv2d_winograd4_fused_f32, WinogradFused<Tile, Pass::forward, 4, 3>)
CNNEXT_DEFINE(conv2d_winograd4_fused_bwd_input_f32, WinogradFused<Tile, Pass::bwd_input, 4, 3>)
CNNEXT_DEFINE(conv2d_winograd4_shared_f32, WinogradShared<Tile, Pass::forward, 4, 3>)
CNNEXT_DEFINE(conv2d_winograd4_shared_bwd_input_f32, WinogradShared<Tile, Pass::bwd_input, 4, 3>)
CNNEXT_DEFINE(conv2d_winograd2_fused_f32, WinogradTwo<WinogradFused, Tile, Pass::forward>)
CNNEXT_DEFINE(conv2d_winograd2_fused_bwd_input_f32,
              WinogradTwo<WinogradFused, Tile, Pass::bwd_input>)
CNNEXT_DEFINE(conv2d_winograd2_shared_f32, WinogradTwo<WinogradShared, Tile, Pass::forward>)
CNNEXT_DEFINE(conv2d_winograd2_shared_bwd_input_f32,
              WinogradTwo<WinogradShared, Tile, Pass::bwd_input>)

CNNEXT_DEFINE_VALUE_LOOKS(baseline, Tile::kLanes)

}  // namespace cnnext
