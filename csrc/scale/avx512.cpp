// SPDX-License-Identifier: BSD-3-Clause
// Scaling for AVX-512.
#include "scale/pixels.h"

namespace cnnext {
namespace {
constexpr int kLanes = 16;
}  // namespace

#define CNNEXT_KERNELS "scale/kernels.inc"
#define CNNEXT_ISA avx512
#include "common/kernel/define_kernels.inc"

}  // namespace cnnext
