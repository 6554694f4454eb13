// SPDX-License-Identifier: BSD-3-Clause
// Element-wise operators for AVX2.
#include "elementwise/dropout_blocks.h"
#include "elementwise/simd.h"

namespace cnnext {
namespace {
constexpr int kLanes = 8;
}  // namespace

#define CNNEXT_KERNELS "elementwise/kernels.inc"
#define CNNEXT_ISA avx2
#include "common/kernel/define_kernels.inc"

}  // namespace cnnext
