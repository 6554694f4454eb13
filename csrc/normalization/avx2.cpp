// SPDX-License-Identifier: BSD-3-Clause
// Normalisations for AVX2.
#include "normalization/pixels.h"
#include "normalization/planes.h"

namespace cnnext {
namespace {
constexpr int kLanes = 8;
}  // namespace

#define CNNEXT_KERNELS "normalization/kernels.inc"
#define CNNEXT_ISA avx2
#include "common/kernel/define_kernels.inc"

}  // namespace cnnext
