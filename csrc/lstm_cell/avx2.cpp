// SPDX-License-Identifier: BSD-3-Clause
// lstm_cell for AVX2 and FMA.
#include "lstm_cell/gates.h"

namespace cnnext {
namespace {
using Tile = WideTile<8>;
}

#define CNNEXT_DEFINE(name, ...) \
  CNNEXT_DEFINE_KERNEL(LSTMCellShape, LSTMCellOperands<float>, name##_avx2, __VA_ARGS__)

CNNEXT_DEFINE(lstm_cell_gemm_f32, LSTMCellForward<Tile::kLanes, BlockedGates<Tile>>)
CNNEXT_DEFINE(lstm_cell_dot_f32, LSTMCellForward<Tile::kLanes, DotGates<Tile::kLanes>>)
CNNEXT_DEFINE(lstm_cell_simd_bwd_f32, LSTMCellBackward<Tile::kLanes>)

}  // namespace cnnext
