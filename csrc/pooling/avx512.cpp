// SPDX-License-Identifier: BSD-3-Clause
// Pools for AVX-512.
#include "pooling/kernels.h"

namespace cnnext {
namespace {
constexpr int kLanes = 16;
}  // namespace

#define CNNEXT_KERNELS "pooling/kernels.inc"
#define CNNEXT_ISA avx512
#include "common/kernel/define_kernels.inc"

}  // namespace cnnext
