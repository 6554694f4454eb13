// SPDX-License-Identifier: BSD-3-Clause
// adaptive_avg_pool2d as its contract says it: the oracle, and the float64 path.
#include "adaptive_avg_pool2d/adaptive_avg_pool2d.h"
#include "pooling/average_reference.h"

namespace cnnext {

#define CNNEXT_KERNELS "adaptive_avg_pool2d/kernels.inc"
#define CNNEXT_ISA reference
#include "common/kernel/define_kernels.inc"

}  // namespace cnnext
