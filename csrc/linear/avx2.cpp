// SPDX-License-Identifier: BSD-3-Clause
// linear for AVX2 and FMA.
#include "linear/dot.h"
#include "linear/gemm.h"
#include "linear/transposed.h"

namespace cnnext {
namespace {
constexpr int kLanes = 8;
using Tile = WideTile<kLanes>;
}  // namespace

#define CNNEXT_KERNELS "linear/kernels.inc"
#define CNNEXT_ISA avx2
#include "common/kernel/define_kernels.inc"

}  // namespace cnnext
