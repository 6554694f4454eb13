// SPDX-License-Identifier: BSD-3-Clause
// max_pool2d for AVX2.
#include "max_pool2d/backward.h"
#include "max_pool2d/forward.h"

namespace cnnext {
namespace {
constexpr int kLanes = 8;
}  // namespace

#define CNNEXT_KERNELS "max_pool2d/kernels.inc"
#define CNNEXT_ISA avx2
#include "common/kernel/define_kernels.inc"

}  // namespace cnnext
