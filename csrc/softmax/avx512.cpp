// SPDX-License-Identifier: BSD-3-Clause
// Softmax for AVX-512.
#include "softmax/pixels.h"

namespace cnnext {
namespace {
constexpr int kLanes = 16;
}  // namespace

#define CNNEXT_KERNELS "softmax/kernels.inc"
#define CNNEXT_ISA avx512
#include "common/kernel/define_kernels.inc"

}  // namespace cnnext
