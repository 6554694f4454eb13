// SPDX-License-Identifier: BSD-3-Clause
// What a core does at best, as loops: multiply-adds in registers alone, and reads and copies of
// memory by vectors alone. Kernels are judged by these, and no kernel contains one.
#pragma once

#include <cstdint>

#include "common/kernel/kernel.h"

namespace cnnext {

// Memory is walked in blocks of so many floats: `count` is a multiple of it, and the addresses are
// aligned to kLoopAlignment, so that no vector of any ISA crosses a cache line.
constexpr int64_t kLoopBlock = 128;
constexpr int64_t kLoopAlignment = 64;

// The loops of one ISA. Results mean nothing, but keep the compiler from dropping the work.
struct Loops {
  int64_t flops_per_step;
  float (*multiply_add)(int64_t steps);
  int32_t (*read)(const float* x, int64_t count, int64_t passes);
  void (*copy)(float* y, const float* x, int64_t count, int64_t passes);
};

#define CNNEXT_DECLARE_LOOPS(isa, ...) extern const Loops loops_##isa;
CNNEXT_FOR_ISAS(CNNEXT_DECLARE_LOOPS)
#undef CNNEXT_DECLARE_LOOPS

}  // namespace cnnext
