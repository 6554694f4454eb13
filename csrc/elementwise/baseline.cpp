// SPDX-License-Identifier: BSD-3-Clause
// Element-wise operators for the ISA every build has (SSE on x86, NEON on Arm).
#include "elementwise/dropout_blocks.h"
#include "elementwise/simd.h"

namespace cnnext {
namespace {
constexpr int kLanes = 4;
}  // namespace

#define CNNEXT_KERNELS "elementwise/kernels.inc"
#define CNNEXT_ISA baseline
#include "common/kernel/define_kernels.inc"

}  // namespace cnnext
