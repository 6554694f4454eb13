// SPDX-License-Identifier: BSD-3-Clause
// adaptive_avg_pool2d for AVX-512.
#include "adaptive_avg_pool2d/adaptive_avg_pool2d.h"
#include "pooling/average_backward.h"
#include "pooling/average_forward.h"

namespace cnnext {
namespace {
constexpr int kLanes = 16;
}  // namespace

#define CNNEXT_KERNELS "adaptive_avg_pool2d/kernels.inc"
#define CNNEXT_ISA avx512
#include "common/kernel/define_kernels.inc"

}  // namespace cnnext
