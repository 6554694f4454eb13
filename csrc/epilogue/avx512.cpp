// SPDX-License-Identifier: BSD-3-Clause
// The epilogue for AVX-512.
#include "epilogue/in_memory.h"
#include "epilogue/tile.h"

namespace cnnext {
namespace {
constexpr int kLanes = 16;
}  // namespace

CNNEXT_DEFINE_FINISH_IN_MEMORY

#define CNNEXT_KERNELS "epilogue/kernels.inc"
#define CNNEXT_ISA avx512
#include "common/kernel/define_kernels.inc"

}  // namespace cnnext
