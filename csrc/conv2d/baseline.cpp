// SPDX-License-Identifier: BSD-3-Clause
// conv2d for the ISA every build has: 16 registers of 4 lanes (SSE on x86, NEON on Arm).
#include "conv2d/kernels.h"

namespace cnnext {
namespace {
constexpr int kLanes = 4;
using Tile = TallTile<kLanes>;
using Wide = WideTile<kLanes>;
}  // namespace

#define CNNEXT_KERNELS "conv2d/kernels.inc"
#define CNNEXT_ISA baseline
#include "common/kernel/define_kernels.inc"

CNNEXT_DEFINE_VALUE_LOOKS(baseline, kLanes)

}  // namespace cnnext
