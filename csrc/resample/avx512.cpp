// SPDX-License-Identifier: BSD-3-Clause
// Resampling for AVX-512.
#include "resample/rows.h"

namespace cnnext {
namespace {
constexpr int kLanes = 16;
}  // namespace

#define CNNEXT_KERNELS "resample/kernels.inc"
#define CNNEXT_ISA avx512
#include "common/kernel/define_kernels.inc"

}  // namespace cnnext
