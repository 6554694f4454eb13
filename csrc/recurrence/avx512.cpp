// SPDX-License-Identifier: BSD-3-Clause
// recurrence for AVX-512.
#include "recurrence/backward.h"
#include "recurrence/forward.h"

namespace cnnext {
namespace {
using Tile = WideTile<16>;
}

#define CNNEXT_KERNELS "recurrence/kernels.inc"
#define CNNEXT_ISA avx512
#include "common/kernel/define_kernels.inc"

}  // namespace cnnext
