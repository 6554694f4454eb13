// SPDX-License-Identifier: BSD-3-Clause
// avg_pool2d for AVX2.
#include "avg_pool2d/avg_pool2d.h"
#include "pooling/average_backward.h"
#include "pooling/average_forward.h"

namespace cnnext {
namespace {
constexpr int kLanes = 8;
}  // namespace

#define CNNEXT_KERNELS "avg_pool2d/kernels.inc"
#define CNNEXT_ISA avx2
#include "common/kernel/define_kernels.inc"

}  // namespace cnnext
