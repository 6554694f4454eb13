// SPDX-License-Identifier: BSD-3-Clause
// lstm_cell for the ISA every build has (SSE on x86, NEON on Arm).
#include "lstm_cell/gates.h"

namespace cnnext {
namespace {
using Tile = WideTile<4>;
}

#define CNNEXT_DEFINE(name, ...) \
  CNNEXT_DEFINE_KERNEL(LSTMCellShape, LSTMCellOperands<float>, name##_baseline, __VA_ARGS__)

CNNEXT_DEFINE(lstm_cell_gemm_f32, LSTMCellForward<Tile::kLanes, BlockedGates<Tile>>)
CNNEXT_DEFINE(lstm_cell_dot_f32, LSTMCellForward<Tile::kLanes, DotGates<Tile::kLanes>>)
CNNEXT_DEFINE(lstm_cell_simd_bwd_f32, LSTMCellBackward<Tile::kLanes>)

}  // namespace cnnext
