// SPDX-License-Identifier: BSD-3-Clause
// Softmax for AVX2.
#include "softmax/pixels.h"

namespace cnnext {
namespace {
constexpr int kLanes = 8;
}  // namespace

#define CNNEXT_KERNELS "softmax/kernels.inc"
#define CNNEXT_ISA avx2
#include "common/kernel/define_kernels.inc"

}  // namespace cnnext
