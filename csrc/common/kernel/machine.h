// SPDX-License-Identifier: BSD-3-Clause
// What kernels and the choice among them know of the machine: how large its caches are. It is found
// out once and never changes, so that plan() and run() see the same.
#pragma once

#include <cstdint>

namespace cnnext {

constexpr int64_t kMinL2 = 256 << 10, kMaxL2 = 2 << 20;

struct Machine {
  // Bytes of the caches: a core's L1, a core's part of L2, and the L3 that it reaches. L2 is a
  // multiple of 64 KB in the bounds above.
  int64_t l1, l2, l3;
};

// By what the processor says, and CNNEXT_L2, bytes or with K or M: the part of a core in L2. Throws
// std::runtime_error when that is no such size.
const Machine& machine();

}  // namespace cnnext
