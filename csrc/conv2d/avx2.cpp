// SPDX-License-Identifier: BSD-3-Clause
// conv2d for AVX2 and FMA: 16 registers of 8 lanes; 12 accumulators, 2 of the filter, 1 broadcast.
#include "conv2d/kernels.h"

namespace cnnext {
namespace {
constexpr int kLanes = 8;
using Tile = TallTile<kLanes>;
using Wide = WideTile<kLanes>;
}  // namespace

#define CNNEXT_KERNELS "conv2d/kernels.inc"
#define CNNEXT_ISA avx2
#include "common/kernel/define_kernels.inc"

CNNEXT_DEFINE_VALUE_LOOKS(avx2, kLanes)

}  // namespace cnnext
