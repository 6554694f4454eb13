// SPDX-License-Identifier: BSD-3-Clause
// Softmax for the ISA every build has (SSE on x86, NEON on Arm).
#include "softmax/pixels.h"

namespace cnnext {
namespace {
constexpr int kLanes = 4;
}  // namespace

#define CNNEXT_KERNELS "softmax/kernels.inc"
#define CNNEXT_ISA baseline
#include "common/kernel/define_kernels.inc"

}  // namespace cnnext
