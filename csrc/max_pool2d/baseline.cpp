// SPDX-License-Identifier: BSD-3-Clause
// max_pool2d for the ISA every build has (SSE on x86, NEON on Arm).
#include "max_pool2d/backward.h"
#include "max_pool2d/forward.h"

namespace cnnext {
namespace {
constexpr int kLanes = 4;
}  // namespace

#define CNNEXT_KERNELS "max_pool2d/kernels.inc"
#define CNNEXT_ISA baseline
#include "common/kernel/define_kernels.inc"

}  // namespace cnnext
