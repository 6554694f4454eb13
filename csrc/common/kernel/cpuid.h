// SPDX-License-Identifier: BSD-3-Clause
// What a processor says of itself, and what is known of its model.
#pragma once

#include <cstdint>
#include <functional>

#include "common/kernel/isa.h"

namespace cnnext {

struct CpuidRegisters {
  uint32_t eax, ebx, ecx, edx;
};
using Cpuid = std::function<CpuidRegisters(uint32_t leaf, uint32_t subleaf)>;

struct Processor {
  // Bytes of its data caches: a core's L1, a core's part of L2, and the L3 that it reaches. 0 where
  // the processor, or a hypervisor before it, says nothing.
  int64_t l1 = 0, l2 = 0, l3 = 0;
  // Full vectors that a core multiplies and adds in a cycle, of each ISA. Where it is less than 2,
  // the wider vectors of an ISA gain little or nothing.
  int multiply_adds[kIsaCount] = {2, 2, 2};
};

Processor read_processor(const Cpuid& cpuid);

// The processor that this runs on; one that says nothing where there is no cpuid.
Processor this_processor();

}  // namespace cnnext
