// SPDX-License-Identifier: BSD-3-Clause
// Scaling for AVX2.
#include "scale/pixels.h"

namespace cnnext {
namespace {
constexpr int kLanes = 8;
}  // namespace

#define CNNEXT_KERNELS "scale/kernels.inc"
#define CNNEXT_ISA avx2
#include "common/kernel/define_kernels.inc"

}  // namespace cnnext
