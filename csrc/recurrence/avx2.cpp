// SPDX-License-Identifier: BSD-3-Clause
// recurrence for AVX2.
#include "recurrence/backward.h"
#include "recurrence/forward.h"

namespace cnnext {
namespace {
using Tile = WideTile<8>;
}

#define CNNEXT_KERNELS "recurrence/kernels.inc"
#define CNNEXT_ISA avx2
#include "common/kernel/define_kernels.inc"

}  // namespace cnnext
