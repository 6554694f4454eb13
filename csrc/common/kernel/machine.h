// SPDX-License-Identifier: BSD-3-Clause
// What kernels and the choice among them know of the machine: how large its caches are, and how
// fast a core is. It is found out once and never changes, so that plan() and run() see the same.
#pragma once

#include "common/kernel/isa.h"

namespace cnnext {

struct Rates {
#define CNNEXT_RATE(name, ...) double name;
#include "common/kernel/rates.inc"
};

constexpr int64_t kMinL2 = 256 << 10, kMaxL2 = 2 << 20;

struct Machine {
  // Bytes of the caches: a core's L1, a core's part of L2, and the L3 that it reaches. L2 is a
  // multiple of 64 KB in the bounds above.
  int64_t l1, l2, l3;
  Rates rates[kIsaCount];
};

struct Processor;
Machine machine_of(const Processor& processor);

// The machine that this runs on, by its processor and CNNEXT_L2: bytes, or with K or M, of the part
// of a core in L2. Throws std::runtime_error when that is no such size.
Machine this_machine();

// The same, found out once.
const Machine& machine();

CNNEXT_INLINE const Rates& rates(Isa isa) { return machine().rates[static_cast<int>(isa)]; }

// So many sixteenths of a core's L2.
CNNEXT_INLINE int64_t l2_floats(int64_t sixteenths) {
  return machine().l2 / (16 * static_cast<int64_t>(sizeof(float))) * sixteenths;
}

CNNEXT_INLINE constexpr int simd_lanes(Isa isa) {
  return isa == Isa::avx512 ? 16 : isa == Isa::avx2 ? 8 : 4;
}

#ifdef CNNEXT_TUNABLE
// What machine() returns, in a build that fits rates and tries caches while nothing else runs.
Machine& tunable_machine();
#endif

}  // namespace cnnext
