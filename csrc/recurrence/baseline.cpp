// SPDX-License-Identifier: BSD-3-Clause
// recurrence for any machine.
#include "recurrence/backward.h"
#include "recurrence/forward.h"

namespace cnnext {
namespace {
using Tile = WideTile<4>;
}

#define CNNEXT_KERNELS "recurrence/kernels.inc"
#define CNNEXT_ISA baseline
#include "common/kernel/define_kernels.inc"

}  // namespace cnnext
