// SPDX-License-Identifier: BSD-3-Clause
// Resampling for AVX2.
#include "resample/rows.h"

namespace cnnext {
namespace {
constexpr int kLanes = 8;
}  // namespace

#define CNNEXT_KERNELS "resample/kernels.inc"
#define CNNEXT_ISA avx2
#include "common/kernel/define_kernels.inc"

}  // namespace cnnext
