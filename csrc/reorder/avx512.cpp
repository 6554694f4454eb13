// SPDX-License-Identifier: BSD-3-Clause
// Reordering for AVX-512.
#include "reorder/blocks.h"
#include "reorder/depth_windows_slices.h"
#include "reorder/pad_rows.h"
#include "reorder/shuffle_pixels.h"

namespace cnnext {
namespace {
constexpr int kLanes = 16;
}  // namespace

#define CNNEXT_KERNELS "reorder/kernels.inc"
#define CNNEXT_ISA avx512
#include "common/kernel/define_kernels.inc"

}  // namespace cnnext
