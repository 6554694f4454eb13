// SPDX-License-Identifier: BSD-3-Clause
// Element-wise operators for AVX-512.
#include "elementwise/dropout_blocks.h"
#include "elementwise/simd.h"

namespace cnnext {
namespace {
constexpr int kLanes = 16;
}  // namespace

#define CNNEXT_KERNELS "elementwise/kernels.inc"
#define CNNEXT_ISA avx512
#include "common/kernel/define_kernels.inc"

}  // namespace cnnext
