// SPDX-License-Identifier: BSD-3-Clause
// relu for AVX-512.
#include "relu/simd.h"

namespace cnnext {
namespace {
constexpr int kLanes = 16;
}  // namespace

#define CNNEXT_KERNELS "relu/kernels.inc"
#define CNNEXT_ISA avx512
#include "common/kernel/define_kernels.inc"

}  // namespace cnnext
