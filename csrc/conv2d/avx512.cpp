// SPDX-License-Identifier: BSD-3-Clause
// conv2d for AVX-512: 32 registers of 16 lanes; 28 accumulators, 2 of the filter, 1 broadcast, or
// 24, 4 and 1.
#include "conv2d/kernels.h"

namespace cnnext {
namespace {
constexpr int kLanes = 16;
using Tile = TallTile<kLanes>;
using Wide = WideTile<kLanes>;
}  // namespace

#define CNNEXT_KERNELS "conv2d/kernels.inc"
#define CNNEXT_ISA avx512
#include "common/kernel/define_kernels.inc"

CNNEXT_DEFINE_VALUE_LOOKS(avx512, kLanes)

}  // namespace cnnext
