// SPDX-License-Identifier: BSD-3-Clause
// relu for AVX2.
#include "relu/simd.h"

namespace cnnext {
namespace {
constexpr int kLanes = 8;
}  // namespace

#define CNNEXT_KERNELS "relu/kernels.inc"
#define CNNEXT_ISA avx2
#include "common/kernel/define_kernels.inc"

}  // namespace cnnext
