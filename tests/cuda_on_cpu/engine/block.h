// SPDX-License-Identifier: BSD-3-Clause
// The running block: its threads as fibers, which run in turn until all of them wait or have ended.
#pragma once

#include <string>

#include "cuda_on_cpu/engine.h"

namespace cuda_on_cpu {

struct Grid {
  Dim3 blocks, threads;
};

// Throws the first Fault; its fibers are then abandoned where they are.
void run_block(const Grid& grid, Dim3 index, const KernelCall& kernel, uint64_t seed);

// The index, in the running block, of the thread with this number.
Dim3 thread_index_of(int thread);

// Ends the launch; `what` the running thread does.
[[noreturn]] void fail(FaultKind kind, std::string place, const std::string& what);

}  // namespace cuda_on_cpu
