// SPDX-License-Identifier: BSD-3-Clause
// The epilogue for the ISA every build has (SSE on x86, NEON on Arm).
#include "epilogue/in_memory.h"
#include "epilogue/tile.h"

namespace cnnext {
namespace {
constexpr int kLanes = 4;
}  // namespace

CNNEXT_DEFINE_FINISH_IN_MEMORY

#define CNNEXT_KERNELS "epilogue/kernels.inc"
#define CNNEXT_ISA baseline
#include "common/kernel/define_kernels.inc"

}  // namespace cnnext
