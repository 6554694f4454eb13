// SPDX-License-Identifier: BSD-3-Clause
// What is said of a fault: the place in the source, and who did it.
#pragma once

#include <string>

#include "cuda_on_cpu/engine.h"

namespace cuda_on_cpu {

// The file, with the directory it is in, and the line.
std::string place(Site site);

// The line of the call that returns to `code`, by the debug information of the library it is in,
// and the lines that it is inlined into.
std::string place(const void* code);

std::string text(Dim3 index);
inline std::string thread_text(Dim3 thread) { return "thread " + text(thread); }
inline std::string block_text(Dim3 block) { return "block " + text(block); }

Fault make_fault(FaultKind kind, Dim3 thread, Dim3 block, std::string place,
                 const std::string& what);

}  // namespace cuda_on_cpu
