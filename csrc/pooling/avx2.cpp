// SPDX-License-Identifier: BSD-3-Clause
// Pools for AVX2.
#include "pooling/kernels.h"

namespace cnnext {
namespace {
constexpr int kLanes = 8;
}  // namespace

#define CNNEXT_KERNELS "pooling/kernels.inc"
#define CNNEXT_ISA avx2
#include "common/kernel/define_kernels.inc"

}  // namespace cnnext
