// SPDX-License-Identifier: BSD-3-Clause
// Resampling for the ISA every build has (SSE on x86, NEON on Arm).
#include "resample/rows.h"

namespace cnnext {
namespace {
constexpr int kLanes = 4;
}  // namespace

#define CNNEXT_KERNELS "resample/kernels.inc"
#define CNNEXT_ISA baseline
#include "common/kernel/define_kernels.inc"

}  // namespace cnnext
