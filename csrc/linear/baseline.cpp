// SPDX-License-Identifier: BSD-3-Clause
// linear for the ISA every build has (SSE on x86, NEON on Arm).
#include "linear/dot.h"
#include "linear/gemm.h"
#include "linear/transposed.h"

namespace cnnext {
namespace {
constexpr int kLanes = 4;
using Tile = WideTile<kLanes>;
}  // namespace

#define CNNEXT_KERNELS "linear/kernels.inc"
#define CNNEXT_ISA baseline
#include "common/kernel/define_kernels.inc"

}  // namespace cnnext
